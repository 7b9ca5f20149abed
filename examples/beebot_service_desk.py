"""服务台：Beebot 机器人先回答，问不清就请用户选，要人工时带着技能组和会话转过去。

环境变量：ALIBABA_CLOUD_ACCESS_KEY_ID、ALIBABA_CLOUD_ACCESS_KEY_SECRET、BEEBOT_INSTANCE_ID；
可选 BEEBOT_AGENT_KEY（业务空间），用本机的模拟器时还有 BEEBOT_BASE_URL。
"""

import os
from collections.abc import Iterator
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_xingchen import ChatBeebot

robot = ChatBeebot(
    instance_id=os.environ["BEEBOT_INSTANCE_ID"],
    agent_key=os.environ.get("BEEBOT_AGENT_KEY"),
    session_id=uuid4().hex,  # 一次对话一个会话：机器人自己记住上文
    sender_id="u1",
)


def ask(question: str) -> AIMessage:
    """提问，边收边显示，返回完整的回答。"""
    print(f"\n用户：{question}\n小蜜：", end="")
    answer = AIMessageChunk("")
    for chunk in robot.stream(question):
        print(chunk.text, end="", flush=True)
        answer += chunk
    print()
    return answer


def hand_over(answer: AIMessage) -> None:
    """转人工：机器人给出技能组，客服系统凭会话编号看到前面的对话。"""
    command = answer.additional_kwargs["commands"]["sysToAgent"]
    print(f"（转给人工，技能组 {command['skillGroup']}，会话 {answer.response_metadata['session_id'][:8]}…）")


def serve(questions: Iterator[str]) -> None:
    """回答每个问题，直到转给人工。"""
    print(f"小蜜：{robot.welcome()}")
    for question in questions:
        answer = ask(question)
        for reference in answer.additional_kwargs.get("references", []):
            print(f"（出处：{reference['Title']}）")
        match answer.response_metadata["finish_reason"]:
            case "clarify":
                choices = answer.additional_kwargs["clarify_list"]
                print(f"（请选择：{'、'.join(choices)}）")
                ask(choices[0])
            case "no_answer":
                robot.rate(answer, False, text="没有答上来")
                print(f"（您也可以问：{'、'.join(answer.additional_kwargs['related_questions'])}）")
            case "handover":
                hand_over(answer)
                break


with robot:
    print(f"（输入“发票”时的提示：{'、'.join(robot.suggest('发票'))}）")
    serve(iter(["怎么开发票？", "退", "宇宙有多大？", "转人工", "还在吗？"]))
