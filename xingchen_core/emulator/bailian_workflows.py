"""Workflows: nodes that speak one after the other, told in the four ways of `flow_stream_mode`."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_app_answers import Said
from xingchen_core.emulator.bailian_app_questions import Question

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


def whole(question: Question, said: Said) -> dict[str, Any]:
    """`output` of a run in one piece."""
    return {"finish_reason": "stop", "session_id": question.session.session_id, "text": said.text}


def outputs(bailian: "Bailian", question: Question, said: Said) -> Generator[tuple[dict[str, Any], Any], None, None]:
    """`output` and `usage` of each event."""
    yield {"finish_reason": "stop", "text": said.text}, {}
