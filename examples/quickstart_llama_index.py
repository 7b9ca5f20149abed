"""与星尘角色对话：流式输出，再用 LlamaIndex 的聊天引擎多聊两句。

需要环境变量 XINGCHEN_API_KEY 和 XINGCHEN_CHARACTER_ID；XINGCHEN_BASE_URL 可选，比如本机的模拟器。
"""

import os

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage

from llama_index_xingchen import Xingchen

llm = Xingchen(character_id=os.environ["XINGCHEN_CHARACTER_ID"], user_id="u1", user_name="小明")

history = [
    ChatMessage(role="user", content="你好，我叫小明。"),
    ChatMessage(role="assistant", content="小明，你好呀！"),
]
print("小明：你多大了？\n角色：", end="")
for response in llm.stream_chat([*history, ChatMessage(role="user", content="你多大了？")]):
    print(response.delta, end="", flush=True)

engine = SimpleChatEngine.from_defaults(llm=llm, chat_history=history)
for question in ("你还记得我叫什么吗？", "谢谢，晚安。"):
    print(f"\n小明：{question}\n角色：{engine.chat(question)}", end="")
print()
