"""Retrieval by signed calls to the emulator, with signatures made by hand."""

import json
import math
from collections.abc import Iterator

import pytest

from bailian_library_api import RAG, LibraryApi, library
from xingchen_core.emulator import Emulator


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to the emulator, whose base `kbtest` has three documents."""
    with library(emulator) as client:
        yield client


@pytest.mark.parametrize("as_text", [False, True])
def test_the_signed_route(emulator: Emulator, api: LibraryApi, as_text: bool) -> None:
    """All in the query string, answered in Pascal case; metadata is an object, or text in the reference's example."""
    emulator.bailian.knowledge.metadata_as_text = as_text
    query = {"IndexId": "kbtest", "Query": "red apple", "EnableReranking": "True", "RerankTopN": "2"}
    response = api.signed("Retrieve", "POST", "/index/retrieve", query)
    answer = response.json()
    assert response.status_code == 200
    assert {name: answer[name] for name in ("Code", "Message", "Status", "Success")} == {
        "Code": "Success",
        "Message": "success",
        "Status": "200",
        "Success": True,
    }
    assert [(node["Score"], node["Text"]) for node in answer["Data"]["Nodes"]] == [
        (1.0, "red apple"),
        (0.5, "green apple pie"),
    ]
    metadata = answer["Data"]["Nodes"][0]["Metadata"]
    assert isinstance(metadata, str) is as_text
    assert (json.loads(metadata) if as_text else metadata)["doc_name"] == "a"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"EnableReranking": "false"}, ["a", "c", "b"]),
        ({"EnableReranking": "FALSE"}, ["a", "c", "b"]),
        ({"RerankMinScore": "0.5"}, ["a"]),
        ({"SearchFilters": '[{"tags":"[\\"cake\\", \\"car\\"]"}]'}, ["c", "b"]),
        ({"SearchFilters": '[{"tags":["cake","car"]}]'}, ["c", "b"]),
        ({"SearchFilters": '[{"year":"{\\"gte\\": 2022, \\"lte\\": 2023}"}]'}, ["c"]),
        ({"Query": "", "Images": "https://example.com/1.jpg,https://example.com/2.jpg"}, []),
        (
            {
                "Query": "pie",
                "EnableRewrite": "True",
                "QueryHistory": '[{"role":"user","content":"blue"}]',
                "Rewrite": '[{"ModelName":"conv-rewrite-qwen-1.8b"}]',
            },
            ["c", "b"],
        ),
        ({"Rerank": '[{"ModelName":"qwen3-rerank","RerankMode":"custom","RerankInstruct":"x"}]'}, ["a", "c", "b"]),
    ],
    ids=str,
)
def test_signed_parameters(api: LibraryApi, query: dict[str, str], names: list[str]) -> None:
    """Booleans in any case, numbers as text, structures as JSON, pictures joined by commas."""
    given = {"IndexId": "kbtest", "Query": "red apple", **query}
    nodes = api.call("Retrieve", "POST", "/index/retrieve", given, plus=True)["Nodes"]
    assert [node["Metadata"]["doc_name"] for node in nodes] == names


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"IndexId": "kbnone"}, "Index.IndexNotExist"),
        ({"Query": ""}, "InvalidParameter"),
        ({"RerankMinScore": "0"}, "InvalidParameter"),
        ({"RerankTopN": "x"}, "InvalidParameter"),
        ({"EnableReranking": "yes"}, "InvalidParameter"),
        ({"SearchFilters": "tags"}, "InvalidParameter"),
    ],
    ids=str,
)
def test_signed_failures(emulator: Emulator, api: LibraryApi, query: dict[str, str], code: str) -> None:
    """A business failure comes under HTTP 200 with `Success: false`; under 400 where switched so."""
    given = {"IndexId": "kbtest", "Query": "red", **query}
    for under_200, status in [(True, 200), (False, 400)]:
        emulator.bailian.knowledge.signed_failures_under_200 = under_200
        response = api.signed("Retrieve", "POST", "/index/retrieve", given)
        told = response.json()
        assert (response.status_code, told["Success"], told["Code"], told["Status"]) == (status, False, code, "400")


def test_a_body_is_not_heard(api: LibraryApi) -> None:
    """Retrieval takes its parameters from the URL and nowhere else."""
    response = api.signed("Retrieve", "POST", "/index/retrieve", None, {"IndexId": "kbtest", "Query": "red"})
    assert response.json()["Success"] is False


@pytest.mark.parametrize("polls", [0, 1, math.inf])
def test_all_routes_see_one_store(emulator: Emulator, api: LibraryApi, polls: float) -> None:
    """What is imported with a key is found with a signature, however long the job pretends to run."""
    knowledge = emulator.bailian.knowledge
    knowledge.polls_until_done, knowledge.polls_running_after_rows = 0, polls
    file_id = knowledge.add_file("n.txt", "orange juice").file_id
    api.data(RAG + "job/create", {"indexId": "kbtest", "sourceType": "DATA_CENTER_FILE", "docIds": [file_id]})
    nodes = api.call("Retrieve", "POST", "/index/retrieve", {"IndexId": "kbtest", "Query": "juice"})["Nodes"]
    assert [node["Metadata"]["doc_id"] for node in nodes] == [file_id]
