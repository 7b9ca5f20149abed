"""The data centre: categories, leases for uploads, files and their parsing."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from xingchen_core.emulator.bailian_knowledge_fields import invalid

PARSERS = (
    "AUTO_SELECT",
    "DOCMIND",
    "DOCMIND_DIGITAL",
    "DOCMIND_LLM_VERSION",
    "DOCMIND_LLM_VERSION_MEDIA",
    "DASH_QWEN_VL_PARSER",
    "DASHSCOPE_DOCMIND",
)


@dataclass
class Category:
    """A folder of files."""

    category_id: str
    name: str
    workspace: str
    parent: str = ""
    kind: str = "UNSTRUCTURED"
    default: bool = False


@dataclass
class Lease:
    """Leave to upload one file. `headers` must come with the upload as they are; `expires` is in Unix seconds."""

    lease_id: str
    workspace: str
    category_id: str
    file_name: str
    size: int
    md5: str
    headers: dict[str, str]
    signature: str
    expires: float
    content: bytes | None = None
    used: bool = False


@dataclass
class File:
    """A file of the data centre. `looks` counts how often its status was asked for."""

    file_id: str
    name: str
    workspace: str
    content: bytes
    category_id: str
    parser: str = "AUTO_SELECT"
    tags: list[str] = field(default_factory=list)
    url: str = ""
    created: float = 0.0
    status: str = "INIT"
    error: str = ""
    looks: int = 0

    @property
    def stem(self) -> str:
        """The name without its extension, as documents show it."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def extension(self) -> str:
        """`pdf`, without the dot; empty if there is none."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    @property
    def parsed(self) -> bool:
        """Whether it can be imported."""
        return self.status == "PARSE_SUCCESS"

    @property
    def failed(self) -> bool:
        """Whether it never will be."""
        return self.status in ("FAIL", "PARSE_FAILED")

    def look(self, polls_until_done: int, failure: str | None) -> None:
        """Somebody asks for the status: parsing goes on. `failure`: how it ends, if not well."""
        if self.parsed or self.failed:
            return
        self.looks += 1
        if polls_until_done and self.looks <= polls_until_done:
            steps = ["INIT", "IN_PARSE_QUEUE", "PARSING"] if polls_until_done > 2 else ["INIT", "PARSING"]
            self.status = steps[min(self.looks, len(steps)) - 1]
        elif failure:
            self.status, self.error = failure, "The file cannot be parsed."
        else:
            self.status = "PARSE_SUCCESS"

    def facts(self) -> dict[str, Any]:
        """What both APIs show, in camel case."""
        return {
            "fileId": self.file_id,
            "fileName": self.name,
            "fileType": self.extension,
            "categoryId": self.category_id,
            "parser": self.parser,
            "sizeInBytes": len(self.content),
            "status": self.status,
            "parseErrorMessage": self.error,
            "tags": list(self.tags),
        }


def check_tags(tags: list[str]) -> list[str]:
    """At most 100 tags, each of at most 32 characters, 700 in all."""
    if len(tags) > 100 or any(len(tag) > 32 for tag in tags) or sum(map(len, tags)) > 700:
        raise invalid("tags: at most 100 of at most 32 characters each, 700 in all.")
    return tags


def read_md5(text: str) -> str:
    """The hash as hex. The text of the documents wants base64, their example is hex: both are taken. UNVERIFIED."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise invalid("contentMd5 must be the MD5 of the file.")
    return raw.hex()


def md5_of(content: bytes) -> str:
    """The hash as hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
