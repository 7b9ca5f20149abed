"""和星尘角色聊两句：先让一条链的回答逐字显示，再异步问一句，看看用了多少 token。

环境变量：XINGCHEN_API_KEY、XINGCHEN_CHARACTER_ID，可选 XINGCHEN_BASE_URL。没有密钥也能运行：`make demo`。
"""

import asyncio
import os

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_xingchen import ChatXingchen

model = ChatXingchen(character_id=os.environ["XINGCHEN_CHARACTER_ID"], user_name="小明")
prompt = ChatPromptTemplate([("system", "你们在{place}偶遇。"), ("human", "{question}")])
chain = prompt | model | StrOutputParser()

print("小明：你多大了？\n角色：", end="")
for text in chain.stream({"place": "巷口的早点铺", "question": "你多大了？"}):
    print(text, end="", flush=True)


async def ask(question: str) -> None:
    """异步问一句，结束时归还连接。"""
    async with model:
        answer = await model.ainvoke(question)
    print(f"\n小明：{question}\n角色：{answer.text}\n用量：{answer.usage_metadata}")


asyncio.run(ask("你平时喜欢做什么？"))
