"""一个问题，两个知识库：子问题引擎把问题拆开，分别去查，再合成一个答案。

需要环境变量 DASHSCOPE_API_KEY；没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 DASHSCOPE_BASE_URL。
"""

import asyncio

from llama_index.core import Document
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import QueryEngineTool

from llama_index_xingchen import Bailian, BailianIndex

KNOWLEDGE = {
    "hr": ("人事制度", "请假、加班、年假的规定", "年假每年十天，要提前三天在系统里申请。"),
    "travel": ("差旅制度", "出差交通、住宿、报销的规定", "高铁坐二等座，住宿每晚不超过五百元。"),
}


async def main() -> None:
    """建两个知识库，问一个问题，再删掉。"""
    llm = Bailian(model="qwen-plus")
    indexes: list[BailianIndex] = []
    tools = []
    for name, (title, about, text) in KNOWLEDGE.items():
        index = await BailianIndex.afrom_documents([Document(id_=title, text=text)], index_name=title)
        indexes.append(index)
        engine = index.as_query_engine(llm=llm, similarity_top_k=2)
        tools.append(QueryEngineTool.from_defaults(engine, name=name, description=about))

    # 默认的出题器要另装 OpenAI 的包，这里用通义千问出题
    questions = LLMQuestionGenerator.from_defaults(llm=llm)
    engine = SubQuestionQueryEngine.from_defaults(tools, llm=llm, question_gen=questions, verbose=False)
    answer = await engine.aquery("年假要提前几天申请？出差住宿每晚最多多少钱？")
    print("答：", answer)
    for source in answer.source_nodes:
        if "document_name" in source.metadata:
            print(f"（出处：{source.metadata['document_name']}：{source.text}）")

    for index in indexes:
        await index.adelete_index()
        await index.aclose()


asyncio.run(main())
