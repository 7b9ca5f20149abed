"""历史跨进程：第一个进程里聊过的，第二个进程里的智能体接着聊。平台按（角色，用户）保存对话。需要 `[agents]`。"""

import os
import subprocess
import sys

from langchain.agents import create_agent
from langchain_core.messages import BaseMessage

from langchain_xingchen import ChatXingchen, XingchenChatMessageHistory
from langchain_xingchen.middleware import XingchenHistoryMiddleware

CHARACTER = os.environ["XINGCHEN_CHARACTER_ID"]
USER = "u-two-processes"


def first() -> None:
    """第一个进程：普通的对话，由平台保存。"""
    model = ChatXingchen(character_id=CHARACTER, user_id=USER, user_name="小明", platform_history=True)
    for question in ("我叫小明，我喜欢下围棋。", "你会下棋吗？"):
        print(f"小明：{question}\n角色：{model.invoke(question).text}")


def second() -> None:
    """第二个进程：智能体按 thread_id 取回同一段对话，接着聊。"""
    agent = create_agent(ChatXingchen(character_id=CHARACTER), [], middleware=[XingchenHistoryMiddleware(CHARACTER)])
    said: list[BaseMessage] = agent.invoke(
        {"messages": [("human", "你还记得我叫什么吗？")]}, {"configurable": {"thread_id": USER}}
    )["messages"]
    print(f"（取回 {len(said) - 2} 条历史）")
    print(f"小明：{said[-2].text}\n角色：{said[-1].text}")
    print(f"（平台现在有 {len(XingchenChatMessageHistory(CHARACTER, USER).messages)} 条消息）")


if sys.argv[1:] == ["second"]:
    second()
else:
    first()
    sys.exit(subprocess.run([sys.executable, __file__, "second"], check=False).returncode)
