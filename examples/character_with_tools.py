"""带工具的角色：角色自己决定什么时候查天气、查路线，由 `create_agent` 执行。需要 `[agents]`。"""

import os

from langchain.agents import create_agent
from langchain_core.tools import tool

from langchain_xingchen import ChatXingchen


@tool
def weather(city: str) -> str:
    """查询一个城市现在的天气。"""
    return f"{city}：晴，21 度，微风"


@tool
def route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}：地铁一号线，四十分钟"


model = ChatXingchen(character_id=os.environ["XINGCHEN_CHARACTER_ID"], user_id="u1", user_name="小明")
agent = create_agent(model, [weather, route])

for step in agent.stream({"messages": [("human", "今天杭州适合去西湖吗？从城站怎么走？")]}, stream_mode="values"):
    message = step["messages"][-1]
    for call in getattr(message, "tool_calls", []):
        print(f"（查询 {call['name']} {call['args']}）")
    if message.text:
        print(f"{message.type}：{message.text}")
