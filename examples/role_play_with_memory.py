"""角色扮演与记忆：从一段对话里抽取事实和摘要，下一次聊天时交给一个当场描述的角色。

运行：设置 XINGCHEN_API_KEY（没有密钥时可先启动 `python -m xingchen_core.emulator` 并设置 XINGCHEN_BASE_URL）。
"""

from langchain_xingchen import Character, ChatXingchen, Memory
from xingchen_core import Client, Message, XingchenSettings, characters

yesterday = [
    Message(role="user", content="我最近迷上了武术，每周三去练咏春。"),
    Message(role="assistant", content="真厉害！下次带我去看看？"),
    Message(role="user", content="好啊，下周三晚上七点。"),
]

with Client(XingchenSettings()) as client:
    facts = client.send(characters.extract_facts(yesterday, about=["喜好", "约定"]))
    summary = client.send(characters.extract_summary(yesterday))
print("记住的事实：", [(tag.key, tag.value) for tag in facts.tags or ()])
print("对话摘要：", summary.summaries)

model = ChatXingchen(
    character=Character(name="小婉", content="你是小婉，十七岁的学生，活泼，记性很好。", traits="句子短，爱用感叹号"),
    user_id="u1",
    user_name="小明",
    scenario="第二天傍晚，在楼道里又遇见了。",
    memory=Memory(summaries=summary.summaries, tags=facts.tags),
)
print("小婉：", end="")
for chunk in model.stream("还记得我们约好什么吗？"):
    print(chunk.text, end="", flush=True)
print()
