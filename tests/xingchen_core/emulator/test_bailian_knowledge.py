"""Retrieval from the emulated knowledge bases with an API key, from one base and by the legacy pipeline."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_library_api import INDEX, PIPELINE, RAG, WORKSPACE, LibraryApi, library
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator, whose base `kbtest` has three documents."""
    with library(emulator) as client:
        yield client


def test_one_base(api: LibraryApi) -> None:
    """A result has score, bare text and metadata; nothing else stands beside them."""
    data = api.data(RAG + "retrieve", {"index_id": INDEX, "query": "电子发票"})
    assert (data["total"], len(data["nodes"])) == (1, 1)
    node = data["nodes"][0]
    assert sorted(node) == ["metadata", "score", "text"]
    assert (node["score"], node["text"]) == (1.0, "在订单详情里点「申请发票」，电子发票当天开好。")
    found = node["metadata"]
    assert found["_id"] == f"{WORKSPACE}_{INDEX}_{found['doc_id']}_0_0"
    assert (found["doc_name"], found["title"], found["content"]) == ("发票指南", "发票指南", node["text"])
    assert (found["page_number"], found["image_url"], found["_score"]) == ([0], [], 1.0)
    assert (found["pipeline_id"], found["workspace_id"]) == (INDEX, WORKSPACE)
    assert "?Expires=" in found["file_path"]


def test_reranked(api: LibraryApi) -> None:
    """With reranking the score is the share of the query's terms; what has none is dropped."""
    assert api.retrieve("red apple", "kbtest") == [("a", 1.0), ("c", 0.5), ("b", 0.5)]
    assert api.retrieve("pie", "kbtest") == [("c", 1.0)]
    assert api.retrieve("nothing", "kbtest") == []


def test_not_reranked(api: LibraryApi) -> None:
    """Without, it is the recall's own, on another scale: common terms in all terms of both."""
    found = api.retrieve("red apple", "kbtest", enable_reranking=False)
    # {red, apple}; {red, car, green, blue}: 1 of 5; {green, apple, pie}: 1 of 4
    assert found == [("a", 1.0), ("c", 0.25), ("b", 0.2)]


def test_top_n(api: LibraryApi) -> None:
    """rerank_top_n is heeded, five is the default, and `top_k` is not heard."""
    assert len(api.retrieve("red apple", "kbtest", rerank_top_n=1)) == 1
    assert len(api.retrieve("red apple", "kbtest", top_k=1)) == 3
    assert len(api.retrieve("red apple", "kbtest", dense_similarity_top_k=0, sparse_similarity_top_k=1)) == 1


def test_threshold(emulator: Emulator, api: LibraryApi) -> None:
    """Only scores above the base's threshold are kept; a call's own is not heard here unless switched on."""
    emulator.bailian.knowledge.indexes["kbtest"].rerank_min_score = 0.5
    assert api.retrieve("red apple", "kbtest") == [("a", 1.0)]
    assert len(api.retrieve("red apple", "kbtest", rerank_min_score=0.01)) == 1
    emulator.bailian.knowledge.index_route_takes_more = True
    assert len(api.retrieve("red apple", "kbtest", rerank_min_score=0.01)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": ""},
        {"query": None},
        {"rerank_top_n": 21},
        {"rerank_top_n": 0},
        {"dense_similarity_top_k": 101},
        {"rerank_top_n": "5"},
        {"enable_reranking": "true"},
        {"rerank": [{"model_name": "bge"}]},
        {"rerank": ["qwen3-rerank"]},
        {"rerank": [{"rerank_mode": "best"}]},
        {"rerank": [{"rerank_mode": "qa", "rerank_instruct": "x"}]},
        {"search_filters": {"tags": ["a"]}},
        {"search_filters": [["a"]]},
    ],
    ids=str,
)
def test_bad_values(api: LibraryApi, wrong: dict[str, Any]) -> None:
    """A value outside its bounds or of another type is refused with its own code."""
    status, code, message = api.refused(RAG + "retrieve", {"index_id": "kbtest", "query": "red", **wrong})
    assert (status, code) == (400, "InvalidParameter")
    assert message


