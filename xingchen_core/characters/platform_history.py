"""The platform's own history of a conversation: read it, rate it, remind, reset, and fetch generated pictures.

One conversation is kept for each (account, character, user). Source: Xingchen HTTP API, "chat messages".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import field_serializer

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import APIResponseError, APITimeoutError, NotFoundError
from xingchen_core._waiting import pauses
from xingchen_core.characters._wire import LARGEST_PAGE, Record, Time, get, given, milliseconds, page_of, post

Order = Literal["gmtCreate desc", "gmtCreate asc"]


class Issuer(Record):
    """Who wrote a message. For a character `user_id` is the character's id and `biz_user_id` is empty."""

    user_id: str | None = None
    biz_user_id: str | None = None
    user_name: str | None = None
    user_type: str | None = None


class HistoryMessage(Record):
    """One stored message.

    Attributes:
        message_type: `user`, `character`, `opening_remarks` or `sys_greetings`.
        chat_id: The question and answer it belongs to.
        gmt_create: When it was stored.
        rating: -1 to 5, if somebody rated it.
    """

    message_id: str
    content: str = ""
    message_type: str | None = None
    message_issuer: Issuer | None = None
    session_id: str | None = None
    chat_id: str | None = None
    gmt_create: Time | None = None
    is_greeting: bool | None = None
    rating: int | None = None
    regenerate_times: int | None = None

    @property
    def is_user(self) -> bool:
        """Whether the user said it, and not the character."""
        if self.message_type is not None:
            return self.message_type == "user"
        return self.message_issuer is not None and self.message_issuer.user_type == "user"

    @field_serializer("gmt_create")
    def _write_time(self, time: datetime | None) -> int | None:
        return None if time is None else milliseconds(time)


def history(
    character_id: str,
    user_id: str,
    *,
    session_id: str | None = None,
    start: datetime | int | None = None,
    end: datetime | int | None = None,
    message_ids: Sequence[str] | None = None,
    order: Order = "gmtCreate desc",
    page: int = 1,
    page_size: int = LARGEST_PAGE,
) -> Call[Page[HistoryMessage]]:
    """Read one page of the conversation of a character and a user: `POST /v2/api/chat/message/histories`.

    Args:
        character_id: The character.
        user_id: Your id of the user (`bizUserId` on the wire).
        session_id: Only this run of the conversation.
        start: Only from this time on; an integer is milliseconds since 1970.
        end: Only up to this time.
        message_ids: Only these messages.
        order: Newest first, or oldest first.
        page: From 1.
        page_size: 1 to 50.
    """
    where = given(
        characterId=character_id,
        bizUserId=user_id,
        sessionId=session_id,
        startTime=None if start is None else milliseconds(start),
        endTime=None if end is None else milliseconds(end),
        messageIds=list(message_ids) if message_ids is not None else None,
    )
    return post(
        "chat/message/histories",
        "aca-message-history",
        {"where": where, "orderBy": [order], "pageNum": page, "pageSize": page_size},
        page_of(HistoryMessage.model_validate),
    )


def all_history(
    character_id: str, user_id: str, *, page_size: int = LARGEST_PAGE, **filters: Any
) -> Listing[HistoryMessage]:
    """List the whole conversation, for a client's `iterate`. Takes what `history` takes."""
    return Listing(
        lambda number: history(character_id, user_id, page=number, page_size=page_size, **filters),
        page_size,
        key=lambda message: message.message_id,
    )


def rate(message_id: str, rating: int, info: str | None = None) -> Call[bool]:
    """Rate an answer, -1 to 5. `info` is the reason for a bad mark: `POST /v2/api/chat/rating`.

    Raises:
        ValueError: The rating is outside -1..5.
    """
    if not -1 <= rating <= 5:
        raise ValueError(f"rating must be -1 to 5, got {rating}")
    return post("chat/rating", "aca-message-rating", given(messageId=message_id, rating=rating, info=info), bool)


def remind(character_id: str, user_id: str, content: str) -> Call[bool]:
    """Write a message of the character's into the history, without asking the model: `POST /v2/api/chat/reminder`."""
    body = {"characterId": character_id, "bizUserId": user_id, "content": content}
    return post("chat/reminder", "aca-chat-reminder", body, bool, remembered=True)


def reset(character_id: str, user_id: str) -> Call[bool]:
    """Begin a new conversation: later chats see nothing older: `POST /v2/api/chat/reset`.

    Whether the history query still lists older messages is UNVERIFIED.
    """
    return post("chat/reset", "aca-chat-reset", {"characterId": character_id, "userId": user_id}, bool)


class GeneratedImage(Record):
    """A picture that is being made. `status` is an open set of words; see `is_done` and `has_failed`."""

    task_id: str | None = None
    status: str | None = None
    error_message: str | None = None
    file_urls: tuple[str, ...] | None = None
    file_url: tuple[str, ...] | str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the picture is. The list has two spellings, by SDK (UNVERIFIED which the service sends)."""
        if self.file_urls:
            return self.file_urls
        return (self.file_url,) if isinstance(self.file_url, str) else self.file_url or ()

    @property
    def is_done(self) -> bool:
        """Whether the picture is made. The words are UNVERIFIED; an unknown one means not yet."""
        return (self.status or "").upper() in ("SUCCEEDED", "SUCCESS") or (self.status is None and bool(self.urls))

    @property
    def has_failed(self) -> bool:
        """Whether there will be no picture."""
        return (self.status or "").upper() in ("FAILED", "FAIL", "CANCELED", "CANCELLED")


def image(message_id: str, user_id: str) -> Call[GeneratedImage]:
    """Ask once for the picture of an answer: `GET /v2/api/chat/polling/image`."""
    query = {"messageId": message_id, "userId": user_id}
    return get("chat/polling/image", "aca-polling-image", query, GeneratedImage.model_validate)


def wait_for_image(
    message_id: str, user_id: str, *, timeout: float = 120.0, interval: float = 2.5
) -> Flow[GeneratedImage]:
    """Ask for the picture until it is there.

    Args:
        message_id: `message_id` of the answer.
        user_id: The user of that chat.
        timeout: Seconds to wait at most between the questions. The service names no limit; pictures take tens of
            seconds.
        interval: Seconds between two questions, 0.1 at least.

    Raises:
        APITimeoutError: No picture within `timeout`.
        APIResponseError: The service failed to make it.
        NotFoundError: The answer has no picture: a message the service knows nothing of after half of the time.
    """
    left, waited = pauses(timeout, interval), 0.0
    while True:
        try:
            picture = yield image(message_id, user_id)
        except NotFoundError:
            if waited >= timeout / 2:  # it may only not have been begun
                raise
        else:
            if picture.is_done and picture.urls:
                return picture  # type: ignore[no-any-return]  # what a flow is sent is untyped
            if picture.has_failed:
                raise APIResponseError(
                    f"The picture could not be made: {picture.error_message or picture.status}.", service="xingchen"
                )
        pause = next(left, None)
        if pause is None:
            raise APITimeoutError(f"no picture for message {message_id} within {timeout:g} s", service="xingchen")
        yield pause
        waited += pause.seconds
