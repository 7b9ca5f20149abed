"""Runs one scenario with LlamaIndex's own plug-ins for Bailian and prints what it made of it, as JSON.

`python llama_index_dashscope_scenarios.py <scenario> <url> [<ids or paths of files>]`, in an interpreter that has
llama-index-indices-managed-dashscope 0.6.0 and llama-index-readers-dashscope 0.4.1.
"""

import asyncio
import contextlib
import io
import json
import os
import sys
from typing import Any

from llama_index.core import Document
from llama_index.indices.managed.dashscope import DashScopeCloudIndex, DashScopeCloudRetriever, utils
from llama_index.readers.dashscope.base import DashScopeParse

NAME = "演示知识库"
KEY = {"api_key": "sk-explicit"}


def _found(nodes: list[Any]) -> list[Any]:
    return [[each.node.node_id == each.node.metadata["_id"], each.node.get_content(), each.score] for each in nodes]


def retrieve(url: str) -> list[Any]:
    """The name is looked for, then asked; history goes along."""
    retriever = DashScopeCloudRetriever(NAME, rerank_top_n=1, enable_rewrite=True)
    history = [{"role": "user", "content": "生鲜"}]
    return [
        _found(retriever.retrieve("退货")),
        _found(retriever.retrieve("支持吗", query_history=history)),
        _found(asyncio.run(retriever.aretrieve("退货"))),
    ]


def build(url: str, first: str, second: str) -> dict[str, Any]:
    """A knowledge base is made of a file, another file goes in, the first comes out."""
    index = DashScopeCloudIndex.from_documents([Document(id_=first, text="")], "手册", base_url=url, **KEY)
    steps = {"made": _found(index.as_retriever().retrieve("保修"))}
    index._insert([Document(id_=second, text="")])
    steps["inserted"] = _found(index.as_retriever().retrieve("退款"))
    index.delete_ref_doc([first])
    steps["deleted"] = _found(index.as_retriever().retrieve("保修"))
    return steps


def fails(url: str, file_id: str) -> list[Any]:
    """An import that fails is told on the standard output only."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        made = DashScopeCloudIndex.from_documents([Document(id_=file_id, text="")], "手册", base_url=url, **KEY)
    return [made is None, said.getvalue().splitlines()[-1]]


def own_settings(url: str) -> list[str]:
    """A retriever of an index takes the environment's key, not the index's."""
    index = DashScopeCloudIndex(NAME, base_url=url, workspace_id="llm-demo", **KEY)
    retriever = index.as_retriever()
    return [index._api_key, retriever._api_key]


def missing(url: str) -> str:
    """A name that nobody has is found out late."""
    try:
        DashScopeCloudRetriever("无此").retrieve("退货")
    except Exception as error:  # noqa: BLE001  the plug-in's kinds of error are what is asked for
        return type(error).__name__
    return "nothing"


def insert(url: str, file_id: str) -> str:
    """`insert`, as every index of LlamaIndex has it."""
    try:
        DashScopeCloudIndex(NAME, base_url=url, **KEY).insert(Document(id_=file_id, text=""))
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return "nothing"


def busy_wait(url: str, polls: str) -> list[int]:
    """While its status cannot be read, an import is asked for without a pause."""
    answers, pauses = iter([503] * int(polls) + [200]), []

    class Answer:
        def __init__(self, status: int) -> None:
            self.good = status == 200

        def json(self) -> dict[str, Any]:
            return {"code": "Success", "ingestion_status": "COMPLETED"} if self.good else {"code": "InternalError"}

    asked = []
    utils.requests = type("Requests", (), {"get": lambda *_, **__: asked.append(1) or Answer(next(answers))})
    utils.time = type("Time", (), {"sleep": pauses.append})
    with contextlib.redirect_stdout(io.StringIO()):
        utils.run_ingestion(url, {})
    return [len(asked), len(pauses)]


def read(url: str, path: str) -> list[Any]:
    """A file is uploaded, parsed, and comes back as a document, with other metadata than was given."""
    reader = DashScopeParse(base_url=url, check_interval=0, show_progress=False, verbose=False, **KEY)
    documents = reader.load_data(path, extra_info={"author": "小王"})
    return [[each.id_, json.loads(each.text), each.metadata] for each in documents]


SCENARIOS = {each.__name__: each for each in (retrieve, build, fails, own_settings, missing, insert, busy_wait, read)}


def main(scenario: str, url: str, *arguments: str) -> None:
    """Print the scenario's outcome. The plug-in says a lot on the standard output, and waits five seconds at a time."""
    os.environ["DASHSCOPE_API_KEY"] = "sk-environment"
    os.environ["DASHSCOPE_BASE_URL"] = url
    utils.time = type("Time", (), {"sleep": lambda _: None})
    with contextlib.redirect_stdout(io.StringIO()):
        outcome = SCENARIOS[scenario](url, *arguments)
    sys.stdout.write(json.dumps(outcome, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
