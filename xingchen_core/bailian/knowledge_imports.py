"""Making knowledge bases, and importing documents into them.

Source: Model Studio, "RAG API" (`/api/v1/indices/rag/...`), and the OpenAPI 2023-12-29 (`CreateIndex` and others).
Every function describes the call with an API key, or with `signed_for=` (the workspace's id) its signed twin. Names
differ from call to call, and what a service does not know it ignores: the names below are to the letter.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xingchen_core._call import Call, Flow
from xingchen_core._errors import ConfigurationError, UnsupportedOperationError, XingchenError
from xingchen_core.bailian._openapi import data_of, keyed, signed
from xingchen_core.bailian.knowledge_records import LARGEST_PAGE, IndexJob, JobStatus, data, read_job


class Chunking(BaseModel):
    """How documents are cut.

    Attributes:
        mode: `h1` to `h5` (headings; the signed API knows the first two), `length`, `page` or `regex`. Default: the
            service decides.
        size: Tokens of a chunk, 1 to 6000.
        overlap: Tokens that neighbours share, 0 to 1024.
        separator: The regular expression of mode `regex`.
        enable_headers: Whether a table's header row is repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    mode: Literal["h1", "h2", "h3", "h4", "h5", "length", "page", "regex"] | None = None
    size: int | None = Field(default=None, ge=1, le=6000)
    overlap: int | None = Field(default=None, ge=0, le=1024)
    separator: str | None = None
    enable_headers: bool | None = None

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Self:
        if self.mode == "regex" and not self.separator:
            raise ConfigurationError("Chunking(mode='regex') needs separator=...")
        return self


class Source(BaseModel):
    """What is imported: files, or all files of categories. Neither would mean the whole data centre: it is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    document_ids: tuple[str, ...] = ()
    category_ids: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if bool(self.document_ids) == bool(self.category_ids):
            raise ConfigurationError("Name what to import: either document_ids or category_ids, and not none of them.")
        return self

    @property
    def source_type(self) -> str:
        """The service's word for the kind."""
        return "DATA_CENTER_FILE" if self.document_ids else "DATA_CENTER_CATEGORY"


