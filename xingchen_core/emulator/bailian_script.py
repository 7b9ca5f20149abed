"""What an application or a model is told to say, with what only Bailian says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from xingchen_core.emulator._script import Reply

AS_USUAL: Any = object()
"""Left as the emulator would say it: None and `{}` are answers of their own."""


@dataclass(frozen=True)
class BailianReply(Reply):
    """One answer of Bailian: what every service's has, and what only an application's or a model's has."""

    nodes: tuple[Mapping[str, Any], ...] | None = None
    """The nodes of a workflow's run, in place of the application's own."""
    usage: Any = AS_USUAL
    """`usage` of every event, as it is."""
    models: tuple[str, ...] | None = None
    """The models an application called, one entry of `usage.models` each; the last one's entry grows."""
    events: tuple[Any, ...] | None = None
    """`data` of whole events, as they are: text, or what JSON can hold."""
    body: Mapping[str, Any] | None = None
    """Members of `output` (compatible: of the body) of an answer in one piece that replace the usual ones."""

    @classmethod
    def of(cls, reply: Reply) -> "BailianReply":
        """A reply that was scripted for any service."""
        if isinstance(reply, cls):
            return reply
        return cls(**{field.name: getattr(reply, field.name) for field in fields(Reply)})


@dataclass
class Fragments:
    """How streams of models are cut. Each switch is a shape that has been seen or documented."""

    argument_size: int = 0
    """Arguments of a call are cut at so many characters; 0: in two halves."""
    two_calls_in_one_event: bool = False
    """An event closes one call with empty arguments and opens the next."""
    empty_closing: bool = False
    """A last fragment of each call has `arguments: ""`."""
    without_ids: bool = False
    """Later fragments have no `id`, instead of an empty one."""
    broken_arguments: bool = False
    """The last character of the arguments is lost."""
    text_in_final_event: bool = False
    """The last piece of text comes with the final `finish_reason` instead of before it."""
    empty_usage_first: bool = False
    """`usage` of the first event is `{}`."""
    null_text: bool = False
    """`output` has `text: null` and `finish_reason: null` beside `choices`."""


def references(given: Sequence[Any]) -> list[dict[str, Any]]:
    """`doc_references` of an application's answer, numbered from 1; a text is a title."""
    listed = []
    for number, item in enumerate(given, 1):
        named = {"title": item} if isinstance(item, str) else dict(item)
        title = named.get("title", f"文档{number}")
        usual: dict[str, Any] = {
            "index_id": str(number),
            "title": title,
            "doc_id": f"file_fake_{number}",
            "doc_name": title,
            "text": f"【文档名】:{title}\n【正文】:{title}的正文。",
            "images": [],
        }
        listed.append({**usual, **named})
    return listed
