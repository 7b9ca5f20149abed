"""Signed calls to knowledge bases: retrieval, management, documents, chunks. Names are in three kinds of case."""

import json
from collections.abc import Mapping
from typing import Any

from xingchen_core.emulator import bailian_index_making as making
from xingchen_core.emulator.bailian_files_parsing import Chunking
from xingchen_core.emulator.bailian_index_routes import job_rows
from xingchen_core.emulator.bailian_index_store import FINAL, Document, Index
from xingchen_core.emulator.bailian_knowledge_fields import Fields
from xingchen_core.emulator.bailian_knowledge_nodes import listed_chunks, node
from xingchen_core.emulator.bailian_knowledge_routes import read_query
from xingchen_core.emulator.bailian_openapi import Action, SignedCall

QUERY = {
    "query": "Query",
    "images": "Images",
    "dense": "DenseSimilarityTopK",
    "sparse": "SparseSimilarityTopK",
    "reranking": "EnableReranking",
    "rerank": "Rerank",
    "top_n": "RerankTopN",
    "min_score": "RerankMinScore",
    "rewrite": "EnableRewrite",
    "history": "QueryHistory",
    "filters": "SearchFilters",
    "model": "ModelName",
    "mode": "RerankMode",
    "instruct": "RerankInstruct",
}
INDEX = {
    "name": "Name",
    "description": "Description",
    "structure": "StructureType",
    "sink": "SinkType",
    "source": "SourceType",
    "embedding": "EmbeddingModelName",
    "reranker": "RerankModelName",
    "rewrite": "EnableRewrite",
    "min_score": "RerankMinScore",
    "columns": "metaExtractColumns",
    "mode": "chunkMode",
    "size": "ChunkSize",
    "overlap": "OverlapSize",
    "separator": "Separator",
}
APPEND = {"mode": "ChunkMode", "size": "ChunkSize", "overlap": "OverlapSize", "separator": "Separator"}


def _index(call: SignedCall, name: str = "IndexId") -> Index:
    return call.bailian.knowledge.index(call.fields.text(name), call.workspace)


def _page(fields: Fields, number: str = "PageNumber", size: str = "PageSize") -> tuple[int, int]:
    return fields.integer(number, 1, 1), fields.integer(size, 10, 1, 100)


def _retrieve(call: SignedCall) -> dict[str, Any]:
    knowledge = call.bailian.knowledge
    hits = knowledge.retrieve(_index(call), read_query(call.fields, QUERY, lowest_score=0.01))
    return {"Nodes": [_node(node(knowledge, hit, "signed"), as_text=knowledge.metadata_as_text) for hit in hits]}


def _node(found: Mapping[str, Any], *, as_text: bool = False) -> dict[str, Any]:
    metadata: Any = found["metadata"]
    if as_text:
        metadata = json.dumps(metadata, ensure_ascii=False)
    return {"Score": found["score"], "Text": found["text"], "Metadata": metadata}


def _list_indices(call: SignedCall) -> dict[str, Any]:
    part = call.fields.text("IndexName", "")
    found = [
        index
        for index in reversed(call.bailian.knowledge.indexes.values())
        if index.workspace == call.workspace and part in index.name
    ]
    page, size = _page(call.fields)
    shown = [_row(index) for index in found[(page - 1) * size : page * size]]
    return {"Indices": shown, "PageNumber": page, "PageSize": size, "TotalCount": len(found)}


def _row(index: Index) -> dict[str, Any]:
    settings = {name[0].upper() + name[1:]: value for name, value in index.settings.items()}
    return {
        **settings,
        "Id": index.index_id,
        "Name": index.name,
        "Description": index.description,
        "RerankMinScore": str(index.rerank_min_score),  # a text here, a number elsewhere
        "ChunkSize": index.chunking.size,
        "OverlapSize": index.chunking.overlap,
        "Separator": index.chunking.separator or "",
        "DocumentIds": list(index.documents),
    }


def _create_index(call: SignedCall) -> dict[str, Any]:
    """Makes the knowledge base only; nothing is imported before SubmitIndexJob."""
    knowledge, fields = call.bailian.knowledge, call.fields
    source = fields.text("SourceType", "")
    named, categories = fields.texts("DocumentIds"), fields.texts("CategoryIds")
    files = knowledge.files_of(source, named, categories, call.workspace) if source else []
    index = making.make_index(knowledge, fields, INDEX, call.workspace, unique=False)
    index.waiting = files
    return {"Id": index.index_id}


def _submit_job(call: SignedCall) -> dict[str, Any]:
    index = _index(call)
    job = call.bailian.knowledge.import_files(index, index.waiting or [])
    return {"Id": job.job_id, "IndexId": index.index_id}


def _add_documents(call: SignedCall) -> dict[str, Any]:
    knowledge, fields = call.bailian.knowledge, call.fields
    index = _index(call)
    named, categories = fields.texts("DocumentIds"), fields.texts("CategoryIds")
    files = knowledge.files_of(fields.text("SourceType"), named, categories, call.workspace)
    chunking: Chunking = making.chunking_of(fields, APPEND, index.chunking)
    return {"Id": knowledge.import_files(index, files, chunking).job_id}


