"""A process's first request for knowledge or memories does not hold up its event loop."""

import subprocess
import sys

import pytest

from xingchen_core.emulator import Emulator

PROGRAM = """
import asyncio, os, sys
from blockbuster import blockbuster_ctx
from langchain_core.documents import Document
from langchain_xingchen import BailianIndex, BailianMemoryRetriever, BailianMemoryToolkit, BailianRetriever

settings = {"api_key": "test-key", "base_url": sys.argv[1]}

async def main():
    with blockbuster_ctx():
        print(await eval(sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ('BailianRetriever(index_id="kbdemo0001", **settings).ainvoke("退货", k=1)', "收到商品七天内可以无理由退货。"),
        ('BailianMemoryRetriever(user_id="u1", **settings).ainvoke("喝茶")', "喜欢喝茶"),
        ('BailianMemoryToolkit(user_id="u1", **settings).get_tools()[1].ainvoke("喝茶")', "喜欢喝茶"),
        ('BailianIndex("kbdemo0001", **settings).asimilarity_search("退货", k=1)', "收到商品七天内可以无理由退货。"),
        ('BailianIndex("kbdemo0001", **settings).aadd_documents([Document("新", id="新的")])', "['新的']"),
        ('BailianIndex("kbdemo0001", **settings).aadd_files([os.__file__], ids=["os.txt"])', "['os.txt']"),
    ],
    ids=["retriever", "memory retriever", "tool", "search", "documents", "files"],
)
def test_nothing_blocks_the_loop(emulator: Emulator, asked: str, answer: str) -> None:
    """Neither construction nor the first request does work that the event loop has to wait for."""
    emulator.bailian.memory.add("u1", "喜欢喝茶")
    emulator.bailian.knowledge.polls_until_done = 0
    command = [sys.executable, "-X", "utf8", "-c", PROGRAM, emulator.url, asked]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert answer in done.stdout


MANY = """
import asyncio, sys, threading
from langchain_xingchen import ChatXingchen
from xingchen_core.characters import Character

model = ChatXingchen(
    character=Character(name="小婉", content="你是小婉。"), api_key="test-key", base_url=sys.argv[1]
)
started, start = [], threading.Thread.start
threading.Thread.start = lambda thread: (started.append(thread), start(thread))

async def main():
    tasks = [asyncio.create_task(model.ainvoke("你好")) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    print(len(started), [type(answer).__name__ for answer in answers] == ["CancelledError"] + ["AIMessage"] * 19)

asyncio.run(main())
"""


def test_many_first_requests_load_once(emulator: Emulator) -> None:
    """Requests that begin together wait for one thread; one of them that is cancelled meanwhile spoils it for none."""
    command = [sys.executable, "-c", MANY, emulator.url]
    done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "1 True\n")
