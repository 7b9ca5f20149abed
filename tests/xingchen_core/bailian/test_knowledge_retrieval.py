"""Retrieval: which route is taken, what it is sent, what it lacks, and that all routes return the same documents."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from xingchen_core import (
    APIResponseError,
    BadRequestError,
    ConfigurationError,
    Message,
    NotFoundError,
    UnsupportedOperationError,
)
from xingchen_core.bailian import KnowledgeSettings, knowledge
from xingchen_core.bailian.knowledge import Condition, Group, Rerank, RetrieveRequest, Route
from xingchen_core.bailian.knowledge_nodes import nodes_of

Connect = Callable[..., Any]

KEY: dict[str, Any] = {"api_key": "test-key"}
PAIR: dict[str, Any] = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}
BOTH = {**KEY, **PAIR}
HISTORY = (Message(role="user", content="X1 是什么?"), Message(role="assistant", content="一款手机。"))
CHUNK_ID = "llm-demo_kbdemo0001_file_fake_1_0_3"

METADATA: dict[str, Any] = {
    "_id": CHUNK_ID,
    "_score": 0.604,
    "_rc_v_score": 0.5,
    "doc_id": "file_fake_1",
    "doc_name": "手册",
    "title": "退款",
    "hier_title": "售后|退款",
    "content": "七天内可以退款。",
    "page_number": [0, 1],
    "image_url": ["https://oss.invalid/a.png?Expires=1"],
    "file_path": "https://oss.invalid/parsed?Expires=1",
    "doc_url": "https://example.invalid/manual.pdf",
    "pipeline_id": "kbdemo0001",
    "workspace_id": "llm-demo",
    "is_displayed_chunk_content": "true",
    "author": "张三",
    "year": "2024.0",
}


def _answer(route: Route, *metadatas: dict[str, Any], scores: tuple[float, ...] = (0.604,)) -> dict[str, Any]:
    """The same chunks as each route's answer has them."""
    nodes = [
        {"score": score, "text": metadata.get("content", ""), "metadata": metadata}
        for metadata, score in zip(metadatas, scores, strict=True)
    ]
    if route == "openapi":
        pascal = [{name.capitalize(): value for name, value in node.items()} for node in nodes]
        return {"RequestId": "r-1", "Code": "Success", "Status": 200, "Success": True, "Data": {"Nodes": pascal}}
    if route == "pipeline":
        wrapped = [
            {"score": n["score"], "node": {"id_": "some-uuid", "text": n["text"], "metadata": n["metadata"]}}
            for n in nodes
        ]
        return {"code": "Success", "status": "SUCCESS", "total": len(nodes), "nodes": wrapped}
    if route == "service":
        nodes = [{**node, "text": f"文档名: 手册\n标题: 退款\n正文: {node['text']}"} for node in nodes]
    return {"code": "Success", "success": True, "status_code": 200, "data": {"total": len(nodes), "nodes": nodes}}


def _request(route: Route | None = None, **fields: Any) -> RetrieveRequest:
    ids = {"agent_id": "aid-demo"} if route == "service" else {"index_id": "kbdemo0001"}
    return RetrieveRequest(**{"query": "怎么退款?", "route": route, **ids, **fields})


class Api:
    """Answers requests in turn, the last answer again and again, and keeps them."""

    def __init__(self, *answers: dict[str, Any] | httpx.Response) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, content=answer.content)
        return httpx.Response(200, json=answer)

    def body(self, number: int = -1) -> Any:
        """JSON of a request."""
        return json.loads(self.requests[number].content)


async def _retrieve(connect: Connect, api: Api, request: RetrieveRequest, **credentials: Any) -> Any:
    settings = KnowledgeSettings(**(credentials or BOTH))
    client = connect(api, KnowledgeSettings, **(credentials or BOTH))
    return await client.run(knowledge.retrieve(request, settings))


ROUTES: list[Route] = ["index", "service", "openapi", "pipeline"]


