"""Every example runs as a user would run it: as a program of its own, here against the emulator."""

from collections.abc import Callable

import pytest

from example_programs import ROOT, run_example
from xingchen_core.emulator import Emulator

EXAMPLES = sorted(
    path.name for path in (ROOT / "examples").glob("*.py") if path.name != "demo.py"
)  # demo.py starts an emulator of its own, and `make demo` runs it


def _two_tools(emulator: Emulator) -> None:
    emulator.reply("", tool_calls=[{"name": "weather", "arguments": {"city": "杭州"}}])
    emulator.reply("", tool_calls=[{"name": "route", "arguments": {"start": "城站", "end": "西湖"}}])
    emulator.reply("适合去！坐地铁一号线，四十分钟就到。")


def _workflow(emulator: Emulator) -> None:
    """Two nodes before the one that answers."""
    emulator.bailian.reply(
        "去西湖吧。",
        nodes=[
            {"type": "Start", "name": "开始"},
            {"type": "LLM", "name": "规划", "content": ["先看", "天气"]},
            {"type": "End", "name": "结束", "content": ["去西湖", "吧。"]},
        ],
    )


def _agent_with_an_app(emulator: Emulator) -> None:
    """The model asks the handbook, which cites its sources; twice."""
    for question, answer in (("请假要提前几天", "三天<ref>[1]</ref>。"), ("加班怎么申请", "填单<ref>[1]</ref>。")):
        emulator.bailian.reply(tool_calls=[{"name": "ask_handbook", "arguments": {"question": question}}])
        emulator.bailian.reply(answer, references=["考勤制度"])
        emulator.bailian.reply(f"手册说：{answer[:2]}。")


def _hand_off(emulator: Emulator) -> None:
    """The host hands over, the guide calls both functions at once and answers with their results."""
    emulator.reply(tool_calls=[{"name": "handoff", "arguments": {"to_agent": "旅行顾问", "reason": "问的是旅行"}}])
    emulator.reply(
        tool_calls=[
            {"name": "get_weather", "arguments": {"city": "杭州"}},
            {"name": "get_route", "arguments": {"start": "城站", "end": "西湖"}},
        ]
    )
    emulator.reply("今天适合去西湖，坐地铁一号线。")


def _knowledge(emulator: Emulator) -> None:
    emulator.bailian.knowledge.polls_until_done = 0
    emulator.bailian.reply("七天内。")
    emulator.bailian.reply("由买家承担。")


def _sub_questions(emulator: Emulator) -> None:
    """The question is divided in two; the answers are the emulator's own."""
    emulator.bailian.knowledge.polls_until_done = 0
    emulator.bailian.reply(
        '```json\n{"items": [{"sub_question": "年假要提前几天申请？", "tool_name": "hr"}, '
        '{"sub_question": "住宿每晚最多多少钱？", "tool_name": "travel"}]}\n```'
    )


def _citations(emulator: Emulator) -> None:
    """The model cites what it was given; the second answer cites nothing."""
    emulator.bailian.reply("生鲜商品不支持退货[1]，其他的七天内可以退[2]。")
    emulator.bailian.reply("不知道。")


def _folder(emulator: Emulator) -> None:
    emulator.bailian.knowledge.polls_until_done = 0


def _remembering(emulator: Emulator) -> None:
    emulator.bailian.memory.polls_until_done = 0
    emulator.bailian.reply("记住了，你喜欢喝茶。")
    emulator.bailian.reply("来一杯龙井吧。")


SCRIPTS: dict[str, Callable[[Emulator], None]] = {
    "character_with_tools.py": _two_tools,
    "llama_index_knowledge.py": _knowledge,
    "llama_index_sub_questions.py": _sub_questions,
    "rag_with_citations.py": _citations,
    "knowledge_base_from_folder.py": _folder,
    "agent_that_remembers.py": _remembering,
    "workflow_app_progress.py": _workflow,
    "app_as_tool.py": _agent_with_an_app,
    "qwen_agent_workflow.py": _hand_off,
}

