"""Knowledge bases with their files, and document conversion: work that goes on after the call."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.xingchen_errors import invalid, not_found
from xingchen_core.emulator.xingchen_fields import member, objects, page, required_text, text

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call, Xingchen


@dataclass
class _File:
    number: int
    name: str
    kind: str
    url: str
    created: int
    modified: int
    reads: int = 0


@dataclass
class _Base:
    number: int
    knowledge_base_id: str
    account: str
    user_id: str
    name: str
    description: str
    created: int
    modified: int
    files: list[_File] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "knowledgeBaseId": self.knowledge_base_id,
            "name": self.name,
            "description": self.description,
            "userId": "self",
            "bizUserId": self.user_id,
            "count": len(self.files),
            "gmtCreate": self.created,
            "gmtModified": self.modified,
        }


@dataclass
class Conversion:
    """A document being converted."""

    account: str
    url: str
    reads: int = 0


class KnowledgeBases:
    """The knowledge bases of all accounts."""

    def __init__(self, xingchen: "Xingchen") -> None:
        self._xingchen = xingchen
        self._bases: dict[str, _Base] = {}

    def add(
        self,
        account: str,
        name: str,
        *,
        description: str = "",
        user_id: str = "",
        knowledge_base_id: str | None = None,
    ) -> _Base:
        """Stores an empty knowledge base."""
        now = self._xingchen.now()
        identifier = knowledge_base_id or self._xingchen.new_id("knowledge base")
        number = self._xingchen.count("knowledge base number")
        base = _Base(number, identifier, account, user_id, name, description, now, now)
        self._bases[identifier] = base
        return base

    def find(self, call: "Call") -> _Base:
        """The base a request names; a stranger's is as good as none."""
        identifier = required_text(call.body, "knowledgeBaseId")
        base = self._bases.get(identifier)
        if base is None or base.account != call.account:
            raise not_found(f"knowledge base {identifier}")
        return base

    def of(self, account: str, user_id: str | None) -> list[_Base]:
        """All of an account; only one user's, when the request has a userProfile."""
        return [base for base in self._bases.values() if base.account == account and user_id in (None, base.user_id)]

    def remove(self, base: _Base) -> None:
        """Forgets a knowledge base and its files."""
        del self._bases[base.knowledge_base_id]


def create(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/knowledge_base/create`"""
    name = required_text(call.body, "name", longest=20)
    description = text(call.body, "description", longest=200) or ""
    user_id = _user_id(call.body) or ""
    return call.xingchen.knowledge.add(call.account, name, description=description, user_id=user_id).row()


def update(call: "Call") -> bool:
    """`POST /v2/api/knowledge_base/update`: members not sent stay as they are."""
    base = call.xingchen.knowledge.find(call)
    if "name" in call.body:
        base.name = required_text(call.body, "name", longest=20)
    if "description" in call.body:
        base.description = text(call.body, "description", longest=200) or ""
    base.modified = call.xingchen.now()
    return True


def search(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/knowledge_base/search`"""
    return page([base.row() for base in call.xingchen.knowledge.of(call.account, _user_id(call.body))], call.body)


def delete(call: "Call") -> bool:
    """`POST /v2/api/knowledge_base/delete`"""
    call.xingchen.knowledge.remove(call.xingchen.knowledge.find(call))
    return True


def add_files(call: "Call") -> bool:
    """`POST /v2/api/knowledge_base/detail/upload`: by URL; the files are read in later."""
    base = call.xingchen.knowledge.find(call)
    kind = required_text(call.body, "type")
    infos = [
        (required_text(info, "filename", where="fileInfos[]."), required_text(info, "fileUrl", where="fileInfos[]."))
        for info in objects(call.body, "fileInfos", required=True)
    ]
    for name, url in infos:
        now = call.xingchen.now()
        base.files.append(_File(call.xingchen.count("file"), name, kind, url, now, now))
    return True


def rename_file(call: "Call") -> bool:
    """`POST /v2/api/knowledge_base/detail/update`"""
    new_name = required_text(call.body, "newName")
    for found in _named(call):
        found.name, found.modified = new_name, call.xingchen.now()
    return True


def list_files(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/knowledge_base/detail/search`: each look brings a file nearer to its end."""
    base = call.xingchen.knowledge.find(call)
    rows = []
    for found in base.files:
        found.reads += 1
        status = _progress(call, found.reads, found.name, found.url, ("PROCESSING", "SUCCESS", "FAILED"))
        rows.append(
            {
                "id": found.number,
                "knowledgeBaseId": base.knowledge_base_id,
                "name": found.name,
                "type": found.kind,
                "status": status,
                "gmtCreate": found.created,
                "gmtModified": found.modified,
            }
        )
    return page(rows, call.body)


def delete_files(call: "Call") -> bool:
    """`POST /v2/api/knowledge_base/detail/delete`: every file of that name, since nothing tells them apart."""
    base = call.xingchen.knowledge.find(call)
    for found in _named(call):
        base.files.remove(found)
    return True


def convert(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/common/file/asyn/upload`"""
    kind = required_text(call.body, "type")
    url = required_text(call.body, "sourceUrl")
    if kind != "excelToDocx":
        raise invalid(f"type must be excelToDocx, not {kind!r}")
    number = call.xingchen.count("conversion")
    call.xingchen.conversions[number] = Conversion(call.account, url)
    return {"id": number, "status": "running"}


def converted(call: "Call") -> dict[str, Any]:
    """`GET /v2/api/common/file/asyn/download`"""
    given = required_text(call.query, "taskId")
    if not given.isdigit():
        raise invalid(f"taskId must be an integer, not {given!r}")
    task = call.xingchen.conversions.get(int(given))
    if task is None or task.account != call.account:
        raise not_found(f"task {given}")
    task.reads += 1
    status = _progress(call, task.reads, task.url, task.url, ("running", "success", "failed"))
    result = {"id": int(given), "status": status}
    return {**result, "url": task.url.rpartition(".")[0] + ".docx"} if status == "success" else result


def _progress(call: "Call", reads: int, name: str, url: str, words: tuple[str, str, str]) -> str:
    busy, good, bad = words
    if reads <= call.xingchen.polls_until_done:
        return busy
    return bad if {name, url} & call.xingchen.failing_files else good


def _named(call: "Call") -> list[_File]:
    base = call.xingchen.knowledge.find(call)
    name = required_text(call.body, "name")
    found = [file for file in base.files if file.name == name]
    if not found:
        raise not_found(f"file {name}")
    return found


def _user_id(body: dict[str, Any]) -> str | None:
    profile = member(body, "userProfile", dict)
    return required_text(body, "userProfile.userId") if profile is not None else None
