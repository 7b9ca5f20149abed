"""The legacy pipelines, as LlamaIndex's and Spring's plug-ins use them: `/api/v1/indices/pipeline...`."""

from typing import Any

from xingchen_core.emulator.bailian_files_parsing import Chunking
from xingchen_core.emulator.bailian_index_store import FINAL, Index
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall


def find(call: KeyCall) -> dict[str, Any]:
    """`GET pipeline_simple`: an id by an exact name. What an unknown name gets is UNVERIFIED: success without an id."""
    name = call.query.text("pipeline_name")
    found = _named(call, name)
    return {"id": found.index_id} if found else {}


def upsert(call: KeyCall) -> dict[str, Any]:
    """`PUT pipeline`: makes a knowledge base, or names anew what the one of this name shall import."""
    name = call.body.text("name")
    files = _files(call)
    index = _named(call, name) or call.bailian.knowledge.add_index(
        name, workspace=call.workspace, chunking=_chunking(call), settings={"structureType": "unstructured"}
    )
    index.waiting = files
    return {"id": index.index_id}


def ingest(call: KeyCall) -> dict[str, Any]:
    """`POST managed_ingest`: starts the import of what `PUT pipeline` named."""
    index = _index(call)
    return {"ingestionId": call.bailian.knowledge.import_files(index, index.waiting or []).job_id}


def append(call: KeyCall) -> dict[str, Any]:
    """`PUT documents`: imports more. The plug-in reads the import's id from one of these two."""
    job = call.bailian.knowledge.import_files(_index(call), _files(call), _chunking(call))
    return {"id": job.job_id, "ingestionId": job.job_id}


def status(call: KeyCall) -> dict[str, Any]:
    """`GET managed_ingest/{id}/status`."""
    index = _index(call)
    job = call.bailian.knowledge.poll(index, call.path("ingestion_id"))
    documents = [index.documents[each] for each in job.file_ids if each in index.documents]
    failed = [each.file.file_id for each in documents if each.status in FINAL and each.status != "FINISH"]
    all_failed = job.status == "COMPLETED" and documents and len(failed) == len(documents)
    return {"ingestion_status": "FAILED" if all_failed else job.status, "failed_docs": failed}


def delete(call: KeyCall) -> dict[str, Any]:
    """`POST delete`: takes documents out."""
    call.bailian.knowledge.delete_documents(_index(call), _doc_ids(call))
    return {}


def _named(call: KeyCall, name: str) -> Index | None:
    indexes = call.bailian.knowledge.indexes.values()
    return next((each for each in indexes if each.name == name and each.workspace == call.workspace), None)


def _index(call: KeyCall) -> Index:
    return call.bailian.knowledge.index(call.path("pipeline_id"), call.workspace)


def _doc_ids(call: KeyCall) -> list[str]:
    found: list[str] = []
    for source in call.body.array("data_sources"):
        given = source.get("component") if isinstance(source, dict) else None
        # One plug-in sends an object here, the other an array of one: which is right is UNVERIFIED.
        for component in given if isinstance(given, list) else [given]:
            if not isinstance(component, dict):
                raise invalid("data_sources[].component must be an object")
            found += Fields(component).texts("doc_ids")
    return found


def _files(call: KeyCall) -> list[str]:
    ids = _doc_ids(call)
    return call.bailian.knowledge.files_of("DATA_CENTER_FILE", ids, [], call.workspace)


def _chunking(call: KeyCall) -> Chunking:
    for each in call.body.array("configured_transformations"):
        if isinstance(each, dict) and each.get("configurable_transformation_type") == "DASHSCOPE_JSON_NODE_PARSER":
            given = Fields(each.get("component") or {})
            return Chunking(size=given.integer("chunk_size", 500, 1, 6000))
    return Chunking()