@pytest.mark.parametrize("route", ROUTES)
async def test_the_same_documents_whatever_the_route(connect: Connect, route: Route) -> None:
    """One chunk in four envelopes is one node; only what the service makes of its text may differ."""
    (node,) = await _retrieve(connect, Api(_answer(route, METADATA)), _request(route))
    assert node.model_copy(update={"rendered_text": ""}).model_dump(exclude={"raw"}) == {
        "id": CHUNK_ID,
        "text": "七天内可以退款。",
        "rendered_text": "",
        "score": 0.604,
        "title": "退款",
        "heading_path": "售后>退款",
        "document_id": "file_fake_1",
        "document_name": "手册",
        "document_url": "https://example.invalid/manual.pdf",
        "index_id": "kbdemo0001",
        "page_numbers": (0, 1),
        "image_urls": ("https://oss.invalid/a.png?Expires=1",),
        "audio_urls": (),
        "video_urls": (),
        "is_searchable": True,
        "fields": {"author": "张三", "year": "2024.0"},
    }
    assert node.raw == METADATA
    rendered = "文档名: 手册\n标题: 退款\n正文: 七天内可以退款。"
    assert node.rendered_text == (rendered if route == "service" else "七天内可以退款。")
    assert "file_path" not in repr(node)


PATHS: dict[Route, tuple[str, str]] = {
    "index": ("llm-demo.cn-beijing.maas.aliyuncs.com", "/api/v1/indices/rag/index/retrieve"),
    "service": ("llm-demo.cn-beijing.maas.aliyuncs.com", "/api/v1/indices/knowledge/search"),
    "openapi": ("bailian.cn-beijing.aliyuncs.com", "/llm-demo/index/retrieve"),
    "pipeline": ("dashscope.aliyuncs.com", "/api/v1/indices/pipeline/kbdemo0001/retrieve"),
}


@pytest.mark.parametrize("route", ROUTES)
async def test_where_each_route_goes(connect: Connect, route: Route) -> None:
    """Host and path of each route; no chunks at all is a good answer, also as null."""
    empty = {"code": "Success", "data": {"nodes": None}, "nodes": []}
    api = Api({"Success": True, "Data": {"Nodes": []}} if route == "openapi" else empty)
    assert await _retrieve(connect, api, _request(route)) == ()
    (sent,) = api.requests
    assert (sent.method, sent.url.host, sent.url.path) == ("POST", *PATHS[route])


async def test_what_an_index_is_sent(connect: Connect) -> None:
    """Reranking is always named, `top_k` never; a threshold is not sent, since nobody knows that it is heeded."""
    api = Api(_answer("index", METADATA))
    await _retrieve(connect, api, _request(), **KEY)
    assert api.requests[0].url.host == "dashscope.aliyuncs.com"
    assert api.body() == {"index_id": "kbdemo0001", "query": "怎么退款?", "enable_reranking": True, "rerank_top_n": 5}
    rerank = Rerank(model="qwen3-rerank", mode="custom", instruct="价格优先")
    full = _request(k=50, dense_top_k=80, sparse_top_k=0, rerank=rerank, rerank_min_score=0.2, extra={"new": 1})
    await _retrieve(connect, api, full, **KEY)
    assert api.body() == {
        "index_id": "kbdemo0001",
        "query": "怎么退款?",
        "dense_similarity_top_k": 80,
        "sparse_similarity_top_k": 0,
        "enable_reranking": True,
        "rerank": [{"model_name": "qwen3-rerank", "rerank_mode": "custom", "rerank_instruct": "价格优先"}],
        "rerank_top_n": 20,
        "new": 1,
    }
    await _retrieve(connect, api, _request(rerank=False), **KEY)
    assert api.body()["enable_reranking"] is False


async def test_what_a_service_is_sent(connect: Connect) -> None:
    """Filters belong to one of the service's indexes and are added to its own; pictures alone have an empty query."""
    api = Api(_answer("service", METADATA))
    filters = Condition("tags", "any", ["秋", "运动"])
    await _retrieve(connect, api, _request("service", index_id="kbdemo0001", agent_version="beta", filters=filters))
    assert api.body() == {
        "agent_id": "aid-demo",
        "agent_version": "beta",
        "query": "怎么退款?",
        "kb_search_configs": [{"id": "kbdemo0001", "search_filters": [{"tags": ["秋", "运动"]}]}],
    }
    await _retrieve(connect, api, _request("service", query="", images=("https://example.invalid/a.png",)))
    assert api.body() == {"agent_id": "aid-demo", "query": "", "images": ["https://example.invalid/a.png"]}


