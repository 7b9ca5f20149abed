"""LlamaIndex's own plug-ins for Bailian's knowledge bases on the emulator.

They are llama-index-indices-managed-dashscope 0.6.0 and llama-index-readers-dashscope 0.4.1, in an interpreter of their
own: `LLAMA_INDEX_DASHSCOPE_SDK_PYTHON`, or an environment built once into `.venv-sdk-llama_index_dashscope`. Where one
goes wrong, what ours does in its place stands in the same test; more of its
faults are in tests/llama_index_xingchen/test_peers_faults.py.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document

from llama_index_xingchen import BailianIndex
from vendor_sdk import run_scenario, sdk_python
from xingchen_core import InternalServerError, NotFoundError
from xingchen_core.bailian import knowledge
from xingchen_core.emulator import Emulator

SCENARIOS = Path(__file__).with_name("llama_index_dashscope_scenarios.py")
PEERS = ("llama-index-indices-managed-dashscope==0.6.0", "llama-index-readers-dashscope==0.4.1")

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has the plug-in."""
    return sdk_python("llama_index_dashscope", "llama_index/readers/dashscope/base.py", *PEERS)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def peer(python: str, emulator: Emulator) -> Run:
    """Runs a scenario and returns what the plug-in made of it."""
    return lambda scenario, *arguments: run_scenario(python, SCENARIOS, scenario, emulator.url, *arguments)


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Our client, which does not wait."""
    monkeypatch.setattr("xingchen_core._client._sleep", lambda _: None)
    settings = knowledge.KnowledgeSettings(api_key="sk-ours", base_url=emulator.url)
    with settings.client() as running:
        yield running


def test_retrieval(peer: Run, emulator: Emulator, client: Any) -> None:
    """Nodes come into LlamaIndex's own. The plug-in sends its key bare, which the emulator takes on this route only;
    ours finds the same with `Bearer`.
    """
    goods = [[True, "收到商品七天内可以无理由退货。", 1.0]]
    # Of 生鲜支持吗, which the history makes of 支持吗, the chunk lacks 吗.
    assert peer("retrieve") == [goods, [[True, "生鲜商品不支持退货，质量问题除外。", 0.8]], goods]
    assert {request.headers["authorization"] for request in emulator.requests} == {"sk-environment"}
    request = knowledge.RetrieveRequest(query="退货", index_id="kbdemo0001", k=1)
    [node] = client.send(knowledge.from_pipeline(request))
    assert [[True, node.text, node.score]] == goods
    assert emulator.requests[-1].headers["authorization"] == "Bearer sk-ours"


def test_building(peer: Run, emulator: Emulator) -> None:
    """Upsert, ingestion, append and delete, up to what is found after each."""
    add = emulator.bailian.knowledge.add_file
    first, second = add("保修.md", "整机保修两年，电池保修一年。"), add("退款.md", "三天内退款到账。")
    assert peer("build", first.file_id, second.file_id) == {
        "made": [[True, "整机保修两年，电池保修一年。", 1.0]],
        "inserted": [[True, "三天内退款到账。", 1.0]],
        "deleted": [],
    }
    assert first.file_id in emulator.bailian.knowledge.files  # out of the knowledge base, not of the data centre


def test_a_failed_import(peer: Run, emulator: Emulator, client: Any) -> None:
    """The plug-in returns None and prints the name of a variable; ours raises and names the document."""
    file_id = emulator.bailian.knowledge.add_file("坏.md", "坏").file_id
    emulator.bailian.knowledge.failing_imports = {"坏.md"}
    assert peer("fails", file_id) == [True, "Index {name} created failed!"]
    spec = knowledge.IndexSpec(name="手册二", source=knowledge.Source(document_ids=(file_id,)))
    job = client.run(knowledge.create_index(spec))
    with pytest.raises(knowledge.DocumentsFailedError, match="坏: INSERT_ERROR"):
        client.run(knowledge.wait_for_job(job.index_id, job.job_id))


def test_settings_of_an_index(peer: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in's `as_retriever` takes the environment's key; ours the index's."""
    assert peer("own_settings") == ["sk-explicit", "sk-environment"]
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment")
    BailianIndex("kbdemo0001", api_key="sk-explicit", base_url=emulator.url).as_retriever().retrieve("退货")
    assert emulator.requests[-1].headers["authorization"] == "Bearer sk-explicit"


def test_a_name_that_nobody_has(peer: Run, emulator: Emulator, client: Any) -> None:
    """The plug-in asks an index without an id; ours says that there is none, and asks nothing."""
    assert peer("missing") == "RuntimeError"
    assert emulator.requests[-1].path == "/api/v1/indices/pipeline//retrieve"
    with pytest.raises(NotFoundError, match="无此"):
        client.run(knowledge.find_pipeline("无此"))
    assert emulator.requests[-1].path == "/api/v1/indices/pipeline_simple"


def test_insert(peer: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in's `insert`, which LlamaIndex promises of every index, cannot be called; ours inserts."""
    file_id = emulator.bailian.knowledge.add_file("保修.md", "整机保修两年。").file_id
    assert peer("insert", file_id) == "AttributeError"
    monkeypatch.setattr("xingchen_core._client._sleep", lambda _: None)
    index = BailianIndex("kbdemo0001", api_key="sk-ours", base_url=emulator.url)
    index.insert(Document(id_="保修", text="整机保修两年。"))
    assert index.as_retriever().retrieve("整机保修")[0].text == "整机保修两年。"


def test_waiting(peer: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in asks for a status that fails again and again, without a pause or an end; ours gives up."""
    assert peer("busy_wait", "50") == [51, 0]
    pauses: list[float] = []
    monkeypatch.setattr("xingchen_core._client._sleep", pauses.append)
    emulator.fail("status", status=503, times=100, path="index_job/status")
    settings = knowledge.KnowledgeSettings(api_key="sk-ours", base_url=emulator.url)
    with settings.client() as client, pytest.raises(InternalServerError):
        client.run(knowledge.wait_for_job("kbdemo0001", "job"))
    assert len(emulator.requests) == 3  # the first, and two repetitions
    assert min(pauses) > 0


def test_reading_a_file(peer: Run, emulator: Emulator, tmp_path: Path) -> None:
    """Lease, upload, register, parse and fetch are understood; metadata is the plug-in's, whatever was given."""
    path = tmp_path / "保修.md"
    path.write_text("整机保修两年。\n\n电池保修一年。", "utf-8")
    [[file_id, text, metadata]] = peer("read", str(path))
    assert json.loads(text) == ["整机保修两年。", "电池保修一年。"]
    assert (file_id in emulator.bailian.knowledge.files, metadata) == (True, {"parse_fmt_type": "DASHSCOPE_DOCMIND"})


def test_a_file_in_the_queue(peer: Run, emulator: Emulator, client: Any, tmp_path: Path) -> None:
    """The plug-in takes a status that it does not know for a failure, and a failure for no documents; ours waits."""
    emulator.bailian.knowledge.polls_until_done = 3
    path = tmp_path / "保修.md"
    path.write_text("整机保修两年。", "utf-8")
    assert peer("read", str(path)) == []
    file_id = client.run(knowledge.upload_file(path))
    [file] = client.run(knowledge.wait_for_files([file_id]))
    assert file.status == "PARSE_SUCCESS"
