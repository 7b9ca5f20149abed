"""What `BailianIndex` uploads: LangChain's documents as text files, and files as they are."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.documents.base import Blob

from xingchen_core import ConfigurationError
from xingchen_core.bailian.knowledge_building import LONGEST_NAME, NewFile

AnyFile = str | os.PathLike[str] | Blob
"""A path, or a `Blob`; one of bytes needs a name: `Blob.from_data(data, path="手册.pdf")`."""

T = TypeVar("T")

SLASHES = str.maketrans("/\\", "／＼")
"""A name cannot hold the ones on the left. In an id both are the same."""


def files_of_documents(
    documents: Iterable[Document], ids: Sequence[str | None] | None, text_format: str, header_keys: Sequence[str]
) -> tuple[list[NewFile], list[str | None]]:
    """Return documents as text files, and the id of each, `None` where it has none.

    Raises:
        ConfigurationError: There are none, one has no text, an id is there twice or cannot be the name of a file.
    """
    documents = _several(documents, Document)
    known = _ids(ids, [document.id for document in documents])
    return [
        NewFile(
            id=id_ or _name(document),
            name=file_name(id_ or _name(document), text_format),
            content=_text(document, id_, header_keys),
            tags=_tags(document.metadata),
            original_url=_url(document.metadata),
        )
        for document, id_ in zip(documents, known, strict=True)
    ], known


def files_as_they_are(
    files: Iterable[AnyFile], ids: Sequence[str | None] | None, tags: Sequence[str], parser: str
) -> tuple[list[NewFile], list[str | None]]:
    """Return files to be uploaded under their names, or under the ids given, and the id of each.

    Raises:
        ConfigurationError: There are none, one is not there or has no name, an id is there twice or has no extension.
    """
    found = _several(files, Blob, os.PathLike)
    known = _ids(ids, [None] * len(found))
    return [_file(file, id_, tuple(tags), parser) for file, id_ in zip(found, known, strict=True)], known


def file_name(id_: str, text_format: str | None = None) -> str:
    """Return the name of the file of a document with this id: the id, and its extension if it has to have one."""
    name = id_.translate(SLASHES)
    if text_format is not None and not _is_text(id_):
        name = f"{name}.{text_format}"
    if not Path(name).suffix:
        raise ConfigurationError(f"The name of a file needs an extension, which says how it is read: {id_!r}.")
    if not 4 <= len(name) <= LONGEST_NAME:
        raise ConfigurationError(
            f"An id is the name of a file, which has 4 to {LONGEST_NAME} characters with its extension: {name!r} has "
            f"{len(name)}. For LangChain's index() choose key_encoder='sha256'."
        )
    return name


def names_of(id_: str) -> tuple[str, ...]:
    """Return what the file of a document with this id may be called."""
    name = id_.translate(SLASHES)
    texts = () if _is_text(id_) else (f"{name}.txt", f"{name}.md")
    return (name, *texts) if Path(name).suffix else texts


def _is_text(id_: str) -> bool:
    return id_.endswith((".txt", ".md"))


def _several(items: Iterable[T], *kinds: type) -> list[T]:
    """Return a list; one thing in place of several would be taken to pieces."""
    if isinstance(items, (str, bytes, *kinds)):
        raise ConfigurationError(f"Several are expected, in a list, and not one {type(items).__name__}.")
    return list(items)


def checked_ids(ids: Iterable[str | None]) -> list[str | None]:
    """Return ids as a list.

    Raises:
        ConfigurationError: It is one text in place of several, or something else is among them.
    """
    listed = _several(ids)
    for id_ in listed:
        if id_ is not None and not isinstance(id_, str):
            raise ConfigurationError(f"An id is a text, not {id_!r}.")
    return listed


def _ids(given: Iterable[str | None] | None, own: list[str | None]) -> list[str | None]:
    given = None if given is None else checked_ids(given)
    if not own:
        raise ConfigurationError("There is nothing to add.")
    if given is not None and len(given) != len(own):
        raise ConfigurationError(f"{len(own)} documents, and {len(given)} ids for them.")
    known = [mine or theirs or None for mine, theirs in zip(given or [None] * len(own), own, strict=True)]
    named = [id_.translate(SLASHES) for id_ in known if id_ is not None]
    if twice := sorted({id_ for id_ in named if named.count(id_) > 1}) if len(set(named)) < len(named) else []:
        raise ConfigurationError(f"Several documents have one id: {', '.join(twice)}.")
    return known


def _text(document: Document, id_: str | None, header_keys: Sequence[str]) -> bytes:
    if not document.page_content.strip():
        raise ConfigurationError(f"The document {id_ or _name(document)!r} has no text.")
    header = [f"{key}: {document.metadata[key]}" for key in header_keys if document.metadata.get(key) is not None]
    try:
        return "\n\n".join(filter(None, ("\n".join(header), document.page_content))).encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"The text of the document {id_ or _name(document)!r} has a lone surrogate, which UTF-8 cannot hold."
        ) from error


def _name(document: Document) -> str:
    """Return what a document without an id is called: by its source, or by its text."""
    metadata = document.metadata
    told = metadata.get("file_name") or metadata.get("title") or Path(str(metadata.get("source") or "")).stem
    name = str(told)[:80].strip() or hashlib.sha256(document.page_content.encode(errors="replace")).hexdigest()[:16]
    return f"{name}-{metadata['page']}" if "page" in metadata else name


def _file(file: AnyFile, id_: str | None, tags: tuple[str, ...], parser: str) -> NewFile:
    blob = file if isinstance(file, Blob) else Blob(path=str(os.fspath(file)))
    name = Path(str(blob.source or "")).name
    if not (id_ or name):
        raise ConfigurationError("Bytes need a name: Blob.from_data(data, path='手册.pdf').")
    if blob.data is None and not Path(str(blob.path)).is_file():
        raise ConfigurationError(f"There is no file {str(blob.path)!r}.")
    return NewFile(
        id=id_ or name,
        name=file_name(id_ or name),
        content=Path(str(blob.path)) if blob.data is None else blob.as_bytes(),
        tags=tags or _tags(blob.metadata),
        original_url=_url(blob.metadata),
        parser=parser,
    )


def _tags(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    tags = metadata.get("tags")
    return tuple(map(str, tags)) if isinstance(tags, (list, tuple)) else ()


def _url(metadata: Mapping[str, Any]) -> str | None:
    source = str(metadata.get("source") or "")
    return source if source.startswith(("https://", "http://")) else None
