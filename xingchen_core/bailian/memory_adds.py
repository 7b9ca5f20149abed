"""Adding to long-term memory, at once or in the background. Source: Model Studio, "long-term memory (new) API"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core._errors import APIResponseError, APITimeoutError, ConfigurationError, NotFoundError
from xingchen_core._waiting import pauses
from xingchen_core.bailian._openapi import segment
from xingchen_core.bailian.memory_nodes import MemoryChange, deleted_by, read_changes, with_owner
from xingchen_core.bailian.memory_wire import (
    LONGEST_TEXT,
    MEMORY,
    MOST_MESSAGES,
    Record,
    account_call,
    check_length,
    checked_library,
    checked_user,
    conversation,
    seconds,
)
from xingchen_core.bailian.model_messages import ModelMessage

Content = str | Sequence[ModelMessage]
"""A text, to be taken as it is, or a conversation."""


@dataclass(frozen=True, slots=True)
class Skill:
    """What a skill is called and for. A project of skills demands all three beside the text."""

    name: str
    description: str
    tags: tuple[str, ...]


def add(
    content: Content,
    *,
    user_id: str,
    library_id: str | None = None,
    project_id: str | None = None,
    profile_schema_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    timestamp: datetime | int | None = None,
) -> Call[tuple[MemoryChange, ...]]:
    """Remember: `POST /add`. Resent only if it certainly was not received: a repetition would be a second memory.

    Args:
        content: A text of at most 512 characters is stored as it is: one memory, at once. From a conversation of at
            most 50 messages the service extracts what it finds worth keeping: any number of memories, none included,
            and it may merge, rewrite and delete older ones. What must stay exact goes in as text.
        user_id: Whose memory it is; at most 64 characters.
        library_id: Default: the account's default library.
        project_id: Default: the library's default project, whose memories expire after 180 days.
        profile_schema_id: Fill this profile, too, from a conversation. Without it no profile is filled.
        metadata: JSON of yours, returned with the memory.
        timestamp: When it happened; an `int` is in seconds. Default: now.
    """
    body = _added(content, user_id, library_id, profile_schema_id, metadata, timestamp, with_tools=False)

    def parse(account: str, answer: Any) -> tuple[MemoryChange, ...]:
        changes = read_changes(answer.get("memory_nodes"), user_id, account)
        for change in changes:
            if change.node_id is not None and change.event == "ADD":
                deleted_by(account).add(user_id, change.node_id, is_deleted=False)
        return changes

    return account_call("POST", "add", parse, body={**body, "project_id": project_id}, remembered=True)


class EventPart(Record):
    """What an asynchronous add does to one resource: memories, skills or a profile (`profile` or `user_profile`)."""

    event_id: str | None = None
    event_type: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    user_id: str | None = None
    status: str | None = None
    detail: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the service still works on it."""
        return (self.status or "PENDING").upper() in ("PENDING", "RUNNING")

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return (self.status or "").upper() == "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class AddEvent:
    """An asynchronous add, as far as it has come."""

    id: str
    user_id: str
    parts: tuple[EventPart, ...]
    changes: tuple[MemoryChange, ...]
    """What it has done; nothing before its end, and often nothing at all: small talk is not remembered."""

    @property
    def is_pending(self) -> bool:
        """Whether the service still works on it."""
        return any(part.is_pending for part in self.parts)

    @property
    def failure(self) -> str | None:
        """What went wrong: of a failed part the service's words, else a last status that is not success.

        What `UNRECORDED` means is UNVERIFIED; the word does not promise that anything was stored.
        """
        if self.is_pending:
            return None
        return next((part.detail or str(part.status) for part in self.parts if not part.is_done), None)


