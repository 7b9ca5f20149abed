"""在平台上记住对话：应用关掉再打开，换一个聊天引擎，角色和引擎都记得上次说过什么。

对话由平台保存，应用自己不存任何消息。需要环境变量 XINGCHEN_API_KEY 和 XINGCHEN_CHARACTER_ID；
没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 XINGCHEN_BASE_URL。
"""

import os

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer

from llama_index_xingchen import Xingchen, XingchenChatStore

character_id, user_id = os.environ["XINGCHEN_CHARACTER_ID"], "u1"
key = f"{character_id}/{user_id}"


def open_engine(llm: Xingchen, store: XingchenChatStore) -> SimpleChatEngine:
    """打开一个聊天引擎，它的记忆就是平台上的这段对话。"""
    # LlamaIndex 较新的 Memory 也可以：Memory.from_defaults(session_id=key, chat_store=XingchenDBChatStore())
    memory = ChatMemoryBuffer.from_defaults(llm=llm, chat_store=store, chat_store_key=key)
    return SimpleChatEngine.from_defaults(llm=llm, memory=memory)


with Xingchen(character_id=character_id, user_id=user_id, user_name="小明", platform_history=True) as llm:
    print("—— 第一次打开 ——")
    with XingchenChatStore() as store:
        store.delete_messages(key)  # 让角色忘掉以前的对话，从头开始
        engine = open_engine(llm, store)
        for question in ("你好，我叫小明。", "我明天要去杭州。"):
            print(f"小明：{question}\n角色：{engine.chat(question)}")

    print("—— 第二次打开 ——")
    with XingchenChatStore() as store:
        engine = open_engine(llm, store)
        print(f"小明：我叫什么？要去哪里？\n角色：{engine.chat('我叫什么？要去哪里？')}")

        print(f"—— 平台上一共 {len(engine.chat_history)} 条消息 ——")
        for message in engine.chat_history:
            print(f"{'小明' if message.role == 'user' else '角色'}：{message.content}")
