"""Signed calls to the data centre: categories, leases, files. Most parameters come as a form."""

from collections.abc import Mapping
from typing import Any

from xingchen_core.emulator.bailian_files_routes import category_facts, make_category, make_lease, page, register
from xingchen_core.emulator.bailian_files_routes import upload_url as url_of
from xingchen_core.emulator.bailian_files_store import File, check_tags
from xingchen_core.emulator.bailian_knowledge_fields import invalid
from xingchen_core.emulator.bailian_openapi import Action, SignedCall


def _pascal(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name[0].upper() + name[1:]: value for name, value in facts.items()}


def _add_category(call: SignedCall) -> dict[str, Any]:
    fields = call.fields
    name, parent = fields.text("CategoryName", most=20), fields.text("ParentCategoryId", "")
    made = make_category(call.bailian.knowledge, call.workspace, name, parent, fields.text("CategoryType"))
    return {"CategoryId": made.category_id, "CategoryName": made.name}


def _list_categories(call: SignedCall) -> dict[str, Any]:
    part = call.fields.text("CategoryName", "")
    mine = [
        each
        for each in call.bailian.knowledge.categories.values()
        if each.workspace == call.workspace and part in each.name
    ]
    shown, size, token = page(mine, call.fields, "MaxResults", "NextToken")
    return {"CategoryList": [_pascal(category_facts(each)) for each in shown], **_paging(mine, size, token)}


def _paging(found: list[Any], size: int, token: str) -> dict[str, Any]:
    return {"MaxResults": size, "NextToken": token, "HasNext": bool(token), "TotalCount": len(found)}


def _delete_category(call: SignedCall) -> dict[str, Any]:
    category_id, knowledge = call.path["id"], call.bailian.knowledge
    category = knowledge.categories.get(category_id)
    if category is None or category.workspace != call.workspace or category.default:
        raise invalid(f"category not exist: {category_id}")
    del knowledge.categories[category_id]
    return {"CategoryId": category_id}


def _apply_lease(call: SignedCall) -> dict[str, Any]:
    fields = call.fields
    lease = make_lease(
        call.bailian.knowledge,
        call.workspace,
        call.path["id"],
        fields.text("FileName"),
        fields.text("SizeInBytes"),
        fields.text("Md5"),
    )
    param = {"Url": url_of(call.request, lease), "Method": "PUT", "Headers": lease.headers}
    return {"FileUploadLeaseId": lease.lease_id, "Type": "OSS.PreSignedUrl", "Param": param}


def _add_file(call: SignedCall) -> dict[str, Any]:
    fields = call.fields
    fields.object("ParserConfig")
    file = register(
        call.bailian.knowledge,
        call.workspace,
        fields.text("LeaseId"),
        fields.text("CategoryId"),
        fields.text("Parser"),
        fields.texts("Tags"),
        fields.text("OriginalFileUrl", ""),
    )
    return {"FileId": file.file_id, "Parser": file.parser}


def _shown(call: SignedCall, file: File) -> dict[str, Any]:
    call.bailian.knowledge.look(file)
    return {**_pascal(file.facts()), "CreateTime": str(int(file.created * 1000))}


def _describe_file(call: SignedCall) -> dict[str, Any]:
    return _shown(call, call.bailian.knowledge.file(call.path["id"], call.workspace))


def _list_files(call: SignedCall) -> dict[str, Any]:
    fields = call.fields
    ids, part, category = fields.texts("FileIds", most=20), fields.text("FileName", ""), fields.text("CategoryId", "")
    if not category and not ids:
        raise invalid("Required parameter(CategoryId) missing or invalid.")
    found = [
        file
        for file in call.bailian.knowledge.files.values()
        if file.workspace == call.workspace
        and category in ("", file.category_id)
        and (not ids or file.file_id in ids)
        and part in file.name
    ]
    shown, size, token = page(found, fields, "MaxResults", "NextToken")
    return {"FileList": [_shown(call, file) for file in shown], **_paging(found, size, token)}


def _update_tags(call: SignedCall) -> dict[str, Any]:
    file = call.bailian.knowledge.file(call.path["id"], call.workspace)
    file.tags = check_tags(call.fields.texts("Tags"))
    return {"FileId": file.file_id}


def _delete_file(call: SignedCall) -> dict[str, Any]:
    call.bailian.knowledge.delete_file(call.path["id"], call.workspace)
    return {"FileId": call.path["id"]}


def _delete_files(call: SignedCall) -> dict[str, Any]:
    knowledge, results = call.bailian.knowledge, []
    for file_id in call.fields.texts("FileIds"):
        known = file_id in knowledge.files
        if known:
            knowledge.delete_file(file_id, call.workspace)
        results.append({"FileId": file_id, "Status": "SUCCESS" if known else "FAILED"})
    return {"DeleteFileResultList": results}


ACTIONS: Mapping[str, Action] = {
    "AddCategory": Action("POST", "/datacenter/category/", _add_category, "form"),
    "ListCategory": Action("POST", "/datacenter/categories", _list_categories, "form"),
    "DeleteCategory": Action("DELETE", "/datacenter/category/{id}/", _delete_category),
    "ApplyFileUploadLease": Action("POST", "/datacenter/category/{id}", _apply_lease, "form"),
    "AddFile": Action("PUT", "/datacenter/file", _add_file, "form"),
    "DescribeFile": Action("GET", "/datacenter/file/{id}/", _describe_file),
    "ListFile": Action("GET", "/datacenter/files", _list_files),
    "UpdateFileTag": Action("PUT", "/datacenter/file/{id}", _update_tags, "form"),
    "DeleteFile": Action("DELETE", "/datacenter/file/{id}/", _delete_file),
    "DeleteFiles": Action("POST", "/datacenter/file/delete", _delete_files, "form"),
}
