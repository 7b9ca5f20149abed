"""路由：通义千问接待访客。业务问题它交给 Beebot 机器人（一个工具），闲聊自己回答。

环境变量：DASHSCOPE_API_KEY，ALIBABA_CLOUD_ACCESS_KEY_ID、ALIBABA_CLOUD_ACCESS_KEY_SECRET、BEEBOT_INSTANCE_ID；
用本机的模拟器时还有 DASHSCOPE_BASE_URL、BEEBOT_BASE_URL。
"""

import os

from langchain.agents import create_agent
from langchain_core.messages import ToolMessage

from langchain_xingchen import BeebotTool, ChatBailian

model = ChatBailian(model="qwen-plus")
robot = BeebotTool(
    instance_id=os.environ["BEEBOT_INSTANCE_ID"],
    name="ask_service_desk",
    description="回答发票、退换货、物流、会员等业务问题。",
    session_id_from=lambda config: config["configurable"]["thread_id"],  # 每位访客一个会话
)
agent = create_agent(
    model,
    tools=[robot],
    system_prompt="你是商城的接待员。业务问题一律用 ask_service_desk 查询，照它的答案回答；其余的自己简短回答。",
)

with model, robot:
    for question in ("怎么开发票？", "谢谢，再见！"):
        state = agent.invoke(
            {"messages": [("user", question)]},
            {"configurable": {"thread_id": "visitor-1"}},
        )
        asked = [message for message in state["messages"] if isinstance(message, ToolMessage)]
        print(f"用户：{question}")
        for message in asked:
            print(f"（机器人：{message.text}）")
        print(f"接待员：{state['messages'][-1].text}")
