"""Retrieval services of the emulator: several knowledge bases behind one id, by plain HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_library_api import LibraryApi, library
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_index_store import Chunk

SEARCH = "/api/v1/indices/knowledge/search"


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator, whose base `kbtest` has three documents."""
    with library(emulator) as client:
        yield client


def found(answer: Any) -> list[tuple[str, float]]:
    """(document, score) of nodes."""
    return [(node["metadata"]["doc_name"], node["score"]) for node in answer["nodes"]]


@pytest.fixture
def service(emulator: Emulator, api: LibraryApi) -> str:
    """A published service over two bases, the second of which counts double."""
    knowledge = emulator.bailian.knowledge
    knowledge.add_index("第二", "kbtwo")
    knowledge.add_document("kbtwo", "z.txt", "red zebra yak")
    service = knowledge.services["aid-demo"]
    service.index_ids, service.weights = ["kbtest", "kbtwo"], {"kbtwo": 2.5}
    return "aid-demo"


def test_a_service(api: LibraryApi, service: str) -> None:
    """Order is by weighted scores, while each result shows its own: they need not descend."""
    data = api.data(SEARCH, {"agent_id": service, "query": "red apple"})
    assert found(data) == [("z", 0.5), ("a", 1.0), ("c", 0.5), ("b", 0.5)]
    assert (data["total"], data["cost_time"]) == (4, 12)
    first = data["nodes"][0]
    assert first["text"] == "文档名: z\n标题: \n正文: red zebra yak"
    assert first["metadata"]["content"] == "red zebra yak"
    assert (first["metadata"]["_score_with_weight"], first["metadata"]["_rank_weight"]) == (1.25, 2.5)
    assert first["metadata"]["_knowledge_type"] == "document"


def test_filters_of_a_service(emulator: Emulator, api: LibraryApi, service: str) -> None:
    """A call's filters are added to the service's own, for the base they name; OR can be nested here."""
    emulator.bailian.knowledge.services[service].filters = [{"tags": ["fruit"]}]
    nested = [{"_operator": "OR", "_conditions": [{"year": 2022}, {"year": {"gte": 2024}}]}]
    configs = [{"id": "kbtest", "search_filters": nested}]
    assert found(api.data(SEARCH, {"agent_id": service, "query": "red apple", "kb_search_configs": configs})) == [
        ("c", 0.5)
    ]


def test_picture_search(emulator: Emulator, api: LibraryApi, service: str) -> None:
    """An empty query is legal beside pictures only."""
    chunks = [Chunk("c1", "photo", images=("https://example.com/1.jpg",))]
    emulator.bailian.knowledge.add_document("kbtwo", "p.md", chunks=chunks)
    body = {"agent_id": service, "query": "", "images": ["https://example.com/1.jpg"]}
    assert found(api.data(SEARCH, body)) == [("p", 1.0)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"agent_id": ""}, "agent_id is required"),
        ({"query": ""}, "query is required"),
        ({"kb_search_configs": [{}]}, "kb_search_configs[0].id is required"),
        ({"kb_search_configs": [{"id": "kbno"}]}, "kb not bound to agent: kbno"),
        ({"kb_search_configs": [{"id": "kbtwo"}] * 2}, "duplicate kb id in kb_search_configs: kbtwo"),
        (
            {"kb_search_configs": [{"id": "kbtwo", "search_filters": [{"tags": ["x" * 80000]}]}]},
            "search_filters total bytes must less than 80000",
        ),
        (
            {"kb_search_configs": [{"id": "kbtwo", "search_filters": [{"tags": ["x"] * 1001}]}]},
            "search_filters[0].tags array size must not exceed 1000",
        ),
        ({"agent_version": "7"}, "agent is not published: aid-demo"),
        ({"agent_id": "aid-none"}, "agent not exist: aid-none"),
    ],
)
def test_refusals_of_a_service(api: LibraryApi, service: str, wrong: dict[str, Any], message: str) -> None:
    """The documented refusals, word for word."""
    body = {"agent_id": service, "query": "red", **wrong}
    assert api.refused(SEARCH, body) == (400, "InvalidParameter", message)


def test_strict_filters(emulator: Emulator, api: LibraryApi, service: str) -> None:
    """The other reading of its page: only tags and meta."""
    emulator.bailian.knowledge.strict_search_filters = True
    configs = [{"id": "kbtest", "search_filters": [{"year": 2020}]}]
    assert api.refused(SEARCH, {"agent_id": service, "query": "red", "kb_search_configs": configs})[2] == (
        "search_filters[0] contains invalid key 'year'. Only 'tags' and 'meta' are allowed for unstructured data"
    )


def test_unpublished(emulator: Emulator, api: LibraryApi, service: str) -> None:
    """A draft is asked as `beta`, or not at all."""
    emulator.bailian.knowledge.services[service].published = 0
    assert api.refused(SEARCH, {"agent_id": service, "query": "red"})[0] == 400
    assert found(api.data(SEARCH, {"agent_id": service, "agent_version": "beta", "query": "yak"})) == [("z", 1.0)]


def test_publishing(api: LibraryApi) -> None:
    """Making a service answers under `data`, deploying it at the top level; flags are text."""
    base = "/api/v1/indices/rag/app/"
    config = {"kb_configs": [{"id": "kbtest"}], "enable_rerank": "true"}
    made = api.data(base + "create", {"agent_name": "检索", "agent_scene": "search", "agent_config": config})
    assert made["agent_version"] == "beta"
    asked = {"agent_id": made["agent_id"], "query": "pie"}
    assert api.refused(SEARCH, asked)[0] == 400
    deployed = api.http.post(base + "deploy", json={"agent_id": made["agent_id"]}).json()
    assert (deployed["agent_version"], deployed["agent_status"]) == ("1", "published")
    assert found(api.data(SEARCH, asked)) == [("c", 1.0)]
    assert api.refused(base + "update", {**asked, "agent_config": {"x": True}})[1] == "InvalidParameter"
    copied = api.data(base + "copy", asked)["agent_id"]
    assert api.data(base + "get", {"agent_id": copied})["agent_version"] == "beta"
    assert api.data(base + "list", {})["total_count"] == 3
    assert api.data(base + "delete", asked) is True
    assert api.refused(SEARCH, asked)[2] == f"agent not exist: {made['agent_id']}"
