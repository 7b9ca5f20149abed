"""The signed calls around a conversation: `Chat`, `BeginSession`, `Associate`, `Feedback`, `CancelChat`."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_pascal

from xingchen_core._call import Call
from xingchen_core.beebot._service import rpc
from xingchen_core.beebot.answers import read_reply
from xingchen_core.beebot.models import BeebotRequest
from xingchen_core.chat import ChatReply


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_pascal, populate_by_name=True, extra="allow", frozen=True, defer_build=True
    )


class Welcome(_Answer):
    """A robot's welcome. The silence limits are for voice robots: seconds, milliseconds."""

    welcome_message: str = ""
    silence_reply_timeout: int | None = None
    interruptible: bool | None = None
    asr_max_end_silence: int | None = None


class Suggestion(_Answer):
    """A question the user may mean. `meta` is JSON text."""

    title: str
    meta: str | None = None


def chat(request: BeebotRequest, agent_key: str | None = None) -> Call[ChatReply]:
    """Ask by the older call: `Chat`. One page gives it to robots of the old edition only, another lists it again."""
    return rpc(
        "Chat",
        lambda body: read_reply(body, request.model_name(), request.stop),
        query={"AgentKey": agent_key, **request.rpc_parameters()},
        remembered=True,
        lock=f"beebot:{request.instance_id}:{request.session_id}" if request.session_id else None,
    )


def begin_session(
    instance_id: str,
    *,
    session_id: str | None = None,
    vendor_params: dict[str, Any] | None = None,
    sandbox: bool | None = None,
    agent_key: str | None = None,
) -> Call[Welcome]:
    """Fetch the welcome: `BeginSession`. The answer names no session: choose `session_id` if turns are to follow."""
    return rpc(
        "BeginSession",
        Welcome.model_validate,
        query={"AgentKey": agent_key},
        form={
            "InstanceId": instance_id,
            "SessionId": session_id,
            "VendorParam": vendor_params,
            "SandBox": sandbox,
        },
        remembered=True,
    )


def associate(
    instance_id: str,
    utterance: str,
    *,
    session_id: str | None = None,
    limit: int | None = None,
    perspective: Sequence[str] | None = None,
    agent_key: str | None = None,
) -> Call[tuple[Suggestion, ...]]:
    """Suggest questions while somebody types: `Associate`. `limit` is 1 to 10."""
    query = {
        "AgentKey": agent_key,
        "InstanceId": instance_id,
        "Utterance": utterance,
        "SessionId": session_id,
        "RecommendNum": limit,
        "Perspective": list(perspective) if perspective else None,
    }
    return rpc(
        "Associate",
        lambda body: tuple(Suggestion.model_validate(item) for item in body.get("Associate") or ()),
        query=query,
    )


def feedback(
    instance_id: str,
    message_id: str,
    good: bool,
    *,
    session_id: str | None = None,
    text: str | None = None,
    labels: Sequence[str] | None = None,
    agent_key: str | None = None,
) -> Call[None]:
    """Rate an answer: `Feedback`. `message_id` is the answer's, from its metadata."""
    content: Any = {"content": text or "", "feedbackLabels": list(labels)} if labels else text
    query = {
        "AgentKey": agent_key,
        "InstanceId": instance_id,
        "SessionId": session_id,
        "MessageId": message_id,
        "Feedback": "good" if good else "bad",
        "FeedbackContent": content,
    }
    return rpc("Feedback", lambda body: None, query=query)


def cancel_chat(
    instance_id: str, session_id: str, chat_id: str, shown_text: str, *, agent_key: str | None = None
) -> Call[bool]:
    """Stop a running answer: `CancelChat`, for new robots.

    That `chat_id` is the answer's `message_id` is UNVERIFIED.
    """
    form = {
        "AgentKey": agent_key,
        "InstanceId": instance_id,
        "SessionId": session_id,
        "ChatId": chat_id,
        "Type": "Canceled",
        "Answer": shown_text,
    }
    return rpc("CancelChat", lambda body: bool(body.get("CancelResult")), form=form)
