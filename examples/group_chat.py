"""群聊：三个角色和一个用户。每一轮由服务决定谁来接话，说话人的名字在消息里来回都保留。"""

from langchain_core.messages import AnyMessage, HumanMessage

from langchain_xingchen import Character, ChatXingchen, GroupChat

room = ChatXingchen(
    group=GroupChat(
        name="三年二班",
        description="放学后的教室",
        members=(
            Character(name="小婉", content="你是小婉，活泼的学生。", task="欢迎新同学"),
            Character(name="刚子", content="你是刚子，热血少年。", task="拉人打篮球"),
            Character(name="班长", content="你是班长，认真可靠。", task="提醒大家写作业"),
        ),
    ),
    user_id="u1",
    user_name="小明",
)

said: list[AnyMessage] = []
for question in ("大家好，我是新来的小明！", "放学后你们都做什么？"):
    said.append(HumanMessage(question, name="小明"))
    print(f"小明：{question}")
    for _ in range(2):  # 每个问题由两个角色接话
        answer = room.invoke(said)
        said.append(answer)
        print(f"{answer.name}：{answer.text}")
