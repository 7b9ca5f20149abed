"""The data centre with an API key (`/api/v1/connector/dash/...`), and the object storage that takes uploads."""

import mimetypes
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.requests import Request

from xingchen_core.emulator._wire import Answer
from xingchen_core.emulator.bailian_call import SERVICE
from xingchen_core.emulator.bailian_files_store import PARSERS, Category, File, Lease, check_tags, md5_of, read_md5
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall, broken

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian
    from xingchen_core.emulator.bailian_knowledge import Knowledge

STORAGE = "/emulated-object-storage/"


def page(
    found: list[Any], fields: Fields, size_name: str, token_name: str, usual: int = 20
) -> tuple[list[Any], int, str]:
    """One page, its size, and the token of the next one, empty if there is none. The token is a number in disguise."""
    size = fields.integer(size_name, usual, 1, 200)
    token = fields.text(token_name, "")
    if token and not token.removeprefix("next-").isdigit():
        raise invalid(f"{token_name} is not valid")
    start = int(token.removeprefix("next-")) if token else 0
    end = start + size
    return found[start:end], size, f"next-{end}" if end < len(found) else ""


def category_facts(category: Category) -> dict[str, Any]:
    """What both APIs show of a category, in camel case."""
    return {
        "categoryId": category.category_id,
        "categoryName": category.name,
        "categoryType": category.kind,
        "parentCategoryId": category.parent,
        "isDefault": category.default,
    }


def list_categories(call: KeyCall) -> dict[str, Any]:
    """`listCategory`. `maxResult` has no s here; with one it is not heard."""
    mine = [each for each in call.bailian.knowledge.categories.values() if each.workspace == call.workspace]
    shown, size, token = page(mine, call.body, "maxResult", "nextToken")
    return {
        "categoryList": [category_facts(each) for each in shown],
        "maxResult": size,
        "nextToken": token,
        "hasNext": bool(token),
        "totalCount": len(mine),
    }


def make_category(knowledge: "Knowledge", workspace: str, name: str, parent: str, kind: str) -> Category:
    """A new folder."""
    category_id = f"cate_{knowledge.bailian.new_id('category')}_10000001"
    category = knowledge.categories[category_id] = Category(category_id, name, workspace, parent, kind)
    return category


def add_category(call: KeyCall) -> dict[str, Any]:
    """`addCategory`."""
    kind = call.body.text("categoryType")
    name, parent = call.body.text("categoryName", most=20), call.body.text("parentCategoryId", "")
    made = make_category(call.bailian.knowledge, call.workspace, name, parent, kind)
    return {"categoryId": made.category_id, "categoryName": made.name}


def make_lease(knowledge: "Knowledge", workspace: str, category_id: str, name: str, size: str, md5: str) -> Lease:
    """Leave for an upload."""
    category = knowledge.categories.get(category_id)
    if category is None or category.workspace != workspace:
        raise invalid(f"category not exist: {category_id}")
    if not size.isdigit() or not 1 <= int(size) <= 100 * 1024 * 1024:
        raise invalid("the size must be 1 byte to 100 MB", "DataCenter.FileTooLarge")
    if not 4 <= len(name) <= 128:
        raise invalid("fileName must have 4 to 128 characters")
    lease_id = knowledge.bailian.new_id("lease")
    content_type = knowledge.lease_content_type
    if content_type is None:
        content_type = mimetypes.guess_type(name)[0] or ""
    headers = {"X-bailian-extra": f"extra-{lease_id[:8]}", "Content-Type": content_type}
    expires, signature = knowledge.now + knowledge.lease_seconds, knowledge.bailian.new_id("upload")
    lease = Lease(lease_id, workspace, category_id, name, int(size), read_md5(md5), headers, signature, expires)
    knowledge.leases[lease_id] = lease
    return lease


def upload_url(request: Request, lease: Lease) -> str:
    """Where to put the bytes."""
    return f"{request.base_url}{STORAGE[1:]}{lease.lease_id}?Expires={int(lease.expires)}&Signature={lease.signature}"


def apply_lease(call: KeyCall) -> dict[str, Any]:
    """`applyFileUploadLease`. The size is text."""
    body = call.body
    lease = make_lease(
        call.bailian.knowledge,
        call.workspace,
        body.text("category"),
        body.text("fileName"),
        body.text("sizeBytes"),
        body.text("contentMd5"),
    )
    param = {"url": upload_url(call.request, lease), "method": "PUT", "headers": lease.headers}
    return {"leaseId": lease.lease_id, "type": "OSS.PreSignedUrl", "param": param}


