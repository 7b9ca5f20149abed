"""把百炼应用当作智能体的工具：制度问题去问应用，它在同一个对话里记得问过什么；回答带着出处。需要 `[agents]`。

环境变量：DASHSCOPE_API_KEY、BAILIAN_APP_ID；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import os
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

from langchain_xingchen import BailianAppTool, ChatBailian

sessions: dict[str, str] = {}  # 对话 -> 应用的会话；多台机器时换成 Redis 之类的共享存储

handbook = BailianAppTool(
    app_id=os.environ["BAILIAN_APP_ID"],
    name="ask_handbook",
    description="查询公司制度：请假、报销、加班。",
    sessions=sessions,
)
model = ChatBailian(model="qwen-plus")
agent = create_agent(model, [handbook], system_prompt="制度问题先查手册。", checkpointer=InMemorySaver())


def ask(question: str, thread_id: str) -> None:
    """提问，显示智能体问了手册什么、手册怎么答、最后怎么说。"""
    print(f"\n用户：{question}")
    asked: Any = {"messages": [("human", question)]}
    for update in agent.stream(asked, {"configurable": {"thread_id": thread_id}}, stream_mode="updates"):
        for step in update.values():
            for message in step["messages"]:
                for call in getattr(message, "tool_calls", []):
                    print(f"（问手册：{call['args']['question']}）")
                if message.text:
                    print(f"{'手册' if message.type == 'tool' else '助手'}：{message.text}")


with model, handbook:
    ask("我叫小明，请假要提前几天？", "小明")
    ask("那加班呢？", "小明")
    print(f"\n应用记住了 {len(sessions)} 个对话。")
