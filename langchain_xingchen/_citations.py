"""`content_blocks` of answers: what they refer to, as LangChain's citations, and function calls in pieces.

langchain-core asks the translator of a message's provider. The raw references stay where the service's answer has them.
"""

from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock

M = TypeVar("M", AIMessage, AIMessageChunk)


def _content_blocks(message: M) -> list[ContentBlock]:
    """Return the blocks langchain-core finds, the text with its citations; their indices slice the whole answer.

    The last chunk of a stream carries all of them, on whatever text it has: summed with the others, they fit.

    Raises:
        NotImplementedError: There are none, and langchain-core's own reading serves.
    """
    cited = message.additional_kwargs.get("citations")
    if not cited or not isinstance(message.content, str):
        raise NotImplementedError
    references = {item.get("Number"): item for item in message.additional_kwargs.get("references") or ()}
    annotations = [_annotation(each, references.get(each["number"], {})) for each in cited]
    blocks = message.model_copy(update={"response_metadata": {}}).content_blocks  # without a provider: core's own
    if not any(block["type"] == "text" for block in blocks):
        blocks.append({"type": "text", "text": message.content})
    return [
        cast("ContentBlock", {**block, "annotations": annotations}) if block["type"] == "text" else block
        for block in blocks
    ]


def _annotation(cited: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Return a citation. Beebot lists its references apart; Bailian's are told in the citation itself."""
    told = {name: value for name, value in cited.items() if name not in _OWN_PLACE}
    extras = {"number": cited["number"], "data_source": reference.get("DataSource"), **told}
    annotation = {
        "type": "citation",
        "start_index": cited["start"],
        "end_index": cited["end"],
        "title": cited.get("title") or reference.get("Title"),
        "url": cited.get("url"),
        "cited_text": cited.get("text") or reference.get("Content"),
        "extras": {name: value for name, value in extras.items() if value is not None},
    }
    return {name: value for name, value in annotation.items() if value is not None}


_OWN_PLACE = ("start", "end", "title", "url", "text")


def _chunk_blocks(message: AIMessageChunk) -> list[ContentBlock]:
    """As `_content_blocks`. Pieces of calls get indexes of their own: langchain-core numbers the other blocks of a
    stream from 0 too, and would join a call with the thoughts before it.
    """
    if not message.tool_call_chunks or message.chunk_position == "last":
        return _content_blocks(message)
    no_calls: dict[str, Any] = {"tool_call_chunks": [], "tool_calls": [], "invalid_tool_calls": []}
    pieces = [
        {"type": "tool_call_chunk", **piece, "index": f"lc_tc_{piece['index']}"} for piece in message.tool_call_chunks
    ]
    return [*message.model_copy(update=no_calls).content_blocks, *cast("list[ContentBlock]", pieces)]


for provider in ("beebot", "bailian"):
    register_translator(provider, _content_blocks, _chunk_blocks)