async def test_what_the_older_api_is_sent(connect: Connect) -> None:
    """Rewriting with the one model there is, thresholds, and no nulls."""
    api = Api(_answer("pipeline", METADATA))
    await _retrieve(connect, api, _request("pipeline", history=HISTORY, rerank_min_score=0.3))
    assert api.body() == {
        "query": "怎么退款?",
        "enable_rewrite": True,
        "rewrite": [{"model_name": "conv-rewrite-qwen-1.8b", "class_name": "DashScopeTextRewrite"}],
        "enable_reranking": True,
        "rerank_min_score": 0.3,
        "rerank_top_n": 5,
        "query_history": [
            {"role": "user", "content": "X1 是什么?"},
            {"role": "assistant", "content": "一款手机。"},
        ],
    }


async def test_history_makes_the_signed_call_rewrite(connect: Connect) -> None:
    """It is ignored unless EnableRewrite is true."""
    api = Api(_answer("openapi", METADATA))
    await _retrieve(connect, api, _request("openapi", history=HISTORY))
    sent = api.requests[0].url.params
    assert sent["EnableRewrite"] == "true"
    assert json.loads(sent["QueryHistory"])[0] == {"role": "user", "content": "X1 是什么?"}


# Which route


@pytest.mark.parametrize(
    ("credentials", "fields", "route"),
    [
        (KEY, {"agent_id": "aid-demo"}, "service"),
        (BOTH, {"agent_id": "aid-demo", "index_id": "kbdemo0001"}, "service"),
        (KEY, {"index_id": "kbdemo0001"}, "index"),
        (KEY, {"index_name": "手册"}, "index"),
        (PAIR, {"index_id": "kbdemo0001"}, "openapi"),
        (BOTH, {"index_id": "kbdemo0001"}, "index"),
        (BOTH, {"index_id": "kbdemo0001", "history": HISTORY}, "openapi"),
        (BOTH, {"index_id": "kbdemo0001", "rewrite": True}, "openapi"),
        (BOTH, {"index_id": "kbdemo0001", "images": ("https://example.invalid/a.png",)}, "openapi"),
        (BOTH, {"index_id": "kbdemo0001", "rerank_min_score": 0.3}, "index"),
        (KEY, {"index_id": "kbdemo0001", "rewrite": True}, "index"),
        ({**BOTH, "workspace_id": None}, {"index_id": "kbdemo0001", "rewrite": True}, "index"),
        ({**BOTH, "region": "ap-southeast-1"}, {"index_id": "kbdemo0001"}, "openapi"),
        ({**KEY, "region": "ap-southeast-1", "base_url": "http://127.0.0.1:1"}, {"index_id": "kbdemo0001"}, "index"),
        (BOTH, {"index_id": "kbdemo0001", "route": "pipeline"}, "pipeline"),
        (BOTH, {"index_id": "kbdemo0001", "route": "openapi"}, "openapi"),
    ],
)
def test_the_route_follows_the_credentials(credentials: dict[str, Any], fields: dict[str, Any], route: Route) -> None:
    """The key goes first, but for what only the signed call has; `route` decides where it is given."""
    request = RetrieveRequest(query="q", **fields)
    assert knowledge.choose_route(request, KnowledgeSettings(**credentials)) == route


@pytest.mark.parametrize(
    ("credentials", "fields", "text"),
    [
        (PAIR, {"agent_id": "aid-demo"}, "needs an API key"),
        (PAIR, {"index_id": "kbdemo0001", "route": "index"}, "needs an API key"),
        (KEY, {"index_id": "kbdemo0001", "route": "openapi"}, "workspace_id=..."),
        ({**PAIR, "workspace_id": None}, {"index_id": "kbdemo0001"}, "DASHSCOPE_WORKSPACE_ID"),
        ({**KEY, "region": "ap-southeast-1"}, {"index_id": "kbdemo0001"}, "cn-beijing"),
        (KEY, {}, "needs index_id"),
        (KEY, {"route": "service", "index_id": "kbdemo0001"}, "agent_id="),
    ],
)
def test_credentials_that_do_not_fit(credentials: dict[str, Any], fields: dict[str, Any], text: str) -> None:
    """They are refused at once, before the flow runs."""
    with pytest.raises(ConfigurationError, match=text):
        knowledge.retrieve(RetrieveRequest(query="q", **fields), KnowledgeSettings(**credentials))


