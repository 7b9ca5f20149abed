"""Search filters of the emulated knowledge bases: every documented form, on the route that documents it."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_library_api import RAG, LibraryApi, library
from xingchen_core.emulator import Emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP; a: 2020, by Li, fruit; b: 2024, car; c: 2022, by Zhang, tech_lead, fruit and cake."""
    with library(emulator) as client:
        yield client


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([{"by": "Zhang"}], "c"),
        ([{"by": "zhang"}], ""),
        ([{"by": ["Zhang", "Li"]}], "ac"),
        ([{"by": {"eq": "zhang"}}], "c"),
        ([{"by": {"neq": "Li"}}], "bc"),
        ([{"year": 2022}], "c"),
        ([{"year": [2020, 2024]}], "ab"),
        ([{"year": {"gt": 2020}}], "bc"),
        ([{"year": {"gte": 2020, "lt": 2024}}], "ac"),
        ([{"year": {"lte": 2020}}], "a"),
        ([{"job": {"like": "tech%"}}], "c"),
        ([{"job": {"like": "tech_lead"}}], "c"),
        ([{"job": {"like": "tech"}}], ""),
        ([{"by": {"like": "%i"}}], "a"),
        ([{"tags": ["car", "cake"]}], "bc"),
        ([{"tags": ["fruit"]}, {"tags": ["cake"]}], "c"),
        ([{"tags": ["fruit"], "by": "Li"}], "a"),
        ([{"tags": '["car", "cake"]'}], "bc"),
        ([{"year": '{"gte": 2022, "lte": 2023}'}], "c"),
        ([{"meta": {"by": "Li"}}], "a"),
        ([{"undeclared": "x"}], "abc"),
        ([], "abc"),
    ],
    ids=str,
)
def test_forms(api: LibraryApi, filters: list[Any], names: str) -> None:
    """Keys and sub-groups all hold; lists mean any of them; what was never declared has no effect."""
    nodes = api.data(RAG + "retrieve", {"index_id": "kbtest", "query": "red green apple", "search_filters": filters})
    assert "".join(sorted(node["metadata"]["doc_name"] for node in nodes["nodes"])) == names


@pytest.mark.parametrize("wrong", [[{"year": {"near": 1}}], [{"year": {"gt": "soon"}}], ["year"]], ids=str)
def test_bad_forms(api: LibraryApi, wrong: list[Any]) -> None:
    """Unknown operators, and comparisons with what is no number, are refused."""
    body = {"index_id": "kbtest", "query": "red", "search_filters": wrong}
    assert api.refused(RAG + "retrieve", body)[:2] == (400, "InvalidParameter")


def test_document_ids(emulator: Emulator) -> None:
    """Only a retrieval service filters by `doc_id`: one, or any of several. One base alone does not hear it."""
    knowledge = emulator.bailian.knowledge
    wanted, other, _ = knowledge.indexes["kbdemo0001"].documents
    with library(emulator) as api:
        for filters, ids in (
            ([{"doc_id": wanted}], {wanted}),
            ([{"doc_id": [wanted, other]}], {wanted, other}),
            ([{"doc_id": "file_none"}], set()),
        ):
            configs = [{"id": "kbdemo0001", "search_filters": filters}]
            body = {"agent_id": "aid-demo", "query": "退货 发票 app", "kb_search_configs": configs}
            nodes = api.data("/api/v1/indices/knowledge/search", body)["nodes"]
            assert {node["metadata"]["doc_id"] for node in nodes} == ids
        body = {"index_id": "kbdemo0001", "query": "退货 发票 app", "search_filters": [{"doc_id": "file_none"}]}
        assert api.data(RAG + "retrieve", body)["total"] == 4
