"""`examples/llama_index_chat_engine.py`, run as a program of its own."""

from example_programs import run_example
from xingchen_core.emulator import Emulator


def test_the_second_engine_remembers(emulator: Emulator) -> None:
    """What was said through the first engine is known to the character and the second engine; nothing is said twice."""
    emulator.xingchen.add_messages("demo", "u1", ["上个月的话", "上个月的回答"])
    emulator.reply("小明，你好！")
    emulator.reply("去西湖看看吧。")
    emulator.reply("你叫小明，要去杭州。")
    printed = run_example("llama_index_chat_engine.py", emulator)
    turns = [
        ("你好，我叫小明。", "小明，你好！"),
        ("我明天要去杭州。", "去西湖看看吧。"),
        ("我叫什么？要去哪里？", "你叫小明，要去杭州。"),
    ]
    prompt = [message["content"] for message in emulator.xingchen.prompts[-1]]
    assert prompt == [text for turn in turns for text in turn][:-1]
    # The second program cannot know of a reset that the first one made: it shows what the platform lists.
    transcript = printed.split("条消息 ——\n")[1].splitlines()
    assert transcript[-6:] == [
        f"{who}：{text}" for turn in turns for who, text in zip(("小明", "角色"), turn, strict=True)
    ]
