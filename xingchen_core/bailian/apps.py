"""Agent and workflow applications: `POST /api/v1/apps/{app_id}/completion`.

Source: Model Studio, "application API reference", "call an agent", "call a workflow". What comes back is read in
`app_replies.py`; what a question is made of is in `app_models.py`.
"""

from typing import Any
from urllib.parse import quote

from xingchen_core._call import Call, StreamCall
from xingchen_core.bailian._service import BAILIAN
from xingchen_core.bailian.app_models import AppParameters, AppRequest, RagOptions
from xingchen_core.bailian.app_replies import AppReader, read_reply
from xingchen_core.chat import ChatDelta, ChatReply

__all__ = ["AppParameters", "AppReader", "AppRequest", "RagOptions", "complete", "stream"]


def complete(request: AppRequest, workspace_id: str | None = None) -> Call[ChatReply]:
    """Ask an application for a whole answer.

    `metadata` holds `session_id`, `request_id`, `app_id`, `model_name`, and where there are any `usage_models` (tokens
    by model call), `doc_references` (as sent), `session_changed` (True: the session asked for is gone, this is a new
    one). `additional` holds, where there are any, `thoughts` (as sent), `citations` (see `references.citations`) and
    `workflow_nodes` (what nodes made that do not answer, where the mode tells).
    """
    return Call(**_shared(request, workspace_id, stream=False), parse=lambda body: read_reply(body, request))


def stream(request: AppRequest, workspace_id: str | None = None) -> StreamCall[ChatDelta]:
    """Ask an application for an answer as it is made.

    The last delta holds what `complete` has in `metadata` and `additional`. What a workflow's nodes do comes at once,
    as `additional["workflow_messages"]`, a list of what the service sent (`node_id`, `node_name`, `node_type`,
    `node_status`, `message`, ...), mostly on deltas without text; the text of the nodes that answer is not repeated.
    """
    return StreamCall(
        **_shared(request, workspace_id, stream=True), reader=lambda: AppReader(request), dispatch_on_data=True
    )


def _shared(request: AppRequest, workspace_id: str | None, *, stream: bool) -> dict[str, Any]:
    session = request.session_id
    return {
        "service": BAILIAN,
        "path": f"/api/v1/apps/{quote(request.app_id or '', safe='')}/completion",
        "headers": _headers(request, workspace_id, stream=stream),
        "json": {"input": _input(request), "parameters": _parameters(request, stream=stream)},
        "remembered": bool(session or request.memory_id),
        "lock": f"bailian:{request.app_id}:{session}" if session else None,  # two at once would interleave
    }


def _headers(request: AppRequest, workspace_id: str | None, *, stream: bool) -> dict[str, str]:
    headers: dict[str, str] = {}
    if stream:
        headers |= {"X-DashScope-SSE": "enable", "X-Accel-Buffering": "no"}
    if workspace_id:
        headers["X-DashScope-WorkSpace"] = workspace_id
    if any(url.startswith("oss://") for url in (*(request.image_urls or ()), *(request.file_urls or ()))):
        headers["X-DashScope-OssResourceResolve"] = "enable"
    return headers


def _input(request: AppRequest) -> dict[str, Any]:
    return _given(
        **request.said(),
        session_id=request.session_id,
        memory_id=request.memory_id,
        biz_params=request.biz_params,
        image_list=request.image_urls,
        file_list=request.file_urls,
        doc_reference_type=request.doc_reference_type,
        doc_tag_codes=request.doc_tag_codes,
    ) | dict(request.extra_input)


def _parameters(request: AppRequest, *, stream: bool) -> dict[str, Any]:
    """Return the parameters, `{}` if there are none: without the member the service refuses.

    What carries the text of a workflow's stream is always said: the service's default repeats every node.
    """
    mode = request.flow_stream_mode or ("message_format" if stream else None)
    return _given(
        incremental_output=request.incremental_output if stream else None,
        flow_stream_mode=mode,
        has_thoughts=True if request.enable_thinking or mode == "full_thoughts" else request.has_thoughts,
        enable_thinking=request.enable_thinking,
        model_id=request.model,
        enable_web_search=request.enable_web_search,
        enable_system_time=request.enable_system_time,
        dialog_round=request.dialog_round,
        mcp_servers=request.mcp_servers,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        seed=request.seed,
        rag_options=request.rag.wire() if request.rag else None,
    ) | dict(request.model_kwargs)


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