def test_unknown_base(emulator: Emulator, api: LibraryApi) -> None:
    """A base that does not exist is an error, and never an empty result; under HTTP 200 too, where switched on."""
    error = ("Index.IndexNotExist", "index not exist, index_id: kbnone, workspace: llm-demo")
    body = {"index_id": "kbnone", "query": "x"}
    assert api.refused(RAG + "retrieve", body) == (400, *error)
    emulator.bailian.knowledge.rag_failures_under_200 = True
    assert api.refused(RAG + "retrieve", body) == (200, *error)


def test_nested_errors(emulator: Emulator, api: LibraryApi) -> None:
    """The form of errors that one general page shows, where switched on."""
    emulator.bailian.knowledge.nested_errors = True
    answer = api.http.post(RAG + "retrieve", json={"index_id": "kbnone", "query": "x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], sorted(answer.json())) == (
        400,
        "Index.IndexNotExist",
        ["error", "request_id"],
    )


@pytest.mark.parametrize("header", [None, "Bearer invalid", "Bearer", "test-key", "Bearer sk-sp-abc"])
def test_keys(api: LibraryApi, header: str | None) -> None:
    """The key comes as a bearer; a coding-plan key opens nothing."""
    headers = {"Authorization": header} if header else {}
    response = api.bare.post(RAG + "retrieve", json={"index_id": INDEX, "query": "x"}, headers=headers)
    body = response.json()
    assert (response.status_code, body["code"], body["success"]) == (401, "InvalidApiKey", False)


def test_workspaces(emulator: Emulator, api: LibraryApi) -> None:
    """A base is seen from its own workspace only; a workspace nobody knows is forbidden."""
    emulator.bailian.workspaces.add("llm-second")
    body = {"index_id": INDEX, "query": "退货"}
    for named, status, code in [("llm-second", 400, "Index.IndexNotExist"), ("llm-none", 403, "Forbidden")]:
        response = api.http.post(RAG + "retrieve", json=body, headers={"X-DashScope-WorkSpace": named})
        assert (response.status_code, response.json()["code"]) == (status, code)


def test_one_query_a_second(emulator: Emulator, api: LibraryApi) -> None:
    """The standard plan: a second query within the second is refused, by a body of four members."""
    emulator.bailian.knowledge.queries_per_second = 1
    now = [1000.0]
    emulator.bailian.clock = lambda: now[0]
    body = {"index_id": INDEX, "query": "退货"}
    assert api.http.post(RAG + "retrieve", json=body).status_code == 200
    refused = api.http.post(RAG + "retrieve", json=body)
    assert refused.status_code == 429
    told = refused.json()
    assert told.pop("request_id")
    message = "Requests rate limit exceeded, please try again later."
    assert told == {"code": "Throttling", "status_code": 429, "message": message}
    assert api.retrieve("red", "kbtest") != []  # another base has a second of its own
    now[0] += 1
    assert api.http.post(RAG + "retrieve", json=body).status_code == 200


def test_lag(emulator: Emulator, api: LibraryApi) -> None:
    """What was written or deleted shows late, where switched on."""
    knowledge = emulator.bailian.knowledge
    knowledge.write_lag_seconds, knowledge.delete_lag_seconds = 10, 20
    now = [1000.0]
    emulator.bailian.clock = lambda: now[0]
    file_id = knowledge.add_document("kbtest", "d.txt", "purple plum").file.file_id
    chunk = {"pipelineId": "kbtest", "dataId": file_id, "field": {"content": "violet grape"}}
    api.data(RAG + "chunk/create", chunk)
    assert api.retrieve("violet", "kbtest") == []
    now[0] += 10
    assert api.retrieve("violet", "kbtest") == [("d", 1.0)]
    assert api.data(RAG + "delete_file", {"index_id": "kbtest", "doc_ids": [file_id]}) == {"deleted": [file_id]}
    assert api.retrieve("violet", "kbtest") == [("d", 1.0)]
    assert api.data(RAG + "files", index_id="kbtest")["total_count"] == 4
    now[0] += 20
    assert api.retrieve("violet", "kbtest") == []
    assert api.data(RAG + "files", index_id="kbtest")["total_count"] == 3


def test_media(emulator: Emulator, api: LibraryApi) -> None:
    """URLs of media are signed, and say when they end; a hidden chunk is not found."""
    knowledge = emulator.bailian.knowledge
    chunks = [
        Chunk("c1", "sunset photo", images=("https://example.com/1.jpg",)),
        Chunk("c2", "sunset hidden", displayed=False),
    ]
    knowledge.add_document("kbtest", "p.md", chunks=chunks)
    emulator.bailian.clock = lambda: 1000.0
    nodes = api.data(RAG + "retrieve", {"index_id": "kbtest", "query": "sunset"})["nodes"]
    assert [node["metadata"]["image_url"] for node in nodes] == [["https://example.com/1.jpg?Expires=4600"]]


PLUGIN = {  # as the vendor's plug-in for LlamaIndex sends it
    "dense_similarity_top_k": 100,
    "sparse_similarity_top_k": 100,
    "enable_rewrite": False,
    "rewrite": [{"model_name": "conv-rewrite-qwen-1.8b", "class_name": "DashScopeTextRewrite"}],
    "enable_reranking": True,
    "rerank": [{"model_name": "gte-rerank-hybrid"}],
    "rerank_min_score": 0.0,
    "rerank_top_n": 5,
    "query_history": None,
}


@pytest.mark.parametrize("key", ["test-key", "Bearer test-key"])
def test_the_legacy_pipeline(api: LibraryApi, key: str) -> None:
    """A name is looked up, then asked: nodes stand at the top, each wrapped; a bare key is taken."""
    headers = {"authorization": key, "x-dashscope-workspace": WORKSPACE}
    known = api.bare.get(PIPELINE + "_simple", params={"pipeline_name": "测试"}, headers=headers).json()
    assert (known["code"], known["status"], known["id"]) == ("Success", "SUCCESS", "kbtest")
    asked = api.bare.post(f"{PIPELINE}/kbtest/retrieve", json={"query": "pie", **PLUGIN}, headers=headers)
    answer = asked.json()
    assert (asked.status_code, answer["code"], answer["total"], "data" in answer) == (200, "Success", 1, False)
    node = answer["nodes"][0]
    assert (node["score"], node["node"]["text"]) == (1.0, "green apple pie")
    assert node["node"]["id_"] == node["node"]["metadata"]["_id"]


def test_legacy_names(api: LibraryApi) -> None:
    """Only the exact name has an id."""
    answer = api.http.get(PIPELINE + "_simple", params={"pipeline_name": "测"})
    assert (answer.status_code, "id" in answer.json()) == (200, False)
    gone = api.http.post(f"{PIPELINE}/kbnone/retrieve", json={"query": "x"})
    assert (gone.status_code, gone.json()["code"]) == (400, "Index.IndexNotExist")


def test_rewriting(api: LibraryApi) -> None:
    """With enable_rewrite, what the user said before counts too; without, history is not heard."""
    history = [{"role": "user", "content": "apple pie"}, {"role": "assistant", "content": "car"}]
    body = {"query": "green", "query_history": history, "rerank_top_n": 1}
    for rewrite, score in [(True, 1.0), (False, 1.0)]:
        answer = api.http.post(f"{PIPELINE}/kbtest/retrieve", json={**body, "enable_rewrite": rewrite}).json()
        assert answer["nodes"][0]["score"] == score
        names = [node["node"]["metadata"]["doc_name"] for node in answer["nodes"]]
        assert names == (["c"] if rewrite else [names[0]])
    alone = api.http.post(f"{PIPELINE}/kbtest/retrieve", json={**body, "rerank_top_n": 5}).json()
    assert [node["score"] for node in alone["nodes"]] == [1.0, 1.0]
    whole = api.http.post(f"{PIPELINE}/kbtest/retrieve", json={**body, "rerank_top_n": 5, "enable_rewrite": True})
    assert [node["score"] for node in whole.json()["nodes"]] == [1.0, 0.3333, 0.3333]
