"""qwen 智能体：一次并行查两座城市的天气，逐字显示回答；同一个对话接着问，由 LangGraph 记住上文。需要 `[agents]`。

环境变量：DASHSCOPE_API_KEY；用本机的模拟器时还有 DASHSCOPE_BASE_URL。
"""

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_xingchen import ChatBailian


@tool
def weather(city: str) -> str:
    """查询一个城市现在的天气。"""
    return f"{city}：{'小雨，18 度' if city == '杭州' else '晴，25 度'}"


model = ChatBailian(model="qwen-plus", parallel_tool_calls=True)  # 不说明的话，一次回答只调用一个工具
agent = create_agent(model, [weather], system_prompt="你是旅行助手，回答要简短。", checkpointer=InMemorySaver())


async def ask(question: str) -> None:
    """提问：工具的调用和结果各占一行，回答边生成边显示。"""
    print(f"\n用户：{question}")
    asked: Any = {"messages": [("human", question)]}
    async for mode, item in agent.astream(
        asked, {"configurable": {"thread_id": "行程"}}, stream_mode=["messages", "updates"]
    ):
        match mode, item:
            case "messages", (chunk, _) if chunk.type != "tool":
                print(chunk.text, end="", flush=True)
            case "updates", {"model": {"messages": [*_, message]}} if message.tool_calls:
                print("\n".join(f"（查询 {call['name']} {call['args']}）" for call in message.tool_calls))
            case "updates", {"tools": {"messages": results}}:
                print("\n".join(f"（结果 {result.text}）" for result in results))
    print()


async def main() -> None:
    """同一个对话里问两句。"""
    async with model:
        await ask("杭州和成都今天的天气怎么样？")
        await ask("我刚才问了什么？")


asyncio.run(main())