@pytest.mark.parametrize(
    ("route", "fields", "has_it"),
    [
        ("index", {"rewrite": True}, "rewrite: route='openapi' or 'pipeline'"),
        ("index", {"history": HISTORY}, "history: route='openapi' or 'pipeline'"),
        ("index", {"images": ("https://example.invalid/a.png",)}, "images: route='openapi' or 'service'"),
        ("pipeline", {"images": ("https://example.invalid/a.png",)}, "images: route='openapi' or 'service'"),
        ("service", {"rerank": Rerank(model="qwen3-rerank")}, "rerank: route='index' or 'openapi' or 'pipeline'"),
        ("service", {"rerank": False}, "rerank: route='index' or 'openapi' or 'pipeline'"),
        ("service", {"rerank_min_score": 0.5}, "rerank_min_score: route='index'"),
        ("service", {"dense_top_k": 5}, "dense_top_k: route='index'"),
        ("service", {"sparse_top_k": 5}, "sparse_top_k: route='index'"),
        ("service", {"history": HISTORY}, "rewrite: route='openapi' or 'pipeline'"),
        ("openapi", {"agent_id": "aid-demo"}, "agent_id: route='service'"),
    ],
)
def test_what_a_route_lacks(route: Route, fields: dict[str, Any], has_it: str) -> None:
    """It is refused at once, with the name of the route that has it."""
    with pytest.raises(UnsupportedOperationError) as caught:
        knowledge.retrieve(_request(route, **fields), KnowledgeSettings(**BOTH))
    assert has_it in str(caught.value)
    assert repr(route) in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"query": ""}, "query is empty"),
        ({"history": HISTORY, "rewrite": False}, "rewrite is False"),
        ({"history": (Message(role="system", content="x"),)}, "user and assistant"),
        ({"rerank": {"mode": "custom"}}, "go together"),
        ({"rerank": {"instruct": "x"}}, "go together"),
    ],
)
def test_requests_that_mean_nothing(fields: dict[str, Any], text: str) -> None:
    """Trap 15 and its like: refused where they are made."""
    with pytest.raises(ConfigurationError, match=text):
        _request(**fields)


def test_requests_survive_a_dump() -> None:
    """Filters, however deep, are plain data in a dump, and the same filters after it."""
    filters = Group("not", (Group("or", (Condition("a", "in", ["x"]), Condition("b", "is_empty"))),))
    request = _request(filters=filters, rerank=Rerank(mode="qa"), history=HISTORY)
    assert RetrieveRequest.model_validate_json(request.model_dump_json()) == request


def test_filters_of_a_service_need_an_index() -> None:
    """They are sent for one of its indexes."""
    with pytest.raises(ConfigurationError, match="index_id="):
        knowledge.from_service(_request("service", filters=Condition("a", "eq", 1)))


def test_a_comma_in_a_pictures_url() -> None:
    """The signed call joins URLs by commas."""
    with pytest.raises(ConfigurationError, match="%2C"):
        knowledge.from_openapi(_request("openapi", images=("https://example.invalid/a,b.png",)), signed_for="llm-demo")


# What comes back


def _chunks(*members: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"_id": f"c{number}", "content": "文", **more} for number, more in enumerate(members)]


@pytest.mark.parametrize("route", ["index", "openapi"])
async def test_filters_are_looked_at_in_the_answers(connect: Connect, route: Route) -> None:
    """What the service cannot be told is done here: it is asked for all it can return, and `k` chunks are kept."""
    found = _chunks({"year": "2023"}, {"year": "2024.0", "author": ""}, {"year": 2025}, {"year": 2026})
    api = Api(_answer(route, *found, scores=(0.9, 0.8, 0.7, 0.6)))
    filters = Group("and", (Condition("year", "gte", 2024), Condition("author", "is_empty")))
    nodes = await _retrieve(connect, api, _request(route, k=2, filters=filters))
    assert [node.id for node in nodes] == ["c1", "c2"]
    if route == "index":
        assert api.body()["rerank_top_n"] == 20
        assert api.body()["search_filters"] == [{"year": {"gte": 2024}}]
    else:
        assert api.requests[0].url.params["RerankTopN"] == "20"
        assert api.requests[0].url.params["SearchFilters"] == '[{"year":"{\\"gte\\": 2024}"}]'


async def test_raw_filters_are_sent_as_they_are(connect: Connect) -> None:
    """Beside filters of ours, and without a look at the answers."""
    api = Api(_answer("index", METADATA))
    request = _request(search_filters=({"x": {"like": "a%"}},), filters=Condition("author", "eq", "张三"))
    assert len(await _retrieve(connect, api, request)) == 1
    assert api.body()["search_filters"] == [{"x": {"like": "a%"}}, {"author": "张三"}]


