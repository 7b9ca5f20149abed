"""`POST /api/v1/apps/{app_id}/completion`: agents, in one piece or as a stream, and the door to workflows."""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator import bailian_texts as texts
from xingchen_core.emulator import bailian_workflows as workflows
from xingchen_core.emulator._wire import Answer, Event, EventStream
from xingchen_core.emulator.bailian_app_answers import Said, compose
from xingchen_core.emulator.bailian_app_questions import Question, read_question
from xingchen_core.emulator.bailian_call import Call, result
from xingchen_core.emulator.bailian_errors import Refusal, error_event

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


def respond(call: Call) -> Answer | EventStream:
    """Answers a question to an application."""
    bailian = call.bailian
    question = read_question(call)
    reply, fault = call.take_turn(question.said)
    bailian.prompts.append(call.body)
    session = question.session
    if session.session_id in bailian.running:
        bailian.overlaps.append(session.session_id)
    said = compose(bailian, question, reply)
    if question.remembers:
        # Kept as soon as it is understood: whoever asks again after a broken answer has asked twice.
        session.turns.append((question.said, said.text))
        del session.turns[: -bailian.session_turns]
    agent = question.app.kind == "agent"
    if not call.streaming:
        output = _whole(question, said) if agent else workflows.whole(question, said)
        output = {**output, **(said.script.body or {})}
        bailian.running.append(session.session_id)
        return call.answer(
            {"output": output, "usage": said.usage(said.reasoning + said.text), "request_id": call.request_id},
            fault,
            lambda: bailian.running.remove(session.session_id),
        )
    bailian.running.append(session.session_id)
    like_agent = agent or question.parameters.get("flow_stream_mode") == "agent_format"
    events = _numbered(call, question, said, _outputs if like_agent else workflows.outputs)
    return call.stream(events, fault, lambda: bailian.running.remove(session.session_id))


Outputs = Callable[["Bailian", Question, Said], Generator[workflows.Output, None, None]]


def _numbered(call: Call, question: Question, said: Said, outputs: Outputs) -> Generator[Event, None, None]:
    if said.script.events is not None:
        for number, data in enumerate(said.script.events, 1):
            yield result(data, number)
        return
    session_id, number = question.session.session_id, 0
    try:
        for number, (output, shown) in enumerate(outputs(call.bailian, question, said), 1):
            output = {"session_id": session_id, **output}
            yield result({"output": output, "usage": said.usage(shown), "request_id": call.request_id}, number)
    except Refusal as refusal:
        yield error_event(refusal, call.request_id, number + 1)


def _whole(question: Question, said: Said) -> dict[str, Any]:
    output: dict[str, Any] = {
        "finish_reason": said.script.finish_reason,
        "session_id": question.session.session_id,
        "text": said.text,
    }
    if question.has_thoughts:
        output["thoughts"] = _thoughts(said, said.reasoning)
    if said.documents:
        output["doc_references"] = said.documents
    return output


def _outputs(_: "Bailian", question: Question, said: Said) -> Generator[workflows.Output, None, None]:
    """`output` of each event, and all that was written so far: reasoning first, then text, then the end."""
    # Reasoning that nobody asked to see is billed all the same.
    thought = "" if question.has_thoughts else said.reasoning
    shown = ""

    def output(text: str, reasoning: str, finish_reason: str = "null") -> workflows.Output:
        made: dict[str, Any] = {"finish_reason": finish_reason, "text": text}
        if question.has_thoughts and (made_thoughts := _thoughts(said, reasoning)):
            made["thoughts"] = made_thoughts
        documents = said.documents if finish_reason != "null" else said.cited(shown)
        if documents:
            made["doc_references"] = documents
        return made, thought + shown

    if question.has_thoughts:
        for piece in texts.pieces(said.reasoning):
            thought += piece
            # Whether reasoning is repeated whole when text is: UNVERIFIED.
            yield output("", piece if question.incremental else thought)
    closed = "" if question.incremental else said.reasoning
    for piece in said.pieces:
        shown += piece
        yield output(piece if question.incremental else shown, closed)
    shown = said.text
    yield output("" if question.incremental else shown, closed, said.script.finish_reason)


def _thoughts(said: Said, reasoning: str) -> list[dict[str, Any]]:
    """All entries; the one of the reasoning stays, empty, when there is no more of it."""
    if not said.reasoning:
        return said.thoughts
    entry = {
        "action": "reasoning",
        "thought": reasoning,
        "action_type": "reasoning",
        "response": reasoning,
        "action_name": "思考过程",
    }
    return [*said.thoughts, entry]
