"""`BailianAppQueryEngine`: an application on Bailian as a query engine."""

import hashlib
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any, Self

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
from pydantic import Field, PrivateAttr

from llama_index_xingchen._base import MODEL_CONFIG
from llama_index_xingchen.bailian_app import BailianApp
from xingchen_core.bailian import AppParameters, BailianSettings
from xingchen_core.bailian.references import documents

_NOT_FOR_MODELS = ["document_id", "number", "document_url", "image_urls"]
"""Metadata that says nothing about what a text means; links are signed, too, and expire."""


class BailianAppQueryEngine(BailianSettings, AppParameters, BaseQueryEngine):
    """Asks an application on Bailian (百炼), which searches its own knowledge bases and answers.

    ```python
    from llama_index_xingchen import BailianAppQueryEngine

    answer = BailianAppQueryEngine(app_id="...").query("三千元以内的手机有哪些?")
    answer.source_nodes  # the documents it refers to
    ```

    The fields are those of `BailianApp`. A response has the answer, whose markers (`<ref>[1]</ref>`) name the `number`
    in the metadata of a node, and as `metadata` what is `raw` there: `session_id`, `request_id`, `citations`, ...

    Source nodes have the text of a document, and under the names of a `BailianRetriever` its `title`, `document_name`,
    `document_id`, `document_url`, `page_numbers`, `image_urls` (the links expire), as far as the service tells them; it
    needs "show answer sources" in the console, or `has_thoughts=True`. With the latter a search also tells scores and
    ids of chunks; else a score is `None`, and the id of a node is made of its document and text.

    Attributes:
        streaming: Return `StreamingResponse` and `AsyncStreamingResponse`, whose source nodes and metadata are there
            when the text has been read to its end.
        callback_manager: Receives the events of the query and of the application.

    Source: Model Studio, "application API reference", `POST /api/v1/apps/{app_id}/completion`.
    """

    model_config = MODEL_CONFIG

    streaming: bool = False
    callback_manager: CallbackManager = Field(default_factory=lambda: CallbackManager([]), exclude=True, repr=False)

    _app: BailianApp | None = PrivateAttr(default=None)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        if not self.streaming:
            return _response(self._llm().chat(_asked(query_bundle)))
        nodes: list[NodeWithScore] = []
        metadata: dict[str, Any] = {}
        responses = self._llm().stream_chat(_asked(query_bundle))
        return StreamingResponse(_texts(responses, nodes, metadata), nodes, metadata)

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        if not self.streaming:
            return _response(await self._llm().achat(_asked(query_bundle)))
        nodes: list[NodeWithScore] = []
        metadata: dict[str, Any] = {}
        responses = await self._llm().astream_chat(_asked(query_bundle))
        return AsyncStreamingResponse(_atexts(responses, nodes, metadata), nodes, metadata)

    def _llm(self) -> BailianApp:
        """Return an LLM with these settings: what it is asked is reported as an LLM's."""
        if self._app is None:
            names = (*BailianSettings.model_fields, *AppParameters.model_fields)
            fields = {name: value for name in names if (value := getattr(self, name)) is not None}
            self._app = BailianApp(**fields, callback_manager=self.callback_manager)
        return self._app

    def close(self) -> None:
        """Give back the HTTP client."""
        super().close()
        if self._app is not None:
            self._app.close()

    async def aclose(self) -> None:
        """As `close`, that of the running loop too."""
        await super().aclose()
        if self._app is not None:
            await self._app.aclose()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._app = None
        return copied


def _asked(query: QueryBundle) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=query.query_str)]


def _response(response: ChatResponse) -> Response:
    return Response(response.message.content, _source_nodes(response.raw or {}), response.raw)


def _texts(responses: Generator[ChatResponse], nodes: list[NodeWithScore], metadata: dict[str, Any]) -> Generator[str]:
    with closing(responses):
        for response in responses:
            yield response.delta or ""
    _finish(response, nodes, metadata)


async def _atexts(
    responses: AsyncGenerator[ChatResponse], nodes: list[NodeWithScore], metadata: dict[str, Any]
) -> AsyncGenerator[str]:
    async with aclosing(responses):
        async for response in responses:
            yield response.delta or ""
    _finish(response, nodes, metadata)


def _finish(last: ChatResponse, nodes: list[NodeWithScore], metadata: dict[str, Any]) -> None:
    """Fill in what only the last response tells."""
    metadata |= last.raw or {}
    nodes += _source_nodes(metadata)


def _source_nodes(raw: Mapping[str, Any]) -> list[NodeWithScore]:
    return [_node(document) for document in documents(raw.get("doc_references"), raw.get("thoughts"))]


def _node(document: Mapping[str, Any]) -> NodeWithScore:
    text, doc_id = document.get("text") or "", document.get("doc_id") or ""
    told = {
        "title": document.get("title"),
        "document_name": document.get("doc_name"),
        "document_id": doc_id,
        "page_numbers": document.get("page_number"),
        "number": document.get("index_id"),
        "document_url": document.get("doc_url"),
        "image_urls": document.get("images"),
    }
    node = TextNode(
        id_=document["chunk_id"] or hashlib.sha256(f"{doc_id}\n{text}".encode()).hexdigest(),
        text=text,
        metadata={name: value for name, value in told.items() if value},
        excluded_llm_metadata_keys=_NOT_FOR_MODELS,
        excluded_embed_metadata_keys=_NOT_FOR_MODELS,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=doc_id)} if doc_id else {},
    )
    return NodeWithScore(node=node, score=document["score"])
