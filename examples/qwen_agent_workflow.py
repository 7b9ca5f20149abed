"""两个智能体接力：接待员听懂要求后交给旅行顾问，顾问自己查天气、查路线，最后给出建议。

模型是百炼上的 qwen-plus，由 LlamaIndex 的 `AgentWorkflow` 调度。需要环境变量 DASHSCOPE_API_KEY；
没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 DASHSCOPE_BASE_URL。
"""

import asyncio
import sys

from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult

from llama_index_xingchen import Bailian


async def get_weather(city: str) -> str:
    """查询一个城市今天的天气。"""
    return f"{city}：晴，26 度，微风"


async def get_route(start: str, end: str) -> str:
    """查询从一地到另一地怎么走。"""
    return f"从{start}到{end}：地铁一号线，四十分钟"


async def main(question: str) -> None:
    """把一个问题交给两个智能体，边做边打印。"""
    async with Bailian(model="qwen-plus", system_prompt="用中文回答，三句话以内。") as llm:
        host = FunctionAgent(
            name="接待员",
            description="接待用户，弄清用户要什么。",
            system_prompt="你是接待员。用户问旅行时，用 handoff 转给旅行顾问。",
            can_handoff_to=["旅行顾问"],
            llm=llm,
        )
        guide = FunctionAgent(
            name="旅行顾问",
            description="查天气和路线，给出旅行建议。",
            system_prompt="你是旅行顾问。先查天气和路线，再给建议。",
            tools=[get_weather, get_route],
            can_handoff_to=["接待员"],
            llm=llm,
        )
        handler = AgentWorkflow(agents=[host, guide], root_agent="接待员").run(question)
        speaker = ""
        async for event in handler.stream_events():
            if isinstance(event, ToolCallResult):
                print(f"（{event.tool_name} {event.tool_kwargs} → {event.tool_output.content.splitlines()[0]}）")
            elif isinstance(event, AgentStream) and event.delta:
                if event.current_agent_name != speaker:
                    speaker = event.current_agent_name
                    print(f"{speaker}：", end="")
                print(event.delta, end="", flush=True)
        await handler
        print()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "今天杭州天气怎么样？从城站去西湖怎么走？"))