def add_async(
    content: Content,
    *,
    user_id: str,
    library_id: str | None = None,
    project_id: str | None = None,
    project_ids: Sequence[str] | None = None,
    profile_schema_id: str | None = None,
    profile_only: bool = False,
    skill: Skill | None = None,
    metadata: Mapping[str, Any] | None = None,
    timestamp: datetime | int | None = None,
) -> Call[AddEvent]:
    """Remember in the background: `POST /add-async`. See `add`, and `wait_for_event` for its end, in about 30 s.

    Args:
        content: As for `add`; calls and results of functions may be among the messages.
        user_id: As for `add`.
        library_id: As for `add`.
        project_id: As for `add`.
        profile_schema_id: As for `add`.
        metadata: As for `add`.
        timestamp: As for `add`.
        project_ids: Several projects instead of one, at most 5, for a conversation only.
        profile_only: Only fill the profile.
        skill: For a text in a project of skills.
    """
    is_text = isinstance(content, str)
    if project_ids is not None and (is_text or project_id is not None or not 1 <= len(project_ids) <= 5):
        raise ConfigurationError("project_ids: 1 to 5, for a conversation, and not beside project_id.")
    if profile_only and (is_text or profile_schema_id is None):
        raise ConfigurationError("profile_only needs a conversation and a profile_schema_id.")
    if skill is not None and not (is_text and skill.name and skill.description and skill.tags):
        raise ConfigurationError("A skill needs a text, a name, a description and tags.")
    body = _added(content, user_id, library_id, profile_schema_id, metadata, timestamp, with_tools=True)
    body |= {
        "project_id": project_id,
        "project_ids": None if project_ids is None else list(project_ids),
        "extract_mode": "profile_only" if profile_only else None,
    }
    if skill is not None:
        body |= {"skill_name": skill.name, "skill_description": skill.description, "skill_tags": list(skill.tags)}
    return account_call("POST", "add-async", partial(_read_event, user_id), body=body, remembered=True)


def _added(
    content: Content,
    user_id: str,
    library_id: str | None,
    profile_schema_id: str | None,
    metadata: Mapping[str, Any] | None,
    timestamp: datetime | int | None,
    *,
    with_tools: bool,
) -> dict[str, Any]:
    body: dict[str, Any]
    if isinstance(content, str):
        check_length("A text to remember", content, LONGEST_TEXT)
        if profile_schema_id is not None:
            raise ConfigurationError("A profile is filled from a conversation only: pass messages instead of a text.")
        body = {"custom_content": content}
    else:
        messages = conversation(content, with_tools=with_tools)
        if len(messages) > MOST_MESSAGES:
            raise ConfigurationError(f"{len(messages)} messages are more than the {MOST_MESSAGES} of one add: split.")
        body = {"messages": messages, "profile_schema": profile_schema_id}
    return body | {
        "user_id": checked_user(user_id),
        "memory_library_id": checked_library(library_id),
        "meta_data": with_owner(metadata, user_id),
        "timestamp": seconds("timestamp", timestamp),
    }


def get_event(event_id: str, *, user_id: str) -> Call[AddEvent]:
    """Ask how far an asynchronous add is: `GET /events/{event_id}`.

    Raises:
        NotFoundError: While sending: there is no such event, or it is another user's. One that names no user is taken
            for this one's, as the id was given only to who added; that it can happen is UNVERIFIED.
    """
    checked_user(user_id)
    return account_call("GET", f"events/{segment(event_id)}", partial(_read_event, user_id))


def _read_event(user_id: str, account: str, answer: Mapping[str, Any]) -> AddEvent:
    """Read an event: in a list when it is made; UNVERIFIED whether it comes bare or wrapped when it is asked for."""
    entries = answer.get("events") or [answer.get("event") or answer]
    parts = tuple(map(EventPart.model_validate, entries))
    event_id = str(answer.get("event_id") or entries[0]["event_id"])
    if any(part.user_id not in (None, user_id) for part in parts):
        raise NotFoundError(
            f"No event {event_id!r} of this user.", status_code=404, code="NotFound", service=MEMORY.name
        )
    changes = (change for entry in entries for change in read_changes(entry.get("result"), user_id, account))
    return AddEvent(event_id, user_id, parts, tuple(changes))


def wait_for_event(event: AddEvent, *, timeout: float = 120.0, interval: float = 2.0) -> Flow[AddEvent]:
    """Wait until an asynchronous add has ended. To cancel, close the flow or cancel its task; the service goes on.

    Args:
        event: What `add_async` or `get_event` returned.
        timeout: Seconds to wait at most between the looks.
        interval: Seconds before the first look; later ones wait half as long again, at most 30 s.

    Raises:
        APIResponseError: It failed, with the service's reason. Not all of it need have failed: do not add it again
            without a look at what is stored.
        APITimeoutError: It has not ended in time. The service goes on with it.
    """
    left = pauses(timeout, interval, growth=1.5)
    while event.is_pending:
        pause = next(left, None)
        if pause is None:
            raise APITimeoutError(f"add {event.id} has not ended within {timeout:g} s", service=MEMORY.name)
        yield pause
        event = yield get_event(event.id, user_id=event.user_id)
    if event.failure:
        raise APIResponseError(f"Add {event.id} failed: {event.failure}", service=MEMORY.name, is_retryable=False)
    return event
