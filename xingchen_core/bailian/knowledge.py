"""Knowledge bases (知识库): retrieve from them, make them, fill them, look after them.

```python
from xingchen_core.bailian import knowledge

with knowledge.KnowledgeSettings(api_key="...", workspace_id="llm-...") as settings:
    client = settings.client()
    file_id = client.run(knowledge.upload_file(Path("手册.pdf")))
    client.run(knowledge.wait_for_files([file_id]))
    spec = knowledge.IndexSpec(name="手册", source=knowledge.Source(document_ids=(file_id,)))
    job = client.run(knowledge.create_index(spec))
    client.run(knowledge.wait_for_job(job.index_id, job.job_id))
    request = knowledge.RetrieveRequest(query="怎么退款?", index_id=job.index_id)
    nodes = client.run(knowledge.retrieve(request, settings))
```

With an AccessKey in place of the API key, pass `signed_for=settings.signed_for()` to all but `retrieve`.

| file | about |
| --- | --- |
| `knowledge_retrieval.py`, `knowledge_routes.py` | retrieval: which route, and what each is sent |
| `knowledge_nodes.py` | the chunks that come back |
| `knowledge_filters.py`, `knowledge_search_filters.py` | filters, and how each route is told |
| `knowledge_imports.py`, `knowledge_indexes.py` | making knowledge bases and importing; listing, changing, deleting |
| `knowledge_documents.py`, `knowledge_files.py` | documents and chunks; files and folders of the data centre |
| `knowledge_waiting.py` | uploads, and waiting for what goes on in the background |
| `knowledge_services.py`, `knowledge_pipelines.py` | retrieval services; the older API |
"""

from typing import TYPE_CHECKING

from xingchen_core._lazy import lazy_names

if TYPE_CHECKING:
    from xingchen_core.bailian._openapi import KnowledgeSettings
    from xingchen_core.bailian.knowledge_documents import (
        add_chunk,
        all_chunks,
        all_documents,
        delete_chunks,
        delete_documents,
        document_details,
        list_chunks,
        list_documents,
        update_chunk,
    )
    from xingchen_core.bailian.knowledge_files import (
        DOCUMENTS,
        SESSION_FILES,
        Lease,
        add_category,
        add_file,
        apply_lease,
        delete_category,
        delete_file,
        delete_files,
        describe_file,
        list_categories,
        list_files,
        set_tags,
        upload,
    )
    from xingchen_core.bailian.knowledge_filters import Condition, Filter, Group, Operator, matches
    from xingchen_core.bailian.knowledge_imports import (
        Chunking,
        IndexSpec,
        Source,
        create_empty_index,
        create_index,
        import_documents,
        job_status,
        submit_index_job,
    )
    from xingchen_core.bailian.knowledge_indexes import (
        all_indexes,
        delete_index,
        find_index,
        index_monitor,
        list_indexes,
        update_index,
    )
    from xingchen_core.bailian.knowledge_nodes import RetrievedNode
    from xingchen_core.bailian.knowledge_pipelines import (
        add_pipeline_documents,
        delete_pipeline_documents,
        find_pipeline,
        ingestion_status,
        pipeline_add_file,
        pipeline_download_lease,
        pipeline_query_file,
        pipeline_upload_lease,
        put_pipeline,
        retrieve_prompt,
        split_text,
        start_ingestion,
    )
    from xingchen_core.bailian.knowledge_records import (
        Category,
        DocumentStatus,
        FileInfo,
        IndexInfo,
        IndexJob,
        JobStatus,
        TokenPage,
    )
    from xingchen_core.bailian.knowledge_retrieval import choose_route, retrieve
    from xingchen_core.bailian.knowledge_routes import (
        Rerank,
        RetrieveRequest,
        from_index,
        from_openapi,
        from_pipeline,
        from_service,
    )
    from xingchen_core.bailian.knowledge_search_filters import Route, Translation, translate
    from xingchen_core.bailian.knowledge_services import ServiceState, manage_service
    from xingchen_core.bailian.knowledge_waiting import (
        DocumentsFailedError,
        upload_file,
        wait_for_files,
        wait_for_job,
    )

