"""路由：业务问题先问 Beebot 机器人，它答不上来或者是闲聊，就交给另一个聊天模型。

环境变量：ALIBABA_CLOUD_ACCESS_KEY_ID、ALIBABA_CLOUD_ACCESS_KEY_SECRET、BEEBOT_INSTANCE_ID，
XINGCHEN_API_KEY、XINGCHEN_CHARACTER_ID；用本机的模拟器时还有 BEEBOT_BASE_URL、XINGCHEN_BASE_URL。
"""

import os
import re

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnablePassthrough

from langchain_xingchen import ChatBeebot, ChatXingchen

robot = ChatBeebot(instance_id=os.environ["BEEBOT_INSTANCE_ID"])
companion = ChatXingchen(character_id=os.environ["XINGCHEN_CHARACTER_ID"], user_name="小明")  # 任何聊天模型都行

BUSINESS = re.compile("发票|退|物流|快递|包裹|地址|订单|会员")


def is_unanswered(state: dict[str, AIMessage]) -> bool:
    """机器人自己说明：这个问题它不会。"""
    return state["answer"].response_metadata["finish_reason"] == "no_answer"


ask_companion = companion | RunnableLambda(lambda answer: ("角色", answer.text))
ask_robot = {"question": RunnablePassthrough(), "answer": robot} | RunnableBranch(
    (is_unanswered, RunnableLambda(lambda state: state["question"]) | ask_companion),
    RunnableLambda(lambda state: ("机器人", state["answer"].text)),
)
router = RunnableBranch((lambda question: bool(BUSINESS.search(question)), ask_robot), ask_companion)

with robot, companion:
    questions = ["怎么开发票？", "你多大了？", "会员日是哪一天？", "包裹到哪了？"]
    for question, (who, text) in zip(questions, router.batch(questions), strict=True):
        print(f"用户：{question}\n{who}：{text}")