SHOWN = {
    "rag_with_citations.py": [
        "助手：生鲜商品不支持退货[1]，其他的七天内可以退[2]。\n  [1] 《退货政策》",
        "\n  [2] 《退货政策》",
        "助手：不知道。\n",
    ],
    "knowledge_base_from_folder.py": [
        "《售后手册》里有：运费／价目、运费／偏远地区、退换货",
        "更新后还是 3 份",
        "收到商品十五天内可以无理由退货。（退换货，",
    ],
    "agent_that_remembers.py": [
        "助手：记住了，你喜欢喝茶。",
        "（记得：我喜欢喝茶",
        "助手：来一杯龙井吧。",
    ],
    "llama_index_knowledge.py": [
        "文档： ['运费价目', '退换货手册']",
        "答：七天内。",
        "（出处：退换货手册 > 退货，",
        "答：由买家承担。",
        "（出处：运费价目 > 运费，",
    ],
    "llama_index_sub_questions.py": ["答： ", "（出处：人事制度：年假每年十天", "（出处：差旅制度：高铁坐二等座"],
    "character_from_document.py": ["刘备：", "改后的说话风格： 说话带古风"],
    "character_with_tools.py": [
        "（查询 weather {'city': '杭州'}）",
        "晴，21 度",
        "ai：适合去！坐地铁一号线，四十分钟就到。",
    ],
    "group_chat.py": ["小明：大家好，我是新来的小明！", "小婉：", "刚子："],
    "group_chat_langgraph.py": ["小明：周末一起去爬山吗？", "小婉：", "刚子：", "班长："],
    "history_two_processes.py": ["小明：我叫小明，我喜欢下围棋。", "条历史）", "小明：你还记得我叫什么吗？"],
    "role_play_with_memory.py": ["记住的事实：", "对话摘要：", "小婉："],
    "beebot_service_desk.py": [
        "小蜜：您好，我是小蜜，请问有什么可以帮您？",
        "（出处：发票指南）",
        "（请选择：退货、退款）",
        "用户：退货",
        "（您也可以问：怎么开发票？、发票多久能开好？、怎么退货？）",
        "（转给人工，技能组 12，会话 ",
    ],
    "beebot_llama_index.py": [
        "小蜜：您叫小明。",
        "（出处：退货须知）",
        "同时来的访客：您叫小红。 您叫小刚。 您叫小丽。",
        "引擎里留下了 8 条消息。",
    ],
    "beebot_router.py": [
        "用户：怎么开发票？",
        "（机器人：您可以在订单详情里点「申请发票」",
        "接待员：",
        "您可以在订单详情里点「申请发票」",
        "用户：谢谢，再见！",
        "接待员：不客气",
    ],
    "qwen_tools_langgraph.py": [
        "（查询 weather {'city': '杭州'}）",
        "（查询 weather {'city': '成都'}）",
        "（结果 杭州：小雨，18 度）",
        "（结果 成都：晴，25 度）",
        "根据工具返回的结果：",
        "用户：我刚才问了什么？",
        "杭州和成都今天的天气怎么样？",
    ],
    "structured_extraction.py": [
        "函数调用：Order(dish='",
        "count=2, city='杭州')",
        "JSON 模式：Order(dish='",
        "解析结果：2 份，解析错误：None，用了 ",
        "发送之前就知道不行：qwen-plus is not known to take a JSON schema",
        "JSON Schema：Order(dish='",
    ],
    "thinking_live.py": ["【思考】", "【回答】", "个 token，其中思考 ", "不思考时：['text']"],
    "workflow_app_progress.py": [
        "（开始：完成）",
        "（规划：进行中）",
        "（规划：完成）",
        "去西湖吧。",
        "- 规划：先看天气",
    ],
    "app_as_tool.py": [
        "（问手册：请假要提前几天）",
        "手册：三天[1]。\n[1] 考勤制度",
        "助手：手册说：三天。",
        "（问手册：加班怎么申请）",
        "助手：手册说：填单。",
        "应用记住了 1 个对话。",
    ],
    "qwen_agent_workflow.py": [
        "（handoff {'to_agent': '旅行顾问'",
        "（get_weather {'city': '杭州'} → 杭州：晴，26 度，微风）",
        "（get_route {'start': '城站', 'end': '西湖'} → 从城站到西湖：地铁一号线，四十分钟）",
        "旅行顾问：今天适合去西湖，坐地铁一号线。",
    ],
}
"""What an example prints, in this order; of the others, some Chinese text."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str) -> None:
    """An example ends without an error or a warning and shows what it promises."""
    with Emulator() as emulator:
        SCRIPTS.get(example, lambda _: None)(emulator)
        printed = run_example(example, emulator)
    rest = printed
    for line in SHOWN.get(example, []):
        _, found, rest = rest.partition(line)
        assert found, f"{line} is not shown, or too early:\n{printed}"
    assert any("\u4e00" <= character <= "\u9fff" for character in printed)


def test_an_app_keeps_the_conversation() -> None:
    """The agent's second question to the application goes to the session of the first."""
    with Emulator() as emulator:
        _agent_with_an_app(emulator)
        run_example("app_as_tool.py", emulator)
        asked = [received.json["input"] for received in emulator.requests if "apps" in received.path]
    assert [bool(each.get("session_id")) for each in asked] == [False, True]


def test_the_second_process_is_told_what_the_first_heard() -> None:
    """The agent's model gets the memory behind its own prompt, and no message of the first conversation."""
    with Emulator() as emulator:
        _remembering(emulator)
        run_example("agent_that_remembers.py", emulator)
        asked = [received.json for received in emulator.requests if received.path.endswith("/generation")]
    first, second = ([each["content"] for each in body["input"]["messages"]] for body in asked)
    assert first == ["你是体贴的助手。", "我喜欢喝茶，不喝咖啡。"]
    assert second[0].startswith("你是体贴的助手。\n\n")
    assert "我喜欢喝茶" in second[0]
    assert second[1:] == ["我喜欢喝什么来着？推荐一杯。"]


def test_citations_are_of_what_was_retrieved() -> None:
    """The numbers in the prompt are those of the sources that are shown."""
    with Emulator() as emulator:
        _citations(emulator)
        printed = run_example("rag_with_citations.py", emulator)
        asked = next(received.json for received in emulator.requests if received.path.endswith("/generation"))
    prompt = asked["input"]["messages"][0]["content"]
    for number in (1, 2):
        [shown] = [line for line in printed.splitlines() if line.startswith(f"  [{number}]")]
        assert f"\n[{number}] {shown.rpartition('：')[2]}" in prompt
