"""Management of knowledge bases with an API key, `/api/v1/indices/rag/index/...`: each call has its own spellings."""

from typing import Any

from xingchen_core.emulator import bailian_index_making as making
from xingchen_core.emulator.bailian_index_store import Document, Index, Job
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall
from xingchen_core.emulator.bailian_knowledge_nodes import listed_chunks

CAMEL = {
    "name": "name",
    "description": "description",
    "structure": "structureType",
    "sink": "sinkType",
    "source": "sourceType",
    "embedding": "embeddingModelName",
    "reranker": "rerankModelName",
    "rewrite": "enableRewrite",
    "min_score": "rerankMinScore",
    "columns": "metaExtractColumns",
    "mode": "chunkMode",
    "size": "chunkSize",
    "overlap": "overlapSize",
    "separator": "separator",
}


def _index(call: KeyCall, name: str) -> Index:
    return call.bailian.knowledge.index(call.body.text(name), call.workspace)


def list_indexes(call: KeyCall) -> dict[str, Any]:
    """`GET list`, or POST with the same query string: names that *contain* `pipeline_name`."""
    part = call.query.text("pipeline_name", "")
    found = [
        index
        for index in reversed(call.bailian.knowledge.indexes.values())
        if index.workspace == call.workspace and part in index.name
    ]
    page, size = _page(call.query, "page_number")
    return {
        "page_number": page,
        "page_size": size,
        "total_count": len(found),
        "rows": [row(index) for index in found[(page - 1) * size : page * size]],
    }


def row(index: Index) -> dict[str, Any]:
    """A knowledge base in a list."""
    return {
        "id": index.index_id,
        "name": index.name,
        "description": index.description,
        **index.settings,
        "rerankMinScore": index.rerank_min_score,
        "chunkSize": index.chunking.size,
        "overlapSize": index.chunking.overlap,
        "separator": index.chunking.separator or "",
        "docIds": list(index.documents),
    }


def create(call: KeyCall) -> dict[str, Any]:
    """`POST create_v2`: makes a knowledge base and starts its first import."""
    knowledge, body = call.bailian.knowledge, call.body
    if body.text("sinkType") != "BUILT_IN":  # the documents' example says DEFAULT, which the service has refused
        raise invalid("sinkType must be BUILT_IN")
    files = knowledge.files_of(body.text("sourceType"), body.texts("docIds"), body.texts("categoryIds"), call.workspace)
    index = making.make_index(knowledge, body, CAMEL, call.workspace, unique=True)
    job = knowledge.import_files(index, files)
    return {"pipelineId": index.index_id, "ingestionId": job.job_id, "status": "PENDING"}


def create_job(call: KeyCall) -> dict[str, Any]:
    """`POST job/create`: imports more. Without `sourceType`, everything there is."""
    knowledge, body = call.bailian.knowledge, call.body
    index = _index(call, "indexId")
    nested = Fields(body.object("dataSource") or {})  # an older spelling
    files = knowledge.files_of(
        body.text("sourceType", "") or nested.text("sourceType", ""),
        body.texts("docIds") or nested.texts("fileIds"),
        body.texts("categoryIds") or nested.texts("categoryIds"),
        call.workspace,
    )
    chunking = making.chunking_of(body, CAMEL, index.chunking)
    return {"ingestionId": knowledge.import_files(index, files, chunking).job_id, "status": "PENDING"}


def job_status(call: KeyCall) -> dict[str, Any]:
    """`GET index_job/status`: its documents too, once it runs. As a whole it never fails."""
    index = call.bailian.knowledge.index(call.query.text("index_id"), call.workspace)
    job = call.bailian.knowledge.poll(index, call.query.text("job_id", ""))
    rows = job_rows(index, job)
    page, size = _page(call.query, "page_number")
    return {
        "ingestion_status": job.status,
        "total_count": len(rows),
        "rows": [
            {
                "doc_id": document.file.file_id,
                "doc_name": document.file.stem,
                "status": document.status,
                "code": document.code,
                "message": document.message,
            }
            for document in rows[(page - 1) * size : page * size]
        ],
    }


def job_rows(index: Index, job: Job) -> list[Document]:
    """The documents of a job; a pending one does not name them yet."""
    named = [] if job.status == "PENDING" else job.file_ids
    return [index.documents[each] for each in named if each in index.documents]


def list_documents(call: KeyCall) -> dict[str, Any]:
    """`GET files`. The page's number has two names in the documents: both are taken. UNVERIFIED."""
    index = call.bailian.knowledge.index(call.query.text("index_id"), call.workspace)
    found = index.listed(call.bailian.knowledge.now)
    page, size = _page(call.query, "page_num" if "page_num" in call.query else "page_number")
    rows = [
        {
            "id": document.file.file_id,
            "name": document.file.stem,
            "documentType": document.file.extension,
            "size": len(document.file.content),
            "status": document.status,
            "code": document.code,
            "message": document.message,
            "gmtModified": int(document.modified * 1000),
            "sourceId": document.file.category_id,
        }
        for document in found[(page - 1) * size : page * size]
    ]
    return {"page_number": page, "page_size": size, "total_count": len(found), "rows": rows}


def list_chunks(call: KeyCall) -> dict[str, Any]:
    """`POST chunklist`: one document's chunks."""
    knowledge = call.bailian.knowledge
    index = _index(call, "indexId")
    nodes = listed_chunks(knowledge, index, making.document_of(knowledge, index, call.body.text("docId")))
    page, size = _page(call.body, "pageNum", "pageSize")
    return {"total": len(nodes), "nodes": nodes[(page - 1) * size : page * size], "isDowngrade": False}


def create_chunk(call: KeyCall) -> bool:
    """`POST chunk/create`."""
    field = call.body.object("field") or {}
    images = Fields(field).texts("image_urls")
    making.add_chunk(call.bailian.knowledge, _index(call, "pipelineId"), call.body.text("dataId"), field, images)
    return True


def update_chunk(call: KeyCall) -> bool:
    """`POST chunk/update`."""
    index, chunk_id = _index(call, "pipelineId"), call.body.text("chunkId")
    call.body.text("dataId")
    making.update_chunk(call.bailian.knowledge, index, chunk_id, call.body, "isDisplayedChunkContent")
    return True


def delete_chunks(call: KeyCall) -> bool:
    """`POST chunk/delete`."""
    making.delete_chunks(call.bailian.knowledge, _index(call, "pipelineId"), call.body.texts("chunkIds"))
    return True


def delete_documents(call: KeyCall) -> dict[str, Any]:
    """`POST delete_file`: takes documents out of a knowledge base. Their files stay."""
    index = _index(call, "index_id")
    return {"deleted": call.bailian.knowledge.delete_documents(index, call.body.texts("doc_ids"))}


def update(call: KeyCall) -> dict[str, Any]:
    """`POST update`."""
    index = _index(call, "id")
    making.update_index(index, call.body, CAMEL)
    return {"id": index.index_id}


def delete(call: KeyCall) -> bool:
    """`POST delete`."""
    call.bailian.knowledge.delete_index(call.body.text("index_id"), call.workspace)
    return True


def _page(fields: Fields, number: str, size: str = "page_size") -> tuple[int, int]:
    return fields.integer(number, 1, 1), fields.integer(size, 20 if size == "page_size" else 10, 1, 100)