__getattr__ = lazy_names(
    __name__,
    {
        "_openapi": ("KnowledgeSettings",),
        "knowledge_documents": (
            "add_chunk",
            "all_chunks",
            "all_documents",
            "delete_chunks",
            "delete_documents",
            "document_details",
            "list_chunks",
            "list_documents",
            "update_chunk",
        ),
        "knowledge_files": (
            "DOCUMENTS",
            "SESSION_FILES",
            "Lease",
            "add_category",
            "add_file",
            "apply_lease",
            "delete_category",
            "delete_file",
            "delete_files",
            "describe_file",
            "list_categories",
            "list_files",
            "set_tags",
            "upload",
        ),
        "knowledge_filters": (
            "Condition",
            "Filter",
            "Group",
            "Operator",
            "matches",
        ),
        "knowledge_imports": (
            "Chunking",
            "IndexSpec",
            "Source",
            "create_empty_index",
            "create_index",
            "import_documents",
            "job_status",
            "submit_index_job",
        ),
        "knowledge_indexes": (
            "all_indexes",
            "delete_index",
            "find_index",
            "index_monitor",
            "list_indexes",
            "update_index",
        ),
        "knowledge_nodes": ("RetrievedNode",),
        "knowledge_pipelines": (
            "add_pipeline_documents",
            "delete_pipeline_documents",
            "find_pipeline",
            "ingestion_status",
            "pipeline_add_file",
            "pipeline_download_lease",
            "pipeline_query_file",
            "pipeline_upload_lease",
            "put_pipeline",
            "retrieve_prompt",
            "split_text",
            "start_ingestion",
        ),
        "knowledge_records": (
            "Category",
            "DocumentStatus",
            "FileInfo",
            "IndexInfo",
            "IndexJob",
            "JobStatus",
            "TokenPage",
        ),
        "knowledge_retrieval": (
            "choose_route",
            "retrieve",
        ),
        "knowledge_routes": (
            "Rerank",
            "RetrieveRequest",
            "from_index",
            "from_openapi",
            "from_pipeline",
            "from_service",
        ),
        "knowledge_search_filters": (
            "Route",
            "Translation",
            "translate",
        ),
        "knowledge_services": (
            "ServiceState",
            "manage_service",
        ),
        "knowledge_waiting": (
            "DocumentsFailedError",
            "upload_file",
            "wait_for_files",
            "wait_for_job",
        ),
    },
)

__all__ = [
    "DOCUMENTS",
    "SESSION_FILES",
    "Category",
    "Chunking",
    "Condition",
    "DocumentStatus",
    "DocumentsFailedError",
    "FileInfo",
    "Filter",
    "Group",
    "IndexInfo",
    "IndexJob",
    "IndexSpec",
    "JobStatus",
    "KnowledgeSettings",
    "Lease",
    "Operator",
    "Rerank",
    "RetrieveRequest",
    "RetrievedNode",
    "Route",
    "ServiceState",
    "Source",
    "TokenPage",
    "Translation",
    "add_category",
    "add_chunk",
    "add_file",
    "add_pipeline_documents",
    "all_chunks",
    "all_documents",
    "all_indexes",
    "apply_lease",
    "choose_route",
    "create_empty_index",
    "create_index",
    "delete_category",
    "delete_chunks",
    "delete_documents",
    "delete_file",
    "delete_files",
    "delete_index",
    "delete_pipeline_documents",
    "describe_file",
    "document_details",
    "find_index",
    "find_pipeline",
    "from_index",
    "from_openapi",
    "from_pipeline",
    "from_service",
    "import_documents",
    "index_monitor",
    "ingestion_status",
    "job_status",
    "list_categories",
    "list_chunks",
    "list_documents",
    "list_files",
    "list_indexes",
    "manage_service",
    "matches",
    "pipeline_add_file",
    "pipeline_download_lease",
    "pipeline_query_file",
    "pipeline_upload_lease",
    "put_pipeline",
    "retrieve",
    "retrieve_prompt",
    "set_tags",
    "split_text",
    "start_ingestion",
    "submit_index_job",
    "translate",
    "update_chunk",
    "update_index",
    "upload",
    "upload_file",
    "wait_for_files",
    "wait_for_job",
]
