"""What the help desk `chatbot-cn-demo` says when nothing was scripted: always the same answer to the same words."""

import re
from collections.abc import Sequence

from xingchen_core.emulator._wire import json_text
from xingchen_core.emulator.beebot_script import BeebotReply

WELCOME = "您好，我是小蜜，请问有什么可以帮您？"

QUESTIONS = (
    "怎么开发票？",
    "发票多久能开好？",
    "怎么退货？",
    "怎么退款？",
    "退款多久到账？",
    "怎么查物流？",
    "怎么修改收货地址？",
    "客服几点上班？",
)
"""What the help desk knows: suggested to whoever types, and when it has no answer."""

_INVOICE = {
    "Title": "发票指南",
    "Content": "订单完成后七天内可以在订单详情里申请电子发票。",
    "DataSource": "FAQ_DIRECT",
}
_RETURNS = {"Title": "退货须知", "Content": "签收后七天内支持无理由退货。"}

_KNOWN: tuple[tuple[str, BeebotReply], ...] = (
    (
        r"人工|真人|投诉",
        BeebotReply(
            "正在为您转接人工客服，请稍等。",
            commands={"sysToAgent": {"skillGroup": "12", "ext": "", "toAgentReason": "HitKeywords"}},
            source="SYSTEM_ASK_CONFIG",
        ),
    ),
    (r"电子的", BeebotReply("电子发票会发到您的邮箱，一般十分钟内就到。", references=(_INVOICE,))),
    (
        r"发票",
        BeebotReply(
            "您可以在订单详情里点「申请发票」，电子发票当天就能开好。",
            references=(_INVOICE,),
            related=("发票多久能开好？",),
        ),
    ),
    (r"退货", BeebotReply("签收后七天内，您可以在订单里点「申请退货」，快递上门取件。", references=(_RETURNS,))),
    (r"退款.*(多久|到账)", BeebotReply("退款会在一到三个工作日内原路退回。")),
    (r"退款", BeebotReply("您可以在订单里点「申请退款」，审核通过后原路退回。", related=("退款多久到账？",))),
    (r"^退$|要退", BeebotReply("请问您想办理哪一项？", choices=("退货", "退款"), title="请选择")),
    (r"物流|快递|到哪", BeebotReply("您的包裹正在派送中，预计今天送到。", source="TASK_DRIVEN_DIALOGUE")),
    (r"地址", BeebotReply("发货之前，您可以在订单详情里修改收货地址。")),
    (r"几点|上班|营业时间", BeebotReply("人工客服每天九点到二十一点在线，我全天都在。")),
    (r"技能|能做什么|会什么|你是谁|who are you", BeebotReply("我是智能客服小蜜，能帮您开发票、办退货、查物流。")),
    (r"谢谢|多谢|thank", BeebotReply("不客气，很高兴能帮到您！")),
    (r"再见|拜拜|bye", BeebotReply("再见，祝您生活愉快！")),
    (r"你好|您好|在吗|hello|\bhi\b", BeebotReply("您好！请问有什么可以帮您？")),
)


_NAME = r"我叫(?!什么)([^\s，。！？,.!?]+)"


def answer(utterance: str, earlier: Sequence[str]) -> BeebotReply:
    """The answer to a question; `earlier` holds the session's questions before it."""
    if re.search(r"刚才|上一个问题|上一句", utterance):
        said = f"您刚才问的是「{earlier[-1]}」。" if earlier else "您还没有问过我问题呢。"
        return BeebotReply(said)
    if re.search(r"我叫什么|我的名字", utterance):
        names = [found[1] for text in earlier if (found := re.search(_NAME, text))]
        return BeebotReply(f"您叫{names[-1]}。" if names else "您还没有告诉我您的名字。")
    if found := re.search(_NAME, utterance):
        return BeebotReply(f"{found[1]}，您好！请问有什么可以帮您？")
    for pattern, reply in _KNOWN:
        if re.search(pattern, utterance, re.IGNORECASE):
            return reply
    return BeebotReply(
        f"抱歉，「{utterance}」这个问题我还在学习，您可以换个说法，或者回复「人工」。",
        related=QUESTIONS[:3],
        source="SYSTEM_ASK_CONFIG",
        policy="NO_ANSWER",
    )


def suggestions(typed: str, limit: int) -> list[dict[str, str]]:
    """Known questions that hold the characters typed so far, in their order."""
    letters = [re.escape(letter) for letter in typed if letter not in "？?"]
    pattern = ".*".join(letters)
    found = [question for question in QUESTIONS if re.search(pattern, question)]
    return [{"Title": question, "Meta": json_text({"source": "FAQ"})} for question in found[:limit]]
