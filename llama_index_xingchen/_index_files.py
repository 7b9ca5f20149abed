"""LlamaIndex's documents, and files, as what is uploaded."""

import base64
import hashlib
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.schema import BaseNode, ImageNode, MediaResource, MetadataMode, Node, TransformComponent

from xingchen_core import ConfigurationError
from xingchen_core.bailian.knowledge_building import LONGEST_NAME, NewFile


def files_of(nodes: Sequence[BaseNode], *, parser: str, tags: Sequence[str] = ()) -> list[NewFile]:
    """Return nodes as files, one for each document; texts of one document are joined by blank lines.

    Raises:
        ConfigurationError: There are none, or one has nothing that can be uploaded, or more than one file holds.
    """
    if not nodes:
        raise ConfigurationError("There are no documents to insert.")
    parts: dict[str, list[BaseNode]] = {}
    for node in nodes:
        parts.setdefault(node.ref_doc_id or node.node_id, []).append(node)
    return [
        NewFile(
            id=ref,
            name=_checked(name),
            content=content,
            tags=tuple(tags),
            original_url=some[0].metadata.get("document_url"),
            parser=parser,
        )
        for ref, some in parts.items()
        for name, content in [_file(ref, some)]
    ]


def _file(ref: str, nodes: Sequence[BaseNode]) -> tuple[str, bytes | Path]:
    raw = [resource for node in nodes for resource in _resources(node)]
    texts = [node for node in nodes if node.get_content(MetadataMode.NONE).strip()]
    if raw and (texts or len(raw) > 1):
        raise ConfigurationError(
            f"The document {ref!r} has more than one file holds: make documents of its text and of each of its files."
        )
    if raw:
        return _raw_file(ref, nodes[0].metadata, raw[0])
    if len(texts) < len(nodes):
        raise ConfigurationError(f"The document {ref!r} has no text, and no file in one of its resources.")
    text = "\n\n".join(node.get_content(MetadataMode.EMBED) for node in nodes)
    return name_of(ref, nodes[0].metadata), text.encode()


def _resources(node: BaseNode) -> Iterator[MediaResource]:
    """Yield what is not text in a node. An `ImageNode` is no `Node`, and keeps its picture elsewhere."""
    found: Sequence[MediaResource | None] = ()
    if isinstance(node, Node):
        found = (node.text_resource, node.image_resource, node.audio_resource, node.video_resource)
    elif isinstance(node, ImageNode):
        path = Path(node.image_path) if node.image_path else None
        data = node.image.encode() if node.image else None
        url: Any = node.image_url
        found = (MediaResource(data=data, path=path, url=url, mimetype=node.image_mimetype),)
    yield from (each for each in found if each is not None and (each.data or each.path or each.url))


def _raw_file(ref: str, metadata: Mapping[str, Any], resource: MediaResource) -> tuple[str, bytes | Path]:
    if not resource.data and not resource.path:
        raise ConfigurationError(f"The document {ref!r} is a link: load it first, the service reads files only.")
    name = _plain(str(metadata.get("file_name") or (resource.path.name if resource.path else ref)))
    if not Path(name).suffix:
        name += mimetypes.guess_extension(resource.mimetype or "") or ""
    if not Path(name).suffix:
        raise ConfigurationError(f"The file {name!r} has no extension, which says how it is read: set file_name.")
    if resource.data:
        return name, base64.b64decode(resource.data)
    assert resource.path is not None
    return name, resource.path


def name_of(ref_doc_id: str, metadata: Mapping[str, Any]) -> str:
    """Return the name of a text's file. What is uploaded is text, whatever the document was read from."""
    name = _plain(str(metadata.get("file_name") or ref_doc_id))
    return name if name.endswith((".txt", ".md")) else f"{name}.txt"


def _plain(name: str) -> str:
    return re.sub(r"[/\\\x00-\x1f]", "_", name)


def _checked(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"The file name {name[:20]!r}... is longer than {LONGEST_NAME} characters: set file_name in the metadata, "
            "or rename the file."
        )
    return name


def files_at(paths: Sequence[str | Path], *, parser: str, tags: Sequence[str]) -> tuple[list[NewFile], dict[str, str]]:
    """Return files, known by their names, and {name: digest}. Reads them: a step of work.

    Raises:
        ConfigurationError: There are none, two have one name, or one has no extension.
        OSError: One cannot be read.
    """
    if not paths:
        raise ConfigurationError("There are no files to insert.")
    if isinstance(paths, (str, Path)):
        raise ConfigurationError("Several files are expected: pass [path], or of a folder sorted(path.iterdir()).")
    files: dict[str, NewFile] = {}
    digests: dict[str, str] = {}
    for path in map(Path, paths):
        if path.name in files:
            raise ConfigurationError(f"Two files are called {path.name!r}, by which they would be known: rename one.")
        if not path.suffix:
            raise ConfigurationError(f"The file {path.name!r} has no extension, which says how it is read.")
        with path.open("rb") as content:
            digests[path.name] = hashlib.file_digest(content, "sha256").hexdigest()
        files[path.name] = NewFile(
            id=path.name, name=_checked(path.name), content=path, tags=tuple(tags), parser=parser
        )
    return list(files.values()), digests


class AsItIs(TransformComponent):
    """In place of LlamaIndex's splitter: documents go whole, and the service cuts them."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return nodes
