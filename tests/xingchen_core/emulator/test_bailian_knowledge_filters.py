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
