"""知识库问答，回答里的每个 [编号] 都能查到出处：BailianRetriever 检索，qwen 按编号引用，最后列出被引用的文档。

环境变量：DASHSCOPE_API_KEY、BAILIAN_INDEX_ID；用本机的模拟器时还有 DASHSCOPE_BASE_URL（知识库是 kbdemo0001）。
"""

import os
import re

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from langchain_xingchen import BailianRetriever, ChatBailian

prompt = ChatPromptTemplate.from_messages(
    [
        ("system", "只根据资料回答，每句话后面用 [编号] 标明出处；资料里没有就说不知道。\n\n资料：\n{sources}"),
        ("human", "{question}"),
    ]
)


def numbered(inputs: dict[str, list[Document]]) -> str:
    """把检索到的片段编上号，给模型看。"""
    return "\n".join(f"[{number}] {found.page_content}" for number, found in enumerate(inputs["documents"], 1))


retriever = BailianRetriever(index_id=os.environ["BAILIAN_INDEX_ID"], k=3)
model = ChatBailian(model="qwen-plus")
answer = RunnablePassthrough.assign(sources=numbered) | prompt | model | StrOutputParser()
chain = {"documents": retriever, "question": RunnablePassthrough()} | RunnablePassthrough.assign(answer=answer)

with retriever, model:
    for question in ("生鲜商品能退货吗？", "怎么申请电子发票？"):
        result = chain.invoke(question)
        print(f"\n用户：{question}\n助手：{result['answer']}")
        for number in sorted({int(digits) for digits in re.findall(r"\[(\d+)\]", result["answer"])}):
            source = result["documents"][number - 1]
            print(
                f"  [{number}] 《{source.metadata['document_name']}》{source.metadata['title']}：{source.page_content}"
            )
