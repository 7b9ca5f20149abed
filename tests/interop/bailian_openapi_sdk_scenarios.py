"""Runs one scenario with the vendor's SDK and prints what the SDK made of it, as JSON.

`python bailian_openapi_sdk_scenarios.py <scenario> <url> [<key id> <secret> [<security token>]]`, in an interpreter
that has alibabacloud-bailian20231229 2.14.5.
"""

import hashlib
import json
import sys
from typing import Any

import requests
from alibabacloud_bailian20231229 import models
from alibabacloud_bailian20231229.client import Client
from alibabacloud_tea_openapi.models import Config

WORKSPACE, INDEX = "llm-demo", "kbdemo0001"
TEXT = "整机保修两年，电池保修一年。".encode()


def retrieve(client: Client) -> list[Any]:
    """Every parameter of a retrieval, and what its results hold."""
    request = models.RetrieveRequest(
        index_id=INDEX,
        query="生鲜 退货+*~?",
        dense_similarity_top_k=80,
        sparse_similarity_top_k=20,
        enable_reranking=True,
        rerank=[models.RetrieveRequestRerank(model_name="qwen3-rerank-hybrid", rerank_mode="qa")],
        rerank_top_n=1,
        rerank_min_score=0.2,
        enable_rewrite=True,
        rewrite=[models.RetrieveRequestRewrite(model_name="conv-rewrite-qwen-1.8b")],
        query_history=[models.RetrieveRequestQueryHistory(role="user", content="支持")],
        search_filters=[{"tags": '["退货政策", "other"]'}, {"author": "演示"}],
        save_retriever_history=False,
    )
    body = client.retrieve(WORKSPACE, request).body
    told = [body.success, body.code, body.status]
    return [told, [[node.text, node.score, node.metadata["doc_name"]] for node in body.data.nodes]]


def failure(client: Client) -> list[Any]:
    """A business failure under HTTP 200 is no exception to the SDK."""
    body = client.retrieve(WORKSPACE, models.RetrieveRequest(index_id="kbnone", query="x")).body
    return [body.success, body.code, body.status, body.data is None]


def upload(client: Client) -> str:
    """A file of the data centre, by lease, upload and registering."""
    asked = models.ApplyFileUploadLeaseRequest(
        file_name="保修条款.txt",
        md_5=hashlib.md5(TEXT).hexdigest(),
        size_in_bytes=str(len(TEXT)),
    )
    lease = client.apply_file_upload_lease("default", WORKSPACE, asked).body.data
    stored = requests.request(lease.param.method, lease.param.url, data=TEXT, headers=lease.param.headers, timeout=10)
    stored.raise_for_status()
    request = models.AddFileRequest(
        lease_id=lease.file_upload_lease_id, parser="AUTO_SELECT", category_id="default", tags=["售后"]
    )
    file_id: str = client.add_file(WORKSPACE, request).body.data.file_id
    return file_id


def whole_way(client: Client) -> dict[str, Any]:
    """From a file to an answer, and away again."""
    file_id = upload(client)
    described = [client.describe_file(WORKSPACE, file_id, models.DescribeFileRequest()).body.data for _ in range(3)]
    index_id = client.create_index(
        WORKSPACE,
        models.CreateIndexRequest(
            name="保修",
            structure_type="unstructured",
            source_type="DATA_CENTER_FILE",
            sink_type="BUILT_IN",
            document_ids=[file_id],
        ),
    ).body.data.id
    job = client.submit_index_job(WORKSPACE, models.SubmitIndexJobRequest(index_id=index_id)).body.data.id
    asked = models.GetIndexJobStatusRequest(index_id=index_id, job_id=job, page_number=1, page_size=10)
    states = [client.get_index_job_status(WORKSPACE, asked).body.data for _ in range(4)]
    query = models.RetrieveRequest(index_id=index_id, query="电池保修")
    found = client.retrieve(WORKSPACE, query).body.data.nodes
    listed = client.list_index_documents(WORKSPACE, models.ListIndexDocumentsRequest(index_id=index_id)).body.data
    gone = client.delete_index_document(
        WORKSPACE, models.DeleteIndexDocumentRequest(index_id=index_id, document_ids=[file_id])
    ).body.data
    indexes = client.list_indices(WORKSPACE, models.ListIndicesRequest(index_name="保修")).body.data
    deleted = client.delete_index(WORKSPACE, models.DeleteIndexRequest(index_id=index_id)).body.success
    left = client.delete_file(file_id, WORKSPACE, models.DeleteFileRequest()).body.data.file_id
    return {
        "file": [described[2].file_name, described[2].tags, [each.status for each in described]],
        "job": [[state.status, [each.status for each in state.documents]] for state in states],
        "found": [node.text for node in found],
        "listed": [[each.name, each.status] for each in listed.documents],
        "deleted": [gone.deleted_document == [file_id], [each.name for each in indexes.indices], deleted],
        "left": left == file_id,
    }


