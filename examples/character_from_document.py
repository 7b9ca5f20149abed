"""由文档生成角色：从一段文字写出人设，存成角色，聊一句，再改一处，最后删除。"""

import asyncio

from langchain_xingchen import ChatXingchen
from xingchen_core import AsyncClient, XingchenSettings, characters

STORY = """刘备，字玄德，涿郡涿县人。少时与母亲贩履织席为业。为人宽厚，喜怒不形于色，好交结豪侠。
与关羽、张飞在桃园结为兄弟，三顾茅庐请出诸葛亮。"""


async def main() -> None:
    """由文字到角色，再到对话。"""
    async with AsyncClient(XingchenSettings()) as client:
        persona = await client.send(characters.describe_text(STORY))
        print("生成的人设：", persona[:60], "……")

        record = characters.CharacterRecord(
            name="刘备",
            basic_information=persona,
            opening_line="备见过先生。",
            advanced_config=characters.AdvancedConfig(
                short_term_memory_round=20,
                long_term_memories=(characters.LongTermMemory(memory_type="summary"),),
            ),
        )
        made = await client.send(characters.create(record))
        model = ChatXingchen(character_id=made.character_id, user_id="u1")
        print("开场白：", await model.aopening_line())
        print("刘备：", (await model.ainvoke("先生从何处来？")).text)

        changed = await client.run(characters.edit(made.character_id, traits="说话带古风"))
        print("改后的说话风格：", changed.traits)
        await client.send(characters.delete(made.character_id))


asyncio.run(main())
