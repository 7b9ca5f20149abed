"""Where Bailian is: public hosts of regions, a workspace's own host, a private link; each object for itself."""

from typing import Any

import httpx
import pytest

from langchain_xingchen import ChatBailian, ChatBailianApp
from xingchen_core import AuthenticationError
from xingchen_core.bailian import workspace_url

REFUSAL = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-1"}

PLACES: list[tuple[dict[str, Any], str]] = [
    ({}, "dashscope.aliyuncs.com"),
    ({"region": "cn-beijing"}, "dashscope.aliyuncs.com"),
    ({"region": "ap-southeast-1"}, "dashscope-intl.aliyuncs.com"),
    ({"region": "us-east-1"}, "dashscope-us.aliyuncs.com"),
    ({"base_url": workspace_url("ws-fake-1")}, "ws-fake-1.cn-beijing.maas.aliyuncs.com"),
    (
        {"base_url": "https://ep-fake.dashscope.cn-beijing.privatelink.aliyuncs.com/api/v1/"},
        "ep-fake.dashscope.cn-beijing.privatelink.aliyuncs.com",
    ),
]


@pytest.mark.parametrize(("model", "path"), [(ChatBailian, "/generation"), (ChatBailianApp, "/completion")])
def test_every_object_has_its_host(model: type[Any], path: str) -> None:
    """Objects of all places live side by side; a refused key names the host that refused it, and the other ones."""
    asked: list[httpx.URL] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(401, json=REFUSAL)

    client = httpx.Client(transport=httpx.MockTransport(refuse))
    named = {"app_id": "demo"} if model is ChatBailianApp else {}
    models = [model(api_key="test-key", http_client=client, **named, **place) for place, _ in PLACES]
    for made, (_, host) in zip(models, PLACES, strict=True):
        with pytest.raises(AuthenticationError, match="A key works in its own region only") as caught:
            made.invoke("你好")
        assert f"This came from {host}." in str(caught.value)
        others = {"https://dashscope.aliyuncs.com", "https://dashscope-intl.aliyuncs.com"} - {f"https://{host}"}
        assert all(f"({other})" in str(caught.value) for other in others)
        assert f"(https://{host})" not in str(caught.value)
    assert [url.host for url in asked] == [host for _, host in PLACES]
    assert all(url.path.startswith("/api/v1/") and url.path.endswith(path) for url in asked)
