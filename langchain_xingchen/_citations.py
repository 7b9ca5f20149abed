"""A robot's references as LangChain's citations: annotations of the text, in `content_blocks`.

langchain-core asks the translator of a message's provider. The raw references stay in `additional_kwargs`.
"""

from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock


def _content_blocks(message: AIMessage) -> list[ContentBlock]:
    """Return the text with its citations; their indices slice the whole answer.

    The last chunk of a stream carries all of them, on whatever text it has: summed with the others, they fit.

    Raises:
        NotImplementedError: There are none, and langchain-core's own reading serves.
    """
    cited = message.additional_kwargs.get("citations")
    if not cited or not isinstance(message.content, str):
        raise NotImplementedError
    references = {item.get("Number"): item for item in message.additional_kwargs.get("references") or ()}
    annotations = [_annotation(each, references.get(each["number"], {})) for each in cited]
    return [cast("ContentBlock", {"type": "text", "text": message.content, "annotations": annotations})]


def _annotation(cited: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    annotation = {
        "type": "citation",
        "start_index": cited["start"],
        "end_index": cited["end"],
        "title": reference.get("Title"),
        "cited_text": reference.get("Content"),
        "extras": {"number": cited["number"], "data_source": reference.get("DataSource")},
    }
    return {name: value for name, value in annotation.items() if value is not None}


def _chunk_blocks(message: AIMessageChunk) -> list[ContentBlock]:
    return _content_blocks(message)


register_translator("beebot", _content_blocks, _chunk_blocks)