def storage(bailian: "Bailian") -> Callable[[Request], Awaitable[Answer]]:
    """The object storage: it knows nothing but the signed URL, and the headers its signature covers."""

    async def handle(request: Request) -> Answer:
        fault = bailian.core.script.take_for_path(SERVICE, request.url.path)
        if fault and fault.kind in ("drop", "html"):
            return broken(bailian, fault)
        if fault and fault.kind in ("status", "error_event"):
            return _xml(bailian, fault.status or 500, str(fault.code or "InternalError"), fault.message or "")
        lease = bailian.knowledge.leases.get(request.path_params["lease_id"])
        query = {name: values[0] for name, values in parse_qs(request.url.query).items()}
        if lease is None or query != {"Expires": f"{int(lease.expires)}", "Signature": lease.signature}:
            return _xml(bailian, 403, "SignatureDoesNotMatch", "The request signature does not match.")
        if bailian.clock() >= lease.expires:
            return _xml(bailian, 403, "AccessDenied", "Request has expired.")
        if (wrong := _wrong_header(request, lease)) or request.method != "PUT":
            detail = f"{request.method}, header {wrong}"
            return _xml(bailian, 403, "SignatureDoesNotMatch", f"The signature does not cover: {detail}.")
        lease.content = await request.body()
        return Answer(bailian.core, "", headers={"etag": f'"{md5_of(lease.content).upper()}"'}, fault=fault)

    return handle


def _wrong_header(request: Request, lease: Lease) -> str:
    """A header that is missing, not as demanded, or too much. An empty Content-Type is as good as none."""
    demanded = {name.lower(): value for name, value in lease.headers.items()}
    for name, value in demanded.items():
        if request.headers.get(name, "") != value:
            return name
    signed = ("authorization", "content-md5")
    sent = (name for name in request.headers if name.startswith(("x-oss-", "x-bailian-")) or name in signed)
    return next((name for name in sent if name not in demanded), "")


def _xml(bailian: "Bailian", status: int, code: str, message: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n'
    return Answer(bailian.core, body, status, media_type="application/xml")


def register(
    knowledge: "Knowledge", workspace: str, lease_id: str, category_id: str, parser: str, tags: list[str], url: str
) -> File:
    """Makes a file of what was uploaded; a lease is good for one."""
    lease = knowledge.leases.get(lease_id)
    if lease is None or lease.workspace != workspace or lease.used:
        raise invalid(f"lease not exist: {lease_id}")
    if lease.content is None:
        raise invalid(f"nothing has been uploaded for this lease: {lease_id}")
    if category_id != lease.category_id:
        raise invalid(f"the lease is for category {lease.category_id}")
    if parser not in PARSERS:
        raise invalid(f"parser {parser} is not supported")
    if knowledge.checks_md5 and md5_of(lease.content) != lease.md5:
        raise invalid("the file's MD5 is not the one announced")
    lease.used = True
    status = "INIT" if knowledge.polls_until_done else "PARSE_SUCCESS"
    if not knowledge.polls_until_done and lease.file_name in knowledge.failing_files:
        status = knowledge.parse_failure
    return knowledge.add_file(
        lease.file_name,
        lease.content,
        check_tags(tags),
        workspace=workspace,
        category_id=category_id,
        parser=parser,
        url=url,
        status=status,
    )


def add_file(call: KeyCall) -> dict[str, Any]:
    """`addFile`."""
    body = call.body
    body.text("categoryType")
    file = register(
        call.bailian.knowledge,
        call.workspace,
        body.text("leaseId"),
        body.text("category"),
        body.text("parser"),
        body.texts("tags"),
        body.text("originalFileUrl", ""),
    )
    return {"fileId": file.file_id, "parser": file.parser}


def describe_file(call: KeyCall) -> dict[str, Any]:
    """`describeFile`."""
    file = call.bailian.knowledge.file(call.body.text("fileId"), call.workspace)
    call.bailian.knowledge.look(file)
    return {**file.facts(), "createTime": str(int(file.created * 1000))}


def delete_file(call: KeyCall) -> dict[str, Any]:
    """`deleteFile`: breaks the knowledge bases that use it."""
    file_id = call.body.text("fileId")
    call.bailian.knowledge.delete_file(file_id, call.workspace)
    return {"fileId": file_id}


def update_tags(call: KeyCall) -> bool:
    """`batchUpdateFileTag`."""
    infos, mode = call.body.objects("fileInfos"), call.body.text("updateMode", "OVERWRITE")
    if not 1 <= len(infos) <= 20 or mode not in ("OVERWRITE", "APPEND"):
        raise invalid("1 to 20 fileInfos, and updateMode OVERWRITE or APPEND")
    for given in map(Fields, infos):
        file, tags = call.bailian.knowledge.file(given.text("fileId"), call.workspace), given.texts("tags")
        file.tags = check_tags(list(dict.fromkeys([*file.tags, *tags])) if mode == "APPEND" else tags)
    return True