def chunks(client: Client) -> list[Any]:
    """Chunks are listed, written, changed and deleted."""
    documents = client.list_index_documents(WORKSPACE, models.ListIndexDocumentsRequest(index_id=INDEX)).body.data
    file_id = documents.documents[0].id
    new = {"content": "第一次使用请先充电。", "title": "充电"}
    client.add_chunk(WORKSPACE, models.AddChunkRequest(pipeline_id=INDEX, data_id=file_id, field=new))
    asked = models.ListChunksRequest(index_id=INDEX, file_id=file_id, fields=["title"], page_num=1, page_size=10)
    listed = client.list_chunks(WORKSPACE, asked).body.data
    last = listed.nodes[-1]
    change = models.UpdateChunkRequest(
        pipeline_id=INDEX,
        data_id=file_id,
        chunk_id=last.metadata["_id"],
        content="每次使用之前都要充电。",
        is_displayed_chunk_content=True,
    )
    client.update_chunk(WORKSPACE, change)
    found = client.retrieve(WORKSPACE, models.RetrieveRequest(index_id=INDEX, query="每次充电")).body.data.nodes
    gone = models.DeleteChunkRequest(pipeline_id=INDEX, chunk_ids=[last.metadata["_id"]])
    deleted = client.delete_chunk(WORKSPACE, gone).body.success
    return [listed.total, last.text, last.metadata["title"], found[0].text, deleted]


def memory(client: Client) -> dict[str, Any]:
    """A memory body and its nodes."""
    memory_id = client.create_memory(WORKSPACE, models.CreateMemoryRequest(description="user A")).body.memory_id
    node = client.create_memory_node(
        WORKSPACE, memory_id, models.CreateMemoryNodeRequest(content="喜欢 茶+*~")
    ).body.memory_node_id
    got = client.get_memory_node(WORKSPACE, memory_id, node, models.GetMemoryNodeRequest()).body.content
    client.update_memory_node(WORKSPACE, memory_id, node, models.UpdateMemoryNodeRequest(content="喜欢咖啡"))
    listed = client.list_memory_nodes(WORKSPACE, memory_id, models.ListMemoryNodesRequest(max_results=10)).body
    client.delete_memory_node(WORKSPACE, memory_id, node, models.DeleteMemoryNodeRequest())
    memories = client.list_memories(WORKSPACE, models.ListMemoriesRequest(max_results=10)).body
    deleted = client.delete_memory(WORKSPACE, memory_id, models.DeleteMemoryRequest()).body
    return {
        "got": got,
        "listed": [[each.content for each in listed.memory_nodes], listed.total_count, listed.next_token],
        "memories": [[each.description for each in memories.memories], memories.workspace_id],
        "deleted": bool(deleted.request_id),
    }


def refused(client: Client) -> dict[str, Any]:
    """How the SDK names a refusal."""
    try:
        client.retrieve(WORKSPACE, models.RetrieveRequest(index_id=INDEX, query="x"))
    except Exception as error:  # noqa: BLE001  the SDK's kinds of error are what is asked for
        return {"kind": type(error).__name__, "code": error.code, "status": error.data["statusCode"]}
    return {}


SCENARIOS = {each.__name__: each for each in (retrieve, failure, whole_way, chunks, memory, refused)}


def main(scenario: str, url: str, key_id: str = "testid", secret: str = "testsecret", token: str | None = None) -> None:
    """Print the scenario's outcome."""
    protocol, _, endpoint = url.partition("://")
    config = Config(
        access_key_id=key_id, access_key_secret=secret, security_token=token, endpoint=endpoint, protocol=protocol
    )
    sys.stdout.write(json.dumps(SCENARIOS[scenario](Client(config)), ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