class IndexSpec(BaseModel):
    """A knowledge base to be made. All but the name, the description and the threshold is final.

    Attributes:
        name: 1 to 20 characters. Nothing but convention keeps two from having one name.
        description: Default: the name, since the API for keys wants one.
        source: What is imported at once.
        knowledge_type: With `knowledge_scene`: `document` (`basic_document_qa`, `visual_perception_qa`,
            `lite_document_qa`), `table` (`basic_table_qa`), `image` (`image_qa`), `multimedia`
            (`basic_multimedia_qa`).
        structure_type: Default by knowledge type: tables are `structured`; images are so for the signed API only.
        sink_type: `BUILT_IN` is what works (the page's example says `DEFAULT`).
        embedding_model, rerank_model: Names of models.
        multimodal_embedding_model: Needed by the scenes with pictures, such as `qwen3-vl-embedding`.
        rerank_min_score: 0.01 to 1.
        enable_rewrite: Whether questions are rewritten with the conversation before them.
        meta_columns: Fields to extract, as the service writes them; only with `EnableSearch` can they be filtered by.
        commercial_type: `standard` (one query per second) or `enterprise`.
        extra: Further members, under the service's names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(min_length=1, max_length=20)
    source: Source
    description: str | None = None
    knowledge_type: str | None = None
    knowledge_scene: str | None = None
    structure_type: str | None = None
    sink_type: str = "BUILT_IN"
    embedding_model: str | None = "text-embedding-v4"
    multimodal_embedding_model: str | None = None
    rerank_model: str | None = None
    rerank_min_score: float | None = Field(default=None, ge=0.01, le=1)
    enable_rewrite: bool | None = None
    chunking: Chunking = Field(default_factory=Chunking)
    meta_columns: tuple[dict[str, Any], ...] = ()
    commercial_type: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)


def create_index(spec: IndexSpec, *, signed_for: str | None = None) -> Flow[IndexJob]:
    """Make a knowledge base and start its first import: `create_v2`, or `CreateIndex` and `SubmitIndexJob`.

    The import goes on in the background: see `wait_for_job`. With an AccessKey the files must be parsed before (see
    `wait_for_files`). If only the second call fails, the error names the index that is there.
    """
    if signed_for is None:
        job: IndexJob = yield _create(spec)
        return job
    index_id: str = yield create_empty_index(spec, signed_for=signed_for)
    try:
        job = yield submit_index_job(index_id, signed_for=signed_for)
    except XingchenError as error:
        error.message += f" The index {index_id} exists, but is empty: call submit_index_job, or delete it."
        error.args = (error.message,)
        raise
    return job


def _create(spec: IndexSpec) -> Call[IndexJob]:
    """`POST /api/v1/indices/rag/index/create_v2`."""
    chunking = spec.chunking
    body = {
        "name": spec.name,
        "description": spec.description or spec.name,
        "structureType": spec.structure_type or ("structured" if spec.knowledge_type == "table" else "unstructured"),
        "sinkType": spec.sink_type,
        "sourceType": spec.source.source_type,
        "docIds": list(spec.source.document_ids) or None,
        "categoryIds": list(spec.source.category_ids) or None,
        "dataSources": [{"sourceType": spec.source.source_type}],
        "knowledgeType": spec.knowledge_type,
        "knowledgeScene": spec.knowledge_scene,
        "embeddingModelName": spec.embedding_model,
        "multimodalEmbeddingModelName": spec.multimodal_embedding_model,
        "rerankModelName": spec.rerank_model,
        "rerankMinScore": spec.rerank_min_score,
        "enableRewrite": spec.enable_rewrite,
        "metaExtractColumns": list(spec.meta_columns) or None,
        "pipelineCommercialType": spec.commercial_type,
        **_chunking(chunking),
        **spec.extra,
    }
    return keyed("POST", "indices/rag/index/create_v2", lambda answer: _job(data(answer)), body=body, remembered=True)


def create_empty_index(spec: IndexSpec, *, signed_for: str) -> Call[str]:
    """Make a knowledge base whose import is still to be started: `CreateIndex`. Returns its id.

    Raises:
        UnsupportedOperationError: A `multimodal_embedding_model`, which this call has no parameter for.
    """
    if spec.multimodal_embedding_model is not None:
        raise UnsupportedOperationError("multimodal_embedding_model can be chosen with an API key only.")
    is_structured = spec.knowledge_type in ("table", "image")
    query = {
        "Name": spec.name,
        "Description": spec.description,
        "StructureType": spec.structure_type or ("structured" if is_structured else "unstructured"),
        "SinkType": spec.sink_type,
        "SourceType": spec.source.source_type,
        "DocumentIds": list(spec.source.document_ids) or None,
        "CategoryIds": list(spec.source.category_ids) or None,
        "knowledgeType": spec.knowledge_type,
        "knowledgeScene": spec.knowledge_scene,
        "EmbeddingModelName": spec.embedding_model,
        "RerankModelName": spec.rerank_model,
        "RerankMinScore": spec.rerank_min_score,
        "EnableRewrite": spec.enable_rewrite,
        "ChunkSize": spec.chunking.size,
        "OverlapSize": spec.chunking.overlap,
        "Separator": spec.chunking.separator,
        "chunkMode": spec.chunking.mode,
        "enableHeaders": spec.chunking.enable_headers,
        "metaExtractColumns": list(spec.meta_columns) or None,
        "pipelineCommercialType": spec.commercial_type,
        **spec.extra,
    }
    return signed(
        "CreateIndex",
        "POST",
        signed_for,
        "/index/create",
        lambda answer: str(data_of(answer)["Id"]),
        query=query,
        remembered=True,
    )


def submit_index_job(index_id: str, *, signed_for: str) -> Call[IndexJob]:
    """Start the first import of an index made by `create_empty_index`: `SubmitIndexJob`."""
    return signed(
        "SubmitIndexJob",
        "POST",
        signed_for,
        "/index/submit_index_job",
        lambda answer: _job(data(answer), index_id),
        query={"IndexId": index_id},
        remembered=True,
    )


def import_documents(
    index_id: str, source: Source, *, chunking: Chunking | None = None, signed_for: str | None = None
) -> Call[IndexJob]:
    """Add documents to a knowledge base: `job/create`, or `SubmitIndexAddDocumentsJob`; see `wait_for_job`."""
    chunking = chunking or Chunking()
    files, categories = list(source.document_ids) or None, list(source.category_ids) or None

    def parse(answer: Any) -> IndexJob:
        return _job(data(answer), index_id)

    if signed_for is None:
        body = {
            "indexId": index_id,
            "sourceType": source.source_type,
            "docIds": files,
            "categoryIds": categories,
            **_chunking(chunking),
        }
        return keyed("POST", "indices/rag/index/job/create", parse, body=body, remembered=True)
    query = {
        "IndexId": index_id,
        "SourceType": source.source_type,
        "DocumentIds": files,
        "CategoryIds": categories,
        **{name[0].upper() + name[1:]: value for name, value in _chunking(chunking).items()},
    }
    path = "/index/add_documents_to_index"
    return signed("SubmitIndexAddDocumentsJob", "POST", signed_for, path, parse, query=query, remembered=True)


def job_status(
    index_id: str, job_id: str, *, page: int = 1, page_size: int = LARGEST_PAGE, signed_for: str | None = None
) -> Call[JobStatus]:
    """Look at an import: `index_job/status`, or `GetIndexJobStatus`, which may be asked every five seconds."""
    if not (index_id and job_id):
        raise ConfigurationError("An import is known by index_id and job_id together.")
    if signed_for is None:
        query = {"index_id": index_id, "job_id": job_id, "page_number": page, "page_size": page_size}
        return keyed("GET", "indices/rag/index_job/status", read_job, query=query)
    query = {"IndexId": index_id, "JobId": job_id, "PageNumber": page, "pageSize": page_size}
    return signed("GetIndexJobStatus", "GET", signed_for, "/index/job/status", read_job, query=query)


def _chunking(chunking: Chunking) -> dict[str, Any]:
    return {
        "chunkMode": chunking.mode,
        "chunkSize": chunking.size,
        "overlapSize": chunking.overlap,
        "separator": chunking.separator,
        "enableHeaders": chunking.enable_headers,
    }


def _job(found: Mapping[str, Any], index_id: str | None = None) -> IndexJob:
    """Read which import was started: its id is `ingestionId` with a key, `Id` in signed answers."""
    job_id = found["id"] if index_id and "ingestion_id" not in found else found["ingestion_id"]
    return IndexJob(index_id=index_id or found["pipeline_id"], job_id=job_id)
