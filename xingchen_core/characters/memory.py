"""From dialogue and documents to memory and personas. Source: Xingchen HTTP API, "memory", "character description"."""

from collections.abc import Sequence
from typing import Any

from xingchen_core._call import Call, Flow
from xingchen_core._errors import APIResponseError, APITimeoutError
from xingchen_core._waiting import pauses
from xingchen_core.characters._wire import Record, get, given, post
from xingchen_core.characters.models import Memory, MemoryTag, wire_message
from xingchen_core.chat import Message


def extract_facts(
    messages: Sequence[Message], about: Sequence[str], *, model_parameter: dict[str, Any] | None = None
) -> Call[Memory]:
    """Find facts in a dialogue: `POST /v2/api/extract/kv`. The result fits `memory=` of a chat.

    Args:
        messages: The dialogue.
        about: What to look for, in words ("喜好", "职业").
        model_parameter: Sampling parameters, under the service's names. One SDK spells the key `modelParameters`
            (UNVERIFIED which is read): the spelling of the Python SDK is sent.
    """
    body = given(
        messages=[wire_message(message) for message in messages],
        kvMemoryConfigs=[{"memoryText": text, "enabled": True} for text in about],
        modelParameter=model_parameter,
    )
    return post("extract/kv", "aca-extract-memory-kv", body, _facts)


def _facts(data: dict[str, Any]) -> Memory:
    """Read what is known of each fact: a member more than that is no reason to fail."""
    return Memory(
        tags=tuple(
            MemoryTag(role=schema["role"], key=schema["key"], value=_values(schema.get("value")))
            for schema in data.get("schemas") or ()
        )
    )


def _values(value: list[Any] | str | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value or ())


def extract_summary(messages: Sequence[Message], *, model_parameter: dict[str, Any] | None = None) -> Call[Memory]:
    """Summarise a dialogue: `POST /v2/api/extract/summary`. The result fits `memory=` of a chat."""
    body = given(messages=[wire_message(message) for message in messages], modelParameter=model_parameter)
    return post("extract/summary", "aca-extract-memory-summary", body, _summaries)


def _summaries(data: dict[str, Any]) -> Memory:
    return Memory(summaries=tuple(result["content"] for result in data.get("memoryResults") or ()))


def describe_text(text: str, *, model_parameter: dict[str, Any] | None = None) -> Call[str]:
    """Write a persona from a text: `POST /v2/api/character/auto/desc`."""
    body = given(type="text", text=text, modelParameter=model_parameter)
    return post("character/auto/desc", "aca-char-auto-desc", body, _content)


def describe_file(url: str, filename: str, *, model_parameter: dict[str, Any] | None = None) -> Call[str]:
    """Write a persona from a document at a public URL. `filename` carries the extension the service goes by."""
    body = given(type="file", fileUrl=url, fileName=filename, modelParameter=model_parameter)
    return post("character/auto/desc", "aca-char-auto-desc", body, _content)


def _content(data: dict[str, Any]) -> str:
    return str(data["content"])


class Conversion(Record):
    """A document being converted. `status` is `running`, then `success` (with `url`) or `failed`."""

    id: int
    status: str | None = None
    url: str | None = None


def convert_document(url: str, *, type: str = "excelToDocx") -> Call[Conversion]:
    """Begin converting a document at a public URL: `POST /v2/api/common/file/asyn/upload`."""
    body = {"type": type, "sourceUrl": url}
    return post("common/file/asyn/upload", "aca-doc-converter-submit", body, Conversion.model_validate, remembered=True)


def conversion(task_id: int) -> Call[Conversion]:
    """Ask how far a conversion is: `GET /v2/api/common/file/asyn/download`."""
    query = {"taskId": str(task_id)}
    return get("common/file/asyn/download", "aca-doc-converter-result", query, Conversion.model_validate)


def converted_document(
    url: str,
    *,
    type: str = "excelToDocx",
    timeout: float = 600.0,
    interval: float = 10.0,
) -> Flow[Conversion]:
    """Convert a document and wait for it, asking every `interval` seconds (the vendor's samples ask every ten).

    Raises:
        APITimeoutError: Not done within `timeout` seconds.
        APIResponseError: The service failed.
    """
    task = yield convert_document(url, type=type)
    left = pauses(timeout, interval)
    while True:
        status = (task.status or "").lower()
        if status == "success":
            return task  # type: ignore[no-any-return]  # what a flow is sent is untyped
        if status == "failed":
            raise APIResponseError(f"The document could not be converted (task {task.id}).", service="xingchen")
        pause = next(left, None)
        if pause is None:
            raise APITimeoutError(f"task {task.id} is not done within {timeout:g} s", service="xingchen")
        yield pause
        task = yield conversion(task.id)
