"""群聊做成 LangGraph 循环：一个节点说话，条件边决定是再来一个角色，还是轮到用户。需要 `[agents]`。"""

import asyncio
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_xingchen import Character, ChatXingchen, GroupChat

members = (
    Character(name="小婉", content="你是小婉，活泼的学生。"),
    Character(name="刚子", content="你是刚子，热血少年。"),
    Character(name="班长", content="你是班长，认真可靠。"),
)
room = ChatXingchen(group=GroupChat(name="三年二班", members=members), user_id="u1", user_name="小明")


async def speak(state: MessagesState) -> dict[str, Any]:
    """让一个角色接话；由谁来，问服务。"""
    return {"messages": [await room.ainvoke(state["messages"])]}


def enough(state: MessagesState) -> str:
    """用户说完之后，每人最多接一句。"""
    since_user = 0
    for message in reversed(state["messages"]):
        if not isinstance(message, AIMessage):
            break
        since_user += 1
    return END if since_user >= len(members) else "speak"


graph = StateGraph(MessagesState)
graph.add_node("speak", speak)
graph.add_edge(START, "speak")
graph.add_conditional_edges("speak", enough, ["speak", END])
app = graph.compile()


async def main() -> None:
    """边生成边显示，换人说话就换行。"""
    question = HumanMessage("周末一起去爬山吗？", name="小明")
    print(f"小明：{question.text}")
    speaking = None
    async for chunk, _ in app.astream({"messages": [question]}, stream_mode="messages"):
        name = chunk.name or chunk.response_metadata.get("speaker")
        if chunk.id != speaking:
            speaking = chunk.id
            print(f"\n{name or '……'}：", end="")
        print(chunk.text, end="", flush=True)
    print()


asyncio.run(main())
