"""Our requests beside those of the official SDK and of LlamaIndex's plug-ins (tests/fixtures/bailian_openapi_requests).

Equal in method, path, query, the headers that route, and meaning of the body. The SDK writes `True` for true,
puts spaces into some of its JSON, and sends nulls: none of it has a meaning.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from xingchen_core import Call, Message
from xingchen_core.bailian import knowledge
from xingchen_core.bailian.knowledge import Condition, Group, RetrieveRequest

FIXTURE = Path(__file__).parents[2] / "fixtures" / "bailian_openapi_requests.jsonl"
WS = "llm-fake0workspace"
KB = "kbfake0001"
FILE = "file_00000000000000000000000000000001_10000001"
FOLDER = "cate_00000000000000000000000000000002_10000001"
CHUNK = f"{WS}_{KB}_{FILE}_0_0"
PDF = b"%PDF-1.4 fake"

LLAMA = "indices-managed-dashscope"
READER = "readers-dashscope/load_data"


def _lines() -> dict[str, dict[str, Any]]:
    """The captured requests by name; several of one name are numbered."""
    seen: Counter[str] = Counter()
    lines = {}
    for line in map(json.loads, FIXTURE.read_text("utf-8").splitlines()):
        seen[line["case"]] += 1
        number = seen[line["case"]]
        lines[line["case"] if number == 1 else f"{line['case']}#{number}"] = line
    return lines


LINES = _lines()

NOT_OFFERED = {
    **dict.fromkeys(
        (name for name in LINES if "Memor" in name), "long-term memory has a module of its own, bailian.memory"
    ),
    **dict.fromkeys(
        (name for name in LINES if name.startswith("Application.")), "applications: tests of bailian.apps have them"
    ),
    f"{READER}#6": "fetching a URL that the service gave is any HTTP client's work",
}

ALWAYS_SENT = {"RerankTopN": 5}
"""Ours say how many chunks are wanted, the default too."""

MISTAKES = {
    "ApplyFileUploadLease": "an invented digest; ours is that of the file",
    f"{LLAMA}/retrieve": "no threshold of 0.0 (out of range, and in place of the index's own), and no model to rewrite "
    "with where nothing is rewritten",
    f"{LLAMA}/retrieve+history": "no threshold either; and since history without rewriting is ignored, ours rewrites",
}
"""Where the meaning differs on purpose: the members named here are compared apart from what the reason says."""


def _retrieve(*filters: dict[str, Any], **fields: Any) -> Call[Any]:
    request = RetrieveRequest(**{"query": "q", "index_id": KB, "search_filters": filters} | fields)
    return knowledge.from_openapi(request, signed_for=WS)


def _pipeline(**fields: Any) -> Call[Any]:
    rerank = knowledge.Rerank(model="gte-rerank-hybrid")
    return knowledge.from_pipeline(
        RetrieveRequest(index_id=KB, dense_top_k=100, sparse_top_k=100, rerank=rerank, **fields)
    )


def _body(name: str) -> Any:
    return LINES[name]["body"]


HISTORY = (Message(role="user", content="百炼 X1"), Message(role="assistant", content="It is a phone"))
SPEC = knowledge.IndexSpec(
    name="docs",
    description="d",
    source=knowledge.Source(document_ids=(FILE,)),
    knowledge_type="document",
    knowledge_scene="basic_document_qa",
    rerank_model="qwen3-rerank-hybrid",
    rerank_min_score=0.2,
    enable_rewrite=True,
    chunking=knowledge.Chunking(mode="regex", size=500, overlap=100, separator="(?<=。)", enable_headers=False),
    meta_columns=(
        {"Key": "author", "Value": "Tim", "Type": "constant", "Desc": "a", "EnableLlm": False, "EnableSearch": True},
    ),
    commercial_type="standard",
)
FOLDERS = knowledge.IndexSpec(name="docs", source=knowledge.Source(category_ids=(FOLDER,)), embedding_model=None)

CALLS: dict[str, Callable[[], Call[Any]]] = {
    "Retrieve/minimal": lambda: _retrieve(query="what is RAG"),
    "Retrieve/sts-token": lambda: _retrieve(),
    "Retrieve/all-parameters": lambda: _retrieve(
        query="百炼 X1 手机多少钱?",
        dense_top_k=80,
        sparse_top_k=20,
        images=("https://example.com/a.jpg", "https://example.com/b.jpg"),
        history=HISTORY,
        rerank=knowledge.Rerank(model="qwen3-rerank-hybrid", mode="custom", instruct="prefer price tables"),
        rerank_min_score=0.2,
        search_filters=({"tags": ["A", "B"]}, {"author": "Tim"}),
        extra={"SaveRetrieverHistory": False},
    ),
    "Retrieve/search_filters/single": lambda: _retrieve(filters=Condition("name", "eq", "Zhang")),
    "Retrieve/search_filters/multi-json-string": lambda: _retrieve(filters=Condition("name", "in", ["Zhang", "Li"])),
    "Retrieve/search_filters/multi-native-array": lambda: _retrieve(filters=Condition("name", "in", ["Zhang", "Li"])),
    "Retrieve/search_filters/range-json-string": lambda: _retrieve({"age": {"gte": 20, "lte": 27}}),
    "Retrieve/search_filters/range-native": lambda: _retrieve({"age": {"gte": 20, "lte": 27}}),
    # Condition("sex", "ne", "M") is not sent: the service may take "m" for equal. See test_filters.
    "Retrieve/search_filters/neq": lambda: _retrieve({"sex": {"neq": "M"}}),
    "Retrieve/search_filters/like": lambda: _retrieve({"job": {"like": "tech%"}}),
    "Retrieve/search_filters/two-subgroups-AND": lambda: _retrieve(
        filters=Group("and", (Condition("tags", "eq", "A"), Condition("tags", "contains", "B")))
    ),
    "ListIndices": lambda: knowledge.list_indexes("docs", page_size=10, signed_for=WS),
    "CreateIndex/files": lambda: knowledge.create_empty_index(SPEC, signed_for=WS),
    "CreateIndex/categories": lambda: knowledge.create_empty_index(FOLDERS, signed_for=WS),
    "SubmitIndexJob": lambda: knowledge.submit_index_job(KB, signed_for=WS),
    "GetIndexJobStatus": lambda: knowledge.job_status(KB, "jobfake01", page_size=10, signed_for=WS),
    "SubmitIndexAddDocumentsJob": lambda: knowledge.import_documents(
        KB,
        knowledge.Source(document_ids=(FILE,)),
        chunking=knowledge.Chunking(mode="length", size=500, overlap=100),
        signed_for=WS,
    ),
    "UpdateIndex": lambda: knowledge.update_index(
        KB, name="docs2", description="d2", rerank_min_score=0.3, dense_top_k=100, sparse_top_k=100, signed_for=WS
    ),
    "GetIndexMonitor": lambda: knowledge.index_monitor(KB, 1767604500, 1767604600, signed_for=WS),
    "ListIndexDocuments": lambda: knowledge.list_documents(KB, name="a", status="FINISH", page_size=10, signed_for=WS),
    "ListIndexFileDetails": lambda: knowledge.document_details(KB, page_size=10, signed_for=WS),
    "DeleteIndexDocument": lambda: knowledge.delete_documents(KB, [FILE], signed_for=WS),
    "DeleteIndex": lambda: knowledge.delete_index(KB, signed_for=WS),
    "ListChunks": lambda: knowledge.list_chunks(KB, FILE, page_size=10, fields=["title", "content"], signed_for=WS),
    "AddChunk": lambda: knowledge.add_chunk(KB, FILE, "chunk text ten chars+", title="t", signed_for=WS),
    "UpdateChunk": lambda: knowledge.update_chunk(
        KB, FILE, CHUNK, "new chunk text, 10 chars+", title="t", signed_for=WS
    ),
    "DeleteChunk": lambda: knowledge.delete_chunks(KB, [CHUNK], signed_for=WS),
    "AddCategory": lambda: knowledge.add_category("cat", parent_id=FOLDER, signed_for=WS),
    "ListCategory": lambda: knowledge.list_categories("cat", next_token="AAAA", signed_for=WS),
    "DeleteCategory": lambda: knowledge.delete_category(FOLDER, signed_for=WS),
    "ApplyFileUploadLease": lambda: knowledge.apply_lease("a.pdf", b"x" * 1000, category_id=FOLDER, signed_for=WS),
    "AddFile": lambda: knowledge.add_file(
        "leasefake.1700000000000",
        category_id=FOLDER,
        tags=["A", "B"],
        original_url="https://example.com/a.pdf",
        signed_for=WS,
    ),
    "AddFile/parser-config": lambda: knowledge.add_file(
        "leasefake.1700000000000",
        parser="DASH_QWEN_VL_PARSER",
        parser_config={"model_name": "qwen-vl-max", "model_prompt": "describe"},
        kind=knowledge.SESSION_FILES,
        signed_for=WS,
    ),
    "DescribeFile": lambda: knowledge.describe_file(FILE, signed_for=WS),
    "ListFile": lambda: knowledge.list_files(FOLDER, name="a", file_ids=[FILE], next_token="AAAA", signed_for=WS),
    "UpdateFileTag": lambda: knowledge.set_tags(FILE, ["A"], signed_for=WS),
    "DeleteFile": lambda: knowledge.delete_file(FILE, signed_for=WS),
    "DeleteFiles": lambda: knowledge.delete_files([FILE], signed_for=WS),
    **dict.fromkeys(
        (
            f"{LLAMA}/retriever-init",
            f"{LLAMA}/insert",
            f"{LLAMA}/delete_ref_doc",
            f"{LLAMA}/as_retriever (explicit key on index only)",
        ),
        lambda: _first(knowledge.find_pipeline("docs")),
    ),
    f"{LLAMA}/missing index": lambda: _first(knowledge.find_pipeline("nosuch")),
    f"{LLAMA}/retrieve": lambda: _pipeline(query="what is RAG"),
    f"{LLAMA}/retrieve+history": lambda: _pipeline(query="and then?", history=(Message(role="user", content="hi"),)),
    f"{LLAMA}/from_documents": lambda: knowledge.put_pipeline(_body(f"{LLAMA}/from_documents")),
    f"{LLAMA}/from_documents#2": lambda: knowledge.start_ingestion(KB),
    f"{LLAMA}/from_documents#3": lambda: knowledge.ingestion_status(KB, "ingfake01"),
    f"{LLAMA}/insert#2": lambda: knowledge.add_pipeline_documents(KB, _body(f"{LLAMA}/insert#2")),
    f"{LLAMA}/insert#3": lambda: knowledge.ingestion_status(KB, "ingfake02"),
    f"{LLAMA}/delete_ref_doc#2": lambda: knowledge.delete_pipeline_documents(KB, [FILE]),
    READER: lambda: knowledge.pipeline_upload_lease("a.pdf", PDF),
    f"{READER}#2": lambda: knowledge.upload(
        knowledge.Lease(
            "leasefake.1",
            "https://oss.invalid/oss/put",
            "PUT",
            {"X-bailian-extra": "ZmFrZQ==", "Content-Type": "application/pdf"},
        ),
        PDF,
    ),
    f"{READER}#3": lambda: knowledge.pipeline_add_file("leasefake.1"),
    f"{READER}#4": lambda: knowledge.pipeline_query_file(FILE),
    f"{READER}#5": lambda: knowledge.pipeline_download_lease(FILE),
}


def _first(flow: Any) -> Call[Any]:
    call: Call[Any] = next(flow)
    return call


def meant(value: Any) -> Any:
    """Return what a text parameter means: JSON is read, at any depth, and `True` is true."""
    if isinstance(value, dict):
        return {name: meant(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [meant(inner) for inner in value]
    if value in ("True", "False"):
        return value == "True"
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return meant(json.loads(value))
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def meant_body(body: Any, headers: dict[str, str]) -> Any:
    """Return what a body means: form, JSON or bytes."""
    if isinstance(body, str) and "form" in headers.get("content-type", ""):
        return meant(dict(parse_qsl(body)))
    return meant(body or None)


def test_every_line_is_offered_or_explained() -> None:
    """No captured call is forgotten, and no reason is left over."""
    assert set(CALLS) | set(NOT_OFFERED) == set(LINES)
    assert set(MISTAKES) <= set(CALLS)
    assert len(LINES) == 70


@pytest.mark.parametrize("name", CALLS)
def test_our_request_means_what_theirs_meant(name: str) -> None:
    """For the same purpose our request equals theirs, but for what is listed with its reason."""
    theirs, ours = LINES[name], CALLS[name]()
    path, _, _ = ours.path.partition("?")
    assert (ours.method, path) == (theirs["method"], theirs["path"])
    query, their_query = meant(dict(ours.query)), meant(theirs["query"])
    their_body = meant_body(theirs["body"], theirs["headers"])
    body = meant(ours.content.decode()) if ours.content else meant(ours.form if ours.form is not None else ours.json)
    if name.startswith("Retrieve/"):
        their_query = {**ALWAYS_SENT, **their_query}
    if name == "Retrieve/all-parameters":
        assert query.pop("EnableReranking") is their_query.pop("EnableReranking") is True
    if name == "ApplyFileUploadLease":
        assert body.pop("Md5") == "398533d48111e9f664b1f64cb10c4b63"  # not a secret: MD5
        del their_body["Md5"]
    if name == f"{LLAMA}/retrieve":
        assert their_body.pop("rerank_min_score") == 0.0
        del their_body["rewrite"]
    elif name == f"{LLAMA}/retrieve+history":
        assert their_body.pop("rerank_min_score") == 0.0
        assert (their_body.pop("enable_rewrite"), body.pop("enable_rewrite")) == (False, True)
    assert query == their_query
    assert body == their_body
    sent = {name.lower(): value for name, value in ours.headers.items()}
    for header in ("x-acs-action", "x-dashscope-openapisource", "x-bailian-extra"):
        assert sent.get(header) == theirs["headers"].get(header), header


def test_what_must_not_be_sent_twice() -> None:
    """Creates, imports and uploads are remembered; reads, updates and deletes may be repeated."""
    assert {name for name, call in CALLS.items() if call().remembered} == {
        "AddCategory",
        "AddChunk",
        "AddFile",
        "AddFile/parser-config",
        "ApplyFileUploadLease",
        "CreateIndex/categories",
        "CreateIndex/files",
        "SubmitIndexAddDocumentsJob",
        "SubmitIndexJob",
        f"{LLAMA}/from_documents",
        f"{LLAMA}/from_documents#2",
        f"{LLAMA}/insert#2",
        READER,
        f"{READER}#2",
        f"{READER}#3",
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Retrieve/search_filters/multi-native-array", '[{"name":"[\\"Zhang\\", \\"Li\\"]"}]'),
        ("Retrieve/search_filters/neq", '[{"sex":"{\\"neq\\": \\"M\\"}"}]'),
        ("Retrieve/search_filters/like", '[{"job":"{\\"like\\": \\"tech%\\"}"}]'),
        ("Retrieve/search_filters/single", '[{"name":"Zhang"}]'),
    ],
)
def test_signed_filters_are_texts_within_the_text(name: str, text: str) -> None:
    """The SDK's type is a list of maps of texts: its samples write lists and operators as JSON inside the JSON."""
    assert CALLS[name]().query["SearchFilters"] == text
