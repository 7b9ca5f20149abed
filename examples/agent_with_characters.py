"""会请教别人的角色：小婉当智能体，答不上来的问题去问另一个角色；对话由平台记住，每一轮都接着上一轮。

环境变量：XINGCHEN_API_KEY、XINGCHEN_CHARACTER_ID，可选 XINGCHEN_FRIEND_ID（被请教的角色）、XINGCHEN_BASE_URL。
需要 `[agents]`。没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 XINGCHEN_BASE_URL。
"""

import os

from langchain.agents import create_agent

from langchain_xingchen import ChatXingchen, XingchenCharacterTool
from langchain_xingchen.middleware import XingchenHistoryMiddleware

character_id = os.environ["XINGCHEN_CHARACTER_ID"]
friend_id = os.environ.get("XINGCHEN_FRIEND_ID", character_id)

with (
    ChatXingchen(character_id=character_id, user_name="小明") as model,
    # 名字和说明取自平台上的角色资料；出错时把原因告诉智能体，而不是中断。
    XingchenCharacterTool.from_character(friend_id, name="ask_friend", handle_tool_error=True) as friend,
):
    print(f"可以请教的角色：{friend.description}")
    agent = create_agent(model, [friend], middleware=[XingchenHistoryMiddleware(model=model)])
    config = {"configurable": {"thread_id": "u-agent-with-characters"}}  # 一个线程就是一个用户

    for question in ("种花要注意什么？帮我问问你的朋友。", "她说的第一条是什么？"):
        print(f"小明：{question}")
        messages = agent.invoke({"messages": [("human", question)]}, config)["messages"]
        turn = messages[max(at for at, message in enumerate(messages) if message.type == "human") + 1 :]
        for message in turn:
            for call in getattr(message, "tool_calls", ()):
                print(f"（请教：{call['args']['question']}）")
            if message.type == "tool":
                print(f"朋友：{message.text}")
            elif message.text:
                print(f"角色：{message.text}")
    print(f"（平台记住了 {len(messages)} 条消息）")