def _job_status(call: SignedCall) -> dict[str, Any]:
    index = _index(call)
    job = call.bailian.knowledge.poll(index, call.fields.text("JobId"))
    documents = [_document_row(each, "DocId", "DocName") for each in job_rows(index, job)]
    page, size = _page(call.fields, size="pageSize")
    ends = [index.documents[each].status for each in job.file_ids if each in index.documents]
    failed = job.status == "COMPLETED" and bool(ends) and all(end in FINAL and end != "FINISH" for end in ends)
    status = "FAILED" if failed else job.status
    return {"JobId": job.job_id, "Status": status, "Documents": documents[(page - 1) * size : page * size]}


def _document_row(document: Document, id_: str, name: str) -> dict[str, Any]:
    return {
        id_: document.file.file_id,
        name: document.file.stem,
        "Status": document.status,
        "Code": document.code,
        "Message": document.message,
        "GmtModified": int(document.modified * 1000),
    }


def _list_documents(call: SignedCall) -> dict[str, Any]:
    fields, index = call.fields, _index(call)
    name, status = fields.text("DocumentName", ""), fields.text("DocumentStatus", "")
    like = fields.text("EnableNameLike", "").lower() == "true"
    found = [
        document
        for document in index.listed(call.bailian.knowledge.now)
        if (name in document.file.stem if like else name in ("", document.file.stem))
        and status in ("", document.status)
    ]
    page, size = _page(fields)
    rows = [
        {
            **_document_row(document, "Id", "Name"),
            "DocumentType": document.file.extension,
            "Size": len(document.file.content),
            "SourceId": document.file.category_id,
        }
        for document in found[(page - 1) * size : page * size]
    ]
    counted = {"PageNumber": page, "PageSize": size, "TotalCount": len(found)}
    return {"IndexId": index.index_id, "Documents": rows, **counted}


def _file_details(call: SignedCall) -> dict[str, Any]:
    listed, documents = _list_documents(call), _index(call).documents
    for row in listed["Documents"]:
        chunking = documents[row["Id"]].chunking
        row.update({"ChunkMode": chunking.mode or "", "ChunkSize": str(chunking.size)})
        row.update({"OverlapSize": str(chunking.overlap), "separator": chunking.separator or ""})
    return listed


def _delete_documents(call: SignedCall) -> dict[str, Any]:
    return {"DeletedDocument": call.bailian.knowledge.delete_documents(_index(call), call.fields.texts("DocumentIds"))}


def _update_index(call: SignedCall) -> dict[str, Any]:
    index = _index(call, "Id")
    making.update_index(index, call.fields, INDEX)
    return {"Id": index.index_id}


def _delete_index(call: SignedCall) -> dict[str, Any]:
    call.bailian.knowledge.delete_index(call.fields.text("IndexId"), call.workspace)
    return {}


def _monitor(call: SignedCall) -> dict[str, Any]:
    _index(call)
    return {}


def _list_chunks(call: SignedCall) -> dict[str, Any]:
    knowledge, index = call.bailian.knowledge, _index(call)
    nodes = listed_chunks(knowledge, index, making.document_of(knowledge, index, call.fields.text("FileId")))
    page, size = _page(call.fields, "PageNum")
    wanted = call.fields.texts("Fields")
    shown = [_node(each) for each in nodes[(page - 1) * size : page * size]]
    if wanted:
        for each in shown:
            each["Metadata"] = {name: value for name, value in each["Metadata"].items() if name in [*wanted, "_id"]}
    return {"Nodes": shown, "Total": len(nodes)}


def _add_chunk(call: SignedCall) -> bool:
    field = call.fields.object("field") or {}
    index = _index(call, "PipelineId")
    making.add_chunk(call.bailian.knowledge, index, call.fields.text("dataId"), field, [])
    return True


def _update_chunk(call: SignedCall) -> bool:
    index, chunk_id = _index(call, "PipelineId"), call.fields.text("ChunkId")
    making.update_chunk(call.bailian.knowledge, index, chunk_id, call.fields, "IsDisplayedChunkContent")
    return True


def _delete_chunks(call: SignedCall) -> bool:
    making.delete_chunks(call.bailian.knowledge, _index(call, "PipelineId"), call.fields.texts("ChunkIds"))
    return True


ACTIONS: Mapping[str, Action] = {
    "Retrieve": Action("POST", "/index/retrieve", _retrieve),
    "ListIndices": Action("GET", "/index/list_indices", _list_indices),
    "CreateIndex": Action("POST", "/index/create", _create_index),
    "SubmitIndexJob": Action("POST", "/index/submit_index_job", _submit_job),
    "SubmitIndexAddDocumentsJob": Action("POST", "/index/add_documents_to_index", _add_documents),
    "GetIndexJobStatus": Action("GET", "/index/job/status", _job_status),
    "GetIndexMonitor": Action("GET", "/rag/index/monitor", _monitor),
    "UpdateIndex": Action("POST", "/index/update", _update_index),
    "DeleteIndex": Action("POST", "/index/delete", _delete_index),
    "ListIndexDocuments": Action("GET", "/index/list_index_documents", _list_documents),
    "ListIndexFileDetails": Action("POST", "/index/list_index_file_detail", _file_details),
    "DeleteIndexDocument": Action("POST", "/index/delete_index_document", _delete_documents),
    "ListChunks": Action("POST", "/index/list_chunks", _list_chunks, "json"),
    "AddChunk": Action("POST", "/chunk/create", _add_chunk),
    "UpdateChunk": Action("POST", "/chunk/update", _update_chunk),
    "DeleteChunk": Action("POST", "/chunk/delete", _delete_chunks),
}
