"""The data centre as LlamaIndex's plug-ins use it: `/api/v1/datacenter/category/{category}/...`, in snake case.

Documented nowhere; the members are those that llama-index-readers-dashscope sends and reads.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from xingchen_core.emulator._wire import Answer
from xingchen_core.emulator.bailian_files_parsing import Chunking, pieces_of
from xingchen_core.emulator.bailian_files_routes import make_lease, register, upload_url
from xingchen_core.emulator.bailian_files_store import File
from xingchen_core.emulator.bailian_knowledge_fields import invalid
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

PARSED = "/emulated-object-storage/parsed/"


def upload_lease(call: KeyCall) -> dict[str, Any]:
    """`POST upload_lease`. Here the size is a number."""
    body = call.body
    lease = make_lease(
        call.bailian.knowledge,
        call.workspace,
        call.path("category"),
        body.text("file_name"),
        str(body.integer("size_bytes", 0, 0)),
        body.text("content_md5"),
    )
    param = {"url": upload_url(call.request, lease), "method": "PUT", "headers": lease.headers}
    return {"data": {"lease_id": lease.lease_id, "type": "OSS.PreSignedUrl", "param": param}}


def add_file(call: KeyCall) -> dict[str, Any]:
    """`POST add_file`."""
    lease_id, parser = call.body.text("lease_id"), call.body.text("parser")
    file = register(call.bailian.knowledge, call.workspace, lease_id, call.path("category"), parser, [], "")
    return {"data": {"file_id": file.file_id, "parser": file.parser}}


def query(call: KeyCall) -> dict[str, Any]:
    """`POST file/{id}/query`."""
    file = _file(call)
    call.bailian.knowledge.look(file)
    return {
        "data": {
            "file_id": file.file_id,
            "status": file.status,
            "file_name": file.name,
            "file_type": file.extension,
            "parser": file.parser,
            "size_bytes": len(file.content),
            "upload_time": str(int(file.created * 1000)),
            "category": file.category_id,
        }
    }


def download_lease(call: KeyCall) -> dict[str, Any]:
    """`POST file/{id}/download_lease`: where the parsed file can be fetched without a key."""
    file = _file(call)
    if not file.parsed:
        raise invalid(f"the file is not parsed, file_id: {file.file_id}")
    url = f"{call.request.base_url}{PARSED[1:]}{file.file_id}?Signature={_signature(file)}"
    lease_id = call.bailian.new_id("lease")
    param = {"url": url, "method": "GET", "headers": {}}
    return {
        "data": {
            "file_id": file.file_id,
            "lease_id": lease_id,
            "file_name": file.name,
            "type": "HTTP",
            "param": param,
        }
    }


def parsed(bailian: "Bailian") -> Callable[[Request], Awaitable[Answer]]:
    """What was parsed of a file: its pieces, as JSON. The inner shape is invented."""

    async def handle(request: Request) -> Answer:
        file = bailian.knowledge.files.get(request.path_params["file_id"])
        if file is None or request.query_params.get("Signature") != _signature(file):
            return Answer(bailian.core, "", 403, media_type="application/xml")
        text = file.content.decode("utf-8", errors="ignore")
        return Answer(bailian.core, json.dumps([piece.content for piece in pieces_of(text, Chunking())]))

    return handle


def _file(call: KeyCall) -> File:
    file = call.bailian.knowledge.file(call.path("file_id"), call.workspace)
    if file.category_id != call.path("category"):
        raise invalid(f"file not exist, file_id: {file.file_id}")
    return file


def _signature(file: File) -> str:
    return hashlib.sha256(file.file_id.encode()).hexdigest()[:16]
