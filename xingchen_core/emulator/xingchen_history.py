"""The calls on platform history: query, rating, reminder, reset, and the pictures of answers."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.xingchen_errors import invalid, not_found
from xingchen_core.emulator.xingchen_fields import member, page, required_text, strings, text, whole
from xingchen_core.emulator.xingchen_rooms import Message, Room

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call


def histories(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/chat/message/histories`: newest first unless asked otherwise."""
    body, state = call.body, call.xingchen
    where: dict[str, Any] = member(body, "where", dict) or {}
    character_id, user_id = text(where, "characterId"), text(where, "bizUserId")
    session_id, number = text(where, "sessionId"), member(where, "chatRoomId", int)
    start, end = _time(where, "startTime"), _time(where, "endTime")
    ids = strings(where, "messageIds")
    found: list[tuple[Room, Message]] = []
    for room in state.rooms.of(call.account):
        if character_id not in (None, room.character_id) or user_id not in (None, room.user_id):
            continue
        if number not in (None, room.number):
            continue
        for message in room.messages:
            if state.reset_hides_history and message.session_id != room.session_id:
                continue
            if session_id not in (None, message.session_id) or (ids and message.message_id not in ids):
                continue
            if (start is None or message.gmt_create >= start) and (end is None or message.gmt_create <= end):
                found.append((room, message))
    visible = [(room, message) for room, message in found if not message.unseen_reads]
    for _, message in found:
        message.unseen_reads = max(message.unseen_reads - 1, 0)
    visible = visible[: max(len(visible) - state.history_behind, 0)]
    # Rows of equal time stay in the order of writing, whichever the direction: nothing promises better.
    newest_first = _descending(body) and not state.history_oldest_first
    visible.sort(key=lambda found: found[1].gmt_create, reverse=newest_first)
    rows = [room.row(message) for room, message in visible]
    size = whole(body, "pageSize", 1, 50) or 10
    listed = page(rows, body, repeated=min(state.history_overlap, size - 1))  # every page has something new
    if state.history_without_total:
        del listed["total"]
    return listed


def _time(where: dict[str, Any], name: str) -> int | None:
    """Epoch milliseconds, or ISO 8601 text as the Python SDK sends it."""
    value = where.get(name)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise invalid(f"where.{name} is no time") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    milliseconds: int | None = member(where, name, int)
    return milliseconds


def _descending(body: dict[str, Any]) -> bool:
    orders = strings(body, "orderBy") or ["gmtCreate desc"]
    column, _, direction = orders[0].partition(" ")
    if column not in ("gmtCreate", "gmtModified", "createTime", "modifiedTime") or direction not in ("", "asc", "desc"):
        raise invalid(f"orderBy {orders[0]!r} is not understood; use 'gmtCreate desc'")
    return direction == "desc"


def rating(call: "Call") -> bool:
    """`POST /v2/api/chat/rating`: -1..5."""
    message_id = required_text(call.body, "messageId")
    value = whole(call.body, "rating", -1, 5, required=True)
    text(call.body, "info")
    for room in call.xingchen.rooms.of(call.account):
        for exchange in room.exchanges:
            for message in exchange.answers:
                if message.message_id == message_id:
                    message.rating = value
                    return True
        for message in room.messages:
            if message.message_id == message_id:
                message.rating = value
                return True
    raise not_found(f"messageId {message_id}")


def reminder(call: "Call") -> bool:
    """`POST /v2/api/chat/reminder`: the character speaks first."""
    character_id = required_text(call.body, "characterId")
    user_id = required_text(call.body, "bizUserId")
    content = required_text(call.body, "content")
    call.xingchen.characters.to_chat(call.account, character_id, None)
    call.xingchen.rooms.open(call.account, character_id, user_id).write(content, "sys_greetings")
    return True


def reset(call: "Call") -> bool:
    """`POST /v2/api/chat/reset`: a new session; what was said stays listed, but is not told to the model."""
    character_id = required_text(call.body, "characterId")
    user_id = required_text(call.body, "userId")
    call.xingchen.characters.to_chat(call.account, character_id, None)
    room = call.xingchen.rooms.find(call.account, character_id, user_id)
    if room:
        room.session_id = call.xingchen.new_id("session")
    return True


def polling_image(call: "Call") -> dict[str, Any]:
    """`GET /v2/api/chat/polling/image`."""
    message_id, user_id = required_text(call.query, "messageId"), required_text(call.query, "userId")
    picture = call.xingchen.rooms.pictures.get(message_id)
    if picture is None or picture.user_id != user_id:
        raise not_found(f"no picture for messageId {message_id}")
    picture.polls += 1
    found = {"taskId": picture.task_id}
    if picture.polls <= call.xingchen.polls_until_done:
        return {**found, "status": "PENDING" if picture.polls == 1 else "RUNNING"}
    if not picture.urls:
        return {**found, "status": "FAILED", "errorMessage": "The picture could not be made."}
    # The Python SDK reads fileUrl, the Go SDK fileUrls.
    return {**found, "status": "SUCCEEDED", "fileUrls": list(picture.urls), "fileUrl": list(picture.urls)}
