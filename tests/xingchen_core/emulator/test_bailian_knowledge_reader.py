"""The older data centre of the emulator, called by our own functions for it: from a file to what was parsed of it."""

import json
from collections.abc import Iterator

import httpx
import pytest

from xingchen_core import BadRequestError, Client
from xingchen_core.bailian import knowledge
from xingchen_core.emulator import Emulator

TEXT = "# 保修\n\n整机保修两年。\n\n电池保修一年。".encode()


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    """A client with a key."""
    with knowledge.KnowledgeSettings(api_key="test-key", base_url=emulator.url, max_retries=0).client() as running:
        yield running


def put(client: Client, name: str = "保修.md") -> str:
    """Upload and register a file; return its id."""
    data = client.send(knowledge.pipeline_upload_lease(name, TEXT))["data"]
    param = data["param"]
    client.send(
        knowledge.upload(knowledge.Lease(data["lease_id"], param["url"], param["method"], param["headers"]), TEXT)
    )
    added = client.send(knowledge.pipeline_add_file(data["lease_id"]))["data"]
    assert added["parser"] == "DASHSCOPE_DOCMIND"
    return str(added["file_id"])


def test_from_a_file_to_its_text(client: Client) -> None:
    """Lease, upload, register, three looks, and the parsed file from a URL of its own."""
    file_id = put(client)
    looks = [client.send(knowledge.pipeline_query_file(file_id))["data"] for _ in range(3)]
    assert [look["status"] for look in looks] == ["INIT", "PARSING", "PARSE_SUCCESS"]
    assert (looks[2]["file_name"], looks[2]["size_bytes"], looks[2]["category"]) == ("保修.md", len(TEXT), "default")
    lease = client.send(knowledge.pipeline_download_lease(file_id))["data"]
    assert (lease["type"], lease["param"]["method"]) == ("HTTP", "GET")
    with httpx.Client(trust_env=False, verify=False) as http:
        assert json.loads(http.get(lease["param"]["url"]).content) == ["整机保修两年。", "电池保修一年。"]
        assert http.get(lease["param"]["url"] + "x").status_code == 403


def test_what_is_refused(emulator: Emulator, client: Client) -> None:
    """A lease used twice, another category, a file that is not parsed, or cannot be."""
    emulator.bailian.knowledge.failing_files = {"坏.md"}
    file_id = put(client, "坏.md")
    with pytest.raises(BadRequestError, match="not parsed"):
        client.send(knowledge.pipeline_download_lease(file_id))
    looks = [client.send(knowledge.pipeline_query_file(file_id))["data"]["status"] for _ in range(3)]
    assert looks[2] == "PARSE_FAILED"
    with pytest.raises(BadRequestError, match="file not exist"):
        client.send(knowledge.pipeline_query_file(file_id, category_id="cate_other"))
    with pytest.raises(BadRequestError, match="lease not exist"):
        client.send(knowledge.pipeline_add_file("lease-none"))