INVALID_KEY = {
    "code": "InvalidParameter",
    "success": False,
    "message": "search_filters[0] contains invalid key 'author'. Only 'tags' and 'meta' are allowed for "
    "unstructured data",
}


async def test_a_service_that_takes_tags_only(connect: Connect) -> None:
    """Its documents contradict each other: refused filters are left out, and the look at the answers does them."""
    found = _chunks({"author": "李四"}, {"author": "张三"})
    answers = httpx.Response(400, json=INVALID_KEY), _answer("service", *found, scores=(0.5, 0.9))
    api = Api(*answers)
    filters = Group("and", (Condition("tags", "eq", "A"), Condition("author", "eq", "张三")))
    nodes = await _retrieve(connect, api, _request("service", index_id="kbdemo0001", filters=filters))
    assert [node.id for node in nodes] == ["c1"]
    assert api.body(0)["kb_search_configs"][0]["search_filters"] == [{"tags": ["A"]}, {"author": "张三"}]
    assert api.body(1)["kb_search_configs"][0]["search_filters"] == [{"tags": ["A"]}]


async def test_other_refusals_of_a_service_stand(connect: Connect) -> None:
    """Only the message about keys is answered with fewer filters."""
    api = Api(httpx.Response(400, json={"code": "InvalidParameter", "message": "kb not bound to agent: kb"}))
    with pytest.raises(BadRequestError, match="not bound"):
        await _retrieve(
            connect, api, _request("service", index_id="kbdemo0001", filters=Condition("author", "eq", "张三"))
        )
    assert len(api.requests) == 1


async def test_an_index_applies_the_threshold_here(connect: Connect) -> None:
    """Only scores above it are kept, as the service does where it takes one."""
    api = Api(_answer("index", *_chunks({}, {}, {}), scores=(0.9, 0.5, 0.2)))
    nodes = await _retrieve(connect, api, _request(rerank_min_score=0.5))
    assert [node.score for node in nodes] == [0.9]


async def test_a_services_order_stays(connect: Connect) -> None:
    """Trap 8: it ranks by weighted scores, and `score` is the plain one; k cuts what it returns."""
    api = Api(_answer("service", *_chunks({}, {}, {}), scores=(0.3, 0.9, 0.5)))
    nodes = await _retrieve(connect, api, _request("service", k=2))
    assert [node.score for node in nodes] == [0.3, 0.9]


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"nodes": [{"score": 1, "text": "文", "metadata": {"_id": "c0"}}]}},
        {"nodes": [{"score": 1, "content": "文", "metadata": {"_id": "c0"}}]},
        {"data": {}, "nodes": [{"score": "1.0", "metadata": {"_id": "c0", "content": "文"}}]},
        {"Data": {"Nodes": [{"Score": 1.0, "Text": "文", "Metadata": '{"_id": "c0"}'}]}},
        {"nodes": [{"score": 1.0, "node": {"id_": "c0", "text": "文", "metadata": {}}}]},
    ],
)
def test_shapes_of_a_chunk(answer: dict[str, Any]) -> None:
    """Nodes inside `data` or beside it, text or content, metadata as an object or as its JSON text."""
    (node,) = nodes_of(answer)
    assert (node.id, node.text, node.score) == ("c0", "文", 1.0)


def test_a_clip_without_text() -> None:
    """Its description stands for it."""
    metadata = {"_id": "c0", "content": "", "clip_description": "海边日落", "video_url": ["https://oss.invalid/v"]}
    (node,) = nodes_of({"data": {"nodes": [{"score": 0.5, "text": "", "metadata": metadata}]}})
    assert (node.text, node.video_urls) == ("海边日落", ("https://oss.invalid/v",))


def test_pictures_and_pages_as_one_item() -> None:
    """Another client's types say text and number where the service sends lists."""
    metadata = {"_id": "c0", "image_url": "https://oss.invalid/a.png", "page_number": 3}
    (node,) = nodes_of({"data": {"nodes": [{"metadata": metadata}]}})
    assert (node.image_urls, node.page_numbers, node.score) == (("https://oss.invalid/a.png",), (3,), None)


def test_an_id_where_there_is_none() -> None:
    """The same text of the same document has the same one, on every route."""
    metadata = {"doc_id": "file_fake_1", "content": "文"}
    (plain,) = nodes_of({"data": {"nodes": [{"metadata": metadata}]}})
    (signed,) = nodes_of({"Data": {"Nodes": [{"Text": "文档: 文", "Metadata": metadata}]}})
    assert plain.id == signed.id == hashlib.sha256("file_fake_1\n文".encode()).hexdigest()


