"""The paths of everything about knowledge bases that is called with an API key."""

from typing import TYPE_CHECKING

from starlette.routing import Route

from xingchen_core.emulator import bailian_files_pipelines as reader
from xingchen_core.emulator import bailian_files_routes as files
from xingchen_core.emulator import bailian_index_pipelines as pipelines
from xingchen_core.emulator import bailian_index_routes as indexes
from xingchen_core.emulator import bailian_index_services as services
from xingchen_core.emulator import bailian_knowledge_routes as retrieval
from xingchen_core.emulator.bailian_knowledge_gateway import IMPORT, PIPELINE, RAG, endpoint

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian

INDICES = "/api/v1/indices/"
PIPELINE_PATH = INDICES + "pipeline/{pipeline_id}/"
CATEGORY_PATH = "/api/v1/datacenter/category/{category}/"


def routes(bailian: "Bailian") -> list[Route]:
    """Retrieval, management, data centre, object storage."""
    rag = {
        ("POST", "rag/index/retrieve"): retrieval.retrieve,
        ("POST", "knowledge/search"): retrieval.search,
        ("GET POST", "rag/index/list"): indexes.list_indexes,
        ("POST", "rag/index/create_v2"): indexes.create,
        ("POST", "rag/index/job/create"): indexes.create_job,
        ("GET", "rag/index_job/status"): indexes.job_status,
        ("GET", "rag/index/files"): indexes.list_documents,
        ("POST", "rag/index/chunklist"): indexes.list_chunks,
        ("POST", "rag/index/chunk/create"): indexes.create_chunk,
        ("POST", "rag/index/chunk/update"): indexes.update_chunk,
        ("POST", "rag/index/chunk/delete"): indexes.delete_chunks,
        ("POST", "rag/index/delete_file"): indexes.delete_documents,
        ("POST", "rag/index/update"): indexes.update,
        ("POST", "rag/index/delete"): indexes.delete,
    }
    dash = {
        "listCategory": files.list_categories,
        "addCategory": files.add_category,
        "applyFileUploadLease": files.apply_lease,
        "addFile": files.add_file,
        "describeFile": files.describe_file,
        "deleteFile": files.delete_file,
        "batchUpdateFileTag": files.update_tags,
    }
    legacy = {
        ("GET", INDICES + "pipeline_simple"): pipelines.find,
        ("PUT", INDICES + "pipeline"): pipelines.upsert,
        ("POST", PIPELINE_PATH + "retrieve"): retrieval.pipeline_retrieve,
        ("POST", PIPELINE_PATH + "managed_ingest"): pipelines.ingest,
        ("GET", PIPELINE_PATH + "managed_ingest/{ingestion_id}/status"): pipelines.status,
        ("PUT", PIPELINE_PATH + "documents"): pipelines.append,
        ("POST", PIPELINE_PATH + "delete"): pipelines.delete,
        ("POST", CATEGORY_PATH + "upload_lease"): reader.upload_lease,
        ("POST", CATEGORY_PATH + "add_file"): reader.add_file,
        ("POST", CATEGORY_PATH + "file/{file_id}/query"): reader.query,
        ("POST", CATEGORY_PATH + "file/{file_id}/download_lease"): reader.download_lease,
    }
    connector = "/api/v1/connector/dash/"
    app = INDICES + "rag/app/{action}"
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    return [
        *(Route(INDICES + path, endpoint(bailian, to, RAG), methods=how.split()) for (how, path), to in rag.items()),
        *(Route(path, endpoint(bailian, to, PIPELINE), methods=[how]) for (how, path), to in legacy.items()),
        *(Route(connector + name, endpoint(bailian, to, IMPORT), methods=["POST"]) for name, to in dash.items()),
        Route(app, endpoint(bailian, services.respond, services.SERVICES), methods=["POST"]),
        Route(reader.PARSED + "{file_id}", reader.parsed(bailian), methods=["GET"]),
        Route(files.STORAGE + "{lease_id}", files.storage(bailian), methods=methods),
    ]
