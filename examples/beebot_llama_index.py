"""Beebot 机器人接到 LlamaIndex 的聊天引擎：引擎记住界面上的对话，机器人用会话编号记住自己的。

环境变量：ALIBABA_CLOUD_ACCESS_KEY_ID、ALIBABA_CLOUD_ACCESS_KEY_SECRET、BEEBOT_INSTANCE_ID；
用本机的模拟器时还有 BEEBOT_BASE_URL。
"""

import asyncio
import os
from uuid import uuid4

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_xingchen import Beebot

robot = Beebot(instance_id=os.environ["BEEBOT_INSTANCE_ID"], session_id=uuid4().hex, sender_id="u1")
engine = SimpleChatEngine.from_defaults(llm=robot, memory=ChatMemoryBuffer.from_defaults(token_limit=3000))

for question in ("你好，我叫小明。", "怎么开发票？", "电子的要多久？", "你知道我叫什么吗？"):
    print(f"用户：{question}\n小蜜：", end="")
    for text in engine.stream_chat(question).response_gen:
        print(text, end="", flush=True)
    print()

answer = robot.complete("怎么退货？")
print(f"用户：怎么退货？\n小蜜：{answer}")
for reference in (answer.raw or {}).get("references", []):
    print(f"（出处：{reference['Title']}）")


async def visitors() -> None:
    """几位访客同时提问，各有各的会话。"""
    async with robot:
        names = ("小红", "小刚", "小丽")
        await asyncio.gather(*(robot.acomplete(f"我叫{name}", session_id=f"visitor-{name}") for name in names))
        answers = await asyncio.gather(*(robot.acomplete("我叫什么？", session_id=f"visitor-{name}") for name in names))
    print("同时来的访客：" + " ".join(str(each) for each in answers))


asyncio.run(visitors())
print(f"引擎里留下了 {len(engine.chat_history)} 条消息。")