async def test_an_answer_without_a_shape(connect: Connect) -> None:
    """It is told as such."""
    with pytest.raises(APIResponseError, match="unexpected shape"):
        await _retrieve(connect, Api({"data": {"nodes": [1]}}), _request())


# Names


def _rows(*names: str, total: int | None = None) -> dict[str, Any]:
    rows = [{"id": f"kb{number}-{name}", "name": name} for number, name in enumerate(names)]
    return {"code": "Success", "data": {"rows": rows, "total_count": len(rows) if total is None else total}}


async def test_a_name_is_found_once_and_exactly(connect: Connect) -> None:
    """Trap 10: the list finds parts of names; only the whole one counts."""
    api = Api(_rows("手册二", "手册"), _answer("index", METADATA))
    await _retrieve(connect, api, RetrieveRequest(query="q", index_name="手册"), **KEY)
    listed, retrieved = api.requests
    assert (listed.method, listed.url.path) == ("GET", "/api/v1/indices/rag/index/list")
    assert dict(listed.url.params) == {"page_number": "1", "page_size": "100", "pipeline_name": "手册"}
    assert json.loads(retrieved.content)["index_id"] == "kb1-手册"


async def test_a_name_on_a_later_page(connect: Connect) -> None:
    """The list is read to its end."""
    api = Api(_rows(*("手册二",) * 100, total=101), _rows("手册"), _answer("index", METADATA))
    await _retrieve(connect, api, RetrieveRequest(query="q", index_name="手册"), **KEY)
    assert api.body()["index_id"] == "kb0-手册"
    assert [request.url.params.get("page_number") for request in api.requests] == ["1", "2", None]


async def test_a_name_that_a_service_has_no_use_for(connect: Connect) -> None:
    """Without filters a retrieval service needs no index: none is looked for."""
    api = Api(_answer("service", METADATA))
    await _retrieve(connect, api, _request("service", index_name="手册"))
    assert len(api.requests) == 1


async def test_a_name_by_the_other_routes(connect: Connect) -> None:
    """The signed list, and the older API's own search."""
    signed_list = {"Success": True, "Data": {"Indices": [{"Id": "kb7", "Name": "手册"}]}}
    signed = Api(signed_list, _answer("openapi", METADATA))
    await _retrieve(connect, signed, RetrieveRequest(query="q", index_name="手册"), **PAIR)
    assert signed.requests[0].url.path == "/llm-demo/index/list_indices"
    assert signed.requests[1].url.params["IndexId"] == "kb7"
    older = Api({"code": "Success", "status": "SUCCESS", "id": "kb8"}, _answer("pipeline", METADATA))
    await _retrieve(connect, older, RetrieveRequest(query="q", index_name="手册", route="pipeline"), **KEY)
    assert older.requests[1].url.path == "/api/v1/indices/pipeline/kb8/retrieve"


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({}, _rows("手册二")),
        ({"route": "pipeline"}, {"code": "Success", "id": ""}),
        ({"route": "pipeline"}, {"code": "Success"}),
    ],
)
async def test_a_name_that_is_nobodys(connect: Connect, fields: dict[str, Any], answer: dict[str, Any]) -> None:
    """It is an error and never an empty result, nor a request to an empty id."""
    api = Api(answer)
    with pytest.raises(NotFoundError, match="'手册'"):
        await _retrieve(connect, api, RetrieveRequest(query="q", index_name="手册", **fields), **KEY)
    assert len(api.requests) == 1


async def test_a_name_of_several(connect: Connect) -> None:
    """Nothing keeps two indexes from one name: their ids are told, and none is chosen."""
    with pytest.raises(ConfigurationError, match="kb0-手册, kb1-手册"):
        await _retrieve(connect, Api(_rows("手册", "手册")), RetrieveRequest(query="q", index_name="手册"), **KEY)


async def test_an_unknown_index_is_an_error(connect: Connect) -> None:
    """Also under HTTP 200, and on every route."""
    refusal = {"Success": False, "Code": "Index.IndexNotExist", "Message": "index not exist, index_id: kb"}
    with pytest.raises(NotFoundError, match="index not exist"):
        await _retrieve(connect, Api(refusal), _request("openapi"))
