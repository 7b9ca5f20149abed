"""Events of a streamed answer of a Bailian model, as the service writes them, and what a reader makes of them."""

import json
from typing import Any

from xingchen_core import ChatDelta
from xingchen_core._call import StreamCall
from xingchen_core._sse import SSEDecoder

USAGE = {"total_tokens": 27, "output_tokens": 1, "input_tokens": 26}


def framed(*bodies: dict[str, Any], blank: bool = True) -> bytes:
    """Return events as DashScope frames them; without `blank` as its older gateways do."""
    end = "\n\n" if blank else "\n"
    return "".join(
        f"id:{at}\nevent:result\n:HTTP_STATUS/200\ndata:{json.dumps(body, ensure_ascii=False)}{end}"
        for at, body in enumerate(bodies, 1)
    ).encode()


def said(
    content: Any = "", reason: Any = "null", usage: dict[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    """Return the body of a native event. `members` go into the message."""
    message = {"content": content, "role": "assistant", **members}
    choice = {"message": message, "finish_reason": reason}
    return {"output": {"choices": [choice]}, "usage": USAGE if usage is None else usage, "request_id": "r1"}


def fragment(index: int, arguments: str, name: str | None = None, id: str = "") -> dict[str, Any]:
    """Return a piece of a function call: only the first has a name, and the others an empty id."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": index, "id": id, "type": "function", "function": function}


def deltas(call: StreamCall[ChatDelta], *pieces: bytes) -> list[ChatDelta]:
    """Return what the call's reader makes of a whole body."""
    reader, decoder = call.reader(), SSEDecoder(dispatch_on_data=call.dispatch_on_data)
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()
    found = [delta for event in events if (delta := reader.read(event)) is not None]
    return [*found, *reader.end()]
