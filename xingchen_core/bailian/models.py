"""Models on Bailian: qwen, deepseek and others.

`POST /api/v1/services/aigc/text-generation/generation`, `…/multimodal-generation/generation`, or, with
`endpoint="compatible"`, `POST /compatible-mode/v1/chat/completions` (its shapes are in `compatible.py`).
Source: Model Studio, "Qwen API by DashScope". What comes back is read in `model_replies.py`.
"""

from typing import Any

from pydantic_core import to_json

from xingchen_core._call import Call, StreamCall
from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian import compatible
from xingchen_core.bailian._service import BAILIAN
from xingchen_core.bailian.model_messages import multimodal_content, one_system, text_content, wire_message
from xingchen_core.bailian.model_parameters import (
    ModelParameters,
    ModelRequest,
    needs_required,
    preserves_thinking,
    thinks,
    wire_parameters,
)
from xingchen_core.bailian.model_replies import ModelReader, read_reply
from xingchen_core.bailian.profiles import profile
from xingchen_core.chat import ChatDelta, ChatReply

PATHS = {
    "text": "/api/v1/services/aigc/text-generation/generation",
    "multimodal": "/api/v1/services/aigc/multimodal-generation/generation",
    "compatible": "/compatible-mode/v1/chat/completions",
}
_MULTIMODAL_NAMES = ("-vl", "qvq", "omni", "audio", "ocr")


def generate(request: ModelRequest, workspace_id: str | None = None) -> Call[ChatReply]:
    """Ask for a whole answer; `request.n` may ask for several. See `only_streams` for models that refuse this.

    Raises:
        UnsupportedOperationError, ConfigurationError: The endpoint has no way to do what the request says.
    """
    endpoint = endpoint_of(request)
    read = compatible.read_reply if endpoint == "compatible" else read_reply
    return Call(
        service=BAILIAN,
        path=PATHS[endpoint],
        headers=_headers(request, workspace_id),
        json=_body(request, endpoint, stream=False),
        parse=lambda body: read(body, request),
    )


def stream_generate(request: ModelRequest, workspace_id: str | None = None) -> StreamCall[ChatDelta]:
    """Ask for an answer as it is made.

    Raises:
        UnsupportedOperationError: `request.n` is more than 1, or as `generate`.
        ConfigurationError: As `generate`.
    """
    if request.n > 1:
        raise UnsupportedOperationError("A stream carries one answer only: use n=1, or a call that does not stream.")
    endpoint = endpoint_of(request)
    reader = compatible.CompatibleReader if endpoint == "compatible" else ModelReader
    return StreamCall(
        service=BAILIAN,
        path=PATHS[endpoint],
        headers=_headers(request, workspace_id) | ({} if endpoint == "compatible" else {"X-DashScope-SSE": "enable"}),
        json=_body(request, endpoint, stream=True),
        reader=lambda: reader(request),
        dispatch_on_data=True,
    )


def only_streams(request: ModelParameters) -> bool:
    """Whether the answer has to be asked for as a stream, since the service refuses to give it whole.

    So it is while a model thinks ("enable_thinking must be set to false for non-streaming calls"). Some models of
    third parties do think in one piece; to stream is right for them too.
    """
    return bool(profile(request.model).get("only_streams")) or thinks(request)


def endpoint_of(request: ModelRequest) -> str:
    """Return which endpoint serves the request: `text`, `multimodal` or `compatible`."""
    has_media = any(message.has_media for message in request.messages)
    if request.endpoint == "text" and has_media:
        raise ConfigurationError("endpoint='text' takes no image, video or audio: use 'auto' or 'multimodal'.")
    if request.endpoint != "auto":
        return request.endpoint
    if needs_required(request):
        return "compatible"
    name = request.model.lower()
    if has_media or any(mark in name for mark in _MULTIMODAL_NAMES):
        return "multimodal"
    return str(profile(name).get("endpoint", "text"))


def _headers(request: ModelRequest, workspace_id: str | None) -> dict[str, str]:
    headers = {}
    if workspace_id:
        headers["X-DashScope-WorkSpace"] = workspace_id
    if inspection := request.data_inspection:
        both = {"input": "cip", "output": "cip"} if inspection is True else inspection
        headers["X-DashScope-DataInspection"] = to_json(both).decode()
    if any(message.in_oss for message in request.messages):
        headers["X-DashScope-OssResourceResolve"] = "enable"
    return headers


def _body(request: ModelRequest, endpoint: str, *, stream: bool) -> dict[str, Any]:
    if endpoint == "compatible":
        return compatible.body(request, stream=stream)
    content = multimodal_content if endpoint == "multimodal" else text_content
    with_reasoning = preserves_thinking(request)
    # Both defaults differ by model, so both are always said.
    parameters: dict[str, Any] = {"result_format": "message"}
    if stream:
        parameters["incremental_output"] = request.incremental_output
    parameters |= wire_parameters(request, native=True) | request.model_kwargs
    messages = [wire_message(m, content(m), with_reasoning=with_reasoning) for m in one_system(request.messages)]
    return {"model": request.model, "input": {"messages": messages}, "parameters": parameters}
