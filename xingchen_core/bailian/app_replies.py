"""What an application answers: whole answers, and the events of a stream.

Source: Model Studio, "application API reference" and captured streams. Nothing tells whether an agent or a workflow
answers: an event is read by what it holds. The calls are in `apps.py`.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from xingchen_core._errors import APIResponseError
from xingchen_core._sse import ServerSentEvent
from xingchen_core.bailian._events import cut_short, event_body, is_final
from xingchen_core.bailian._service import BAILIAN
from xingchen_core.bailian.app_models import AppRequest
from xingchen_core.bailian.app_thoughts import Thoughts
from xingchen_core.bailian.references import citations, retrieved
from xingchen_core.bailian.workflows import Workflow, node_of
from xingchen_core.chat import ChatDelta, ChatReply, Snapshots, StopCutter, Usage, cut, gathered

logger = logging.getLogger("xingchen_core")


def read_reply(body: Mapping[str, Any], request: AppRequest) -> ChatReply:
    """Return a whole answer: a stream of one event. What nodes did is told of streams only, while it happens."""
    output = body["output"]
    if output.get("text") is None and not is_final(output.get("finish_reason")):
        raise APIResponseError("The service answered without an answer.", service=BAILIAN.name)
    delta = AppReader(request).last(output, body)
    (delta.additional or {}).pop("workflow_messages", None)
    return gathered([delta])


class AppReader:
    """Reads the events of one streamed answer."""

    def __init__(self, request: AppRequest) -> None:
        self._request = request
        self._snapshots = None if request.incremental_output else Snapshots()
        self._cutter = StopCutter(request.stop) if request.stop else None
        self._is_plain = self._snapshots is None and self._cutter is None
        self._heard: list[str] = []
        self._shown: list[str] = [] if self._cutter else self._heard
        self._replaced_by: str | None = None
        self._workflow: Workflow | None = None
        self._nodes_spoke = False
        self._thoughts: Thoughts | None = None
        self._usage: Mapping[str, Any] = {}
        self._references: list[dict[str, Any]] = []
        self._request_id: str | None = None
        self._session_id: str | None = None
        self._reason: str | None = None
        self._closed = False
        self.finished = False

    @property
    def text(self) -> str:
        """What the answer has said so far."""
        return "".join(self._shown)

    def read(self, event: ServerSentEvent) -> ChatDelta | None:
        """Return what is new in an event."""
        if self._closed or (body := event_body(event)) is None:
            return None
        output = body.get("output") or {}
        nodes_speak = output.get("workflow_message")
        reason = output.get("finish_reason")
        if reason and reason != "null":
            self.finished, self._reason = True, reason
            if not nodes_speak:
                return self.last(output, body)
        self._note(output, body)
        text = output.get("text") or ""
        if not nodes_speak and not output.get("thoughts"):  # nearly every event of an agent
            if not text:
                return None
            if not self._is_plain:
                text = self._show(self._new(text))
                return ChatDelta(text) if text else None
            self._heard.append(text)
            return ChatDelta(text)
        delta = self._follow(output)
        if text and not delta.text and not nodes_speak and not self._nodes_spoke:
            delta.text = self._new(text)
        delta.text = self._show(delta.text)
        return delta if delta.text or delta.reasoning or delta.additional else None

    def end(self) -> Iterable[ChatDelta]:
        """Return the last delta if it is still due; raise if the answer was cut."""
        if self._closed:
            return ()
        if not self.finished:
            raise cut_short(self.text, self._request_id)
        return (self.last({}, {}),)

    def last(self, output: Mapping[str, Any], body: Mapping[str, Any]) -> ChatDelta:
        """Return the last delta: what is new in the final event, and what is known only now."""
        self._closed = True
        self._note(output, body)
        if is_final(reason := output.get("finish_reason")):
            self._reason = reason
        delta = self._follow(output)
        text = output.get("text")
        delta.text = self._show(self._rest(text) if text else delta.text)
        if self._snapshots is not None and self._snapshots.rewritten:
            self._replaced_by = self._snapshots.latest
        if self._cutter is not None:
            held = self._cutter.flush() if self._replaced_by is None else ""  # more of what was replaced helps nobody
            delta.text += held
            self._shown.append(held)
            self._reason = "stop" if self._cutter.stopped else self._reason
        delta.last, delta.finish_reason = True, self._reason
        final = self.text if self._replaced_by is None else cut(self._replaced_by, self._request.stop)[0]
        delta.usage, delta.metadata = self._read_usage(), self._metadata()
        if final != self.text:
            delta.metadata |= {"rewritten": True, "final_text": final}
        delta.additional = {**(delta.additional or {}), **self._additional(final)} or None
        return delta

    def _note(self, output: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """Keep what every event repeats, whole each time: the latest counts."""
        if usage := body.get("usage"):
            self._usage = usage
        if references := output.get("doc_references"):
            self._references = references
        if self._session_id is None or self._request_id is None:  # the same in every event
            self._request_id = self._request_id or body.get("request_id")
            self._session_id = self._session_id or output.get("session_id")

    def _new(self, text: str) -> str:
        """Return what of an event's text is new."""
        return text if self._snapshots is None else self._snapshots.feed(text)

    def _show(self, text: str) -> str:
        """Return what of new text comes before a stop sequence."""
        if not text:
            return ""
        self._heard.append(text)
        if self._cutter is not None:
            text = self._cutter.feed(text)
            self._shown.append(text)
        return text

    def _follow(self, output: Mapping[str, Any]) -> ChatDelta:
        """Return what nodes and thoughts say; its text is not shown yet."""
        delta = ChatDelta()
        message, thoughts = output.get("workflow_message"), output.get("thoughts")
        nodes: list[dict[str, Any]] = []
        if thoughts:
            told = [(thought, node_of(thought)) for thought in thoughts]
            nodes = [node for _, node in told if node]
            self._thoughts = self._thoughts or Thoughts(incremental=self._request.incremental_output)
            delta.reasoning = self._thoughts.read(thought for thought, node in told if not node)
        if message or nodes:
            self._workflow = self._workflow or Workflow(incremental=self._request.incremental_output)
            if message:
                self._workflow.read_message(message, delta)
            self._workflow.read_nodes(nodes, delta)
            if self._heard and not self._nodes_spoke:
                delta.text = ""  # the answer comes as `text`, and the nodes repeat it
            self._nodes_spoke = self._nodes_spoke or delta.text != ""
        return delta

    def _rest(self, text: str) -> str:
        """Return what of the final event's text was not shown: a workflow says the whole answer again there.

        UNVERIFIED: whether that includes what nodes before the last one said. Both are taken for the same answer.
        """
        if not self._heard or (self._snapshots is not None and not self._nodes_spoke):
            return self._new(text)
        heard = "".join(self._heard)
        if self._workflow is None:
            return "" if text == heard else text  # an agent ends with new text, mostly none; gateways repeat it all
        if text.startswith(heard):
            return text[len(heard) :]
        if not heard.endswith(text):
            self._replaced_by = text
        return ""

    def _models(self) -> list[dict[str, Any]]:
        return self._usage.get("models") or []

    def _read_usage(self) -> Usage | None:
        """Return the sum over the calls of models, of which one answer can take several; the service has no total."""
        if not (models := self._models()):
            return None
        return Usage(
            sum(model.get("input_tokens") or 0 for model in models),
            sum(model.get("output_tokens") or 0 for model in models),
        )

    def _metadata(self) -> dict[str, Any]:
        models, asked = self._models(), self._request
        names = dict.fromkeys(model["model_id"] for model in models if model.get("model_id"))
        metadata: dict[str, Any] = {
            "session_id": self._session_id,
            "request_id": self._request_id,
            "app_id": asked.app_id,
            "model_name": ",".join(names) or asked.model or asked.app_id,
            "usage_models": models or None,
            "doc_references": self._references or None,
        }
        if asked.session_id and self._session_id and asked.session_id != self._session_id:
            metadata["session_changed"] = True
            logger.warning(
                "Session %s is gone: the application began %s instead, and knows nothing of what was said before.",
                asked.session_id,
                self._session_id,
            )
        return {name: value for name, value in metadata.items() if value is not None}

    def _additional(self, text: str) -> dict[str, Any]:
        thoughts = self._thoughts.all() if self._thoughts else []
        found = {
            "thoughts": thoughts,
            "citations": list(citations(text, self._references or retrieved(thoughts))),
            "workflow_nodes": self._workflow.summary() if self._workflow else None,
        }
        return {name: value for name, value in found.items() if value}
