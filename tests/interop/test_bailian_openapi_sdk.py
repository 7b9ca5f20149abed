"""The vendor's own SDK, alibabacloud-bailian20231229 2.14.5, talks to the emulator, which checks its signatures.

It runs in an interpreter of its own: `BAILIAN_SDK_PYTHON`, or an environment built once into `.venv-sdk-bailian`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vendor_sdk import run_scenario, sdk_python
from xingchen_core.emulator import Emulator
from xingchen_core.emulator._acs3 import AccessKey

SCENARIOS = Path(__file__).with_name("bailian_openapi_sdk_scenarios.py")

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has the SDK."""
    return sdk_python("bailian", "alibabacloud_bailian20231229/client.py", "alibabacloud-bailian20231229==2.14.5")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator with nothing scripted."""
    with Emulator() as running:
        yield running


@pytest.fixture
def sdk(python: str, emulator: Emulator) -> Run:
    """Runs a scenario and returns what the SDK made of it."""
    return lambda scenario, *keys: run_scenario(python, SCENARIOS, scenario, emulator.url, *keys)


def test_retrieval(sdk: Run, emulator: Emulator) -> None:
    """Filters, reranking, rewriting and Chinese are understood; results come into the SDK's models."""
    told, nodes = sdk("retrieve")
    assert told == [True, "Success", "200"]
    # Of 支持生鲜退货 the chunk has every character.
    assert nodes == [["生鲜商品不支持退货，质量问题除外。", 1.0, "退货政策"]]
    received = emulator.requests[0]
    assert (received.path, received.body) == ("/llm-demo/index/retrieve", b"")
    assert received.query["EnableReranking"] == "True"


def test_a_business_failure(sdk: Run) -> None:
    """Under HTTP 200 the SDK raises nothing: only `success` tells."""
    assert sdk("failure") == [False, "Index.IndexNotExist", "400", True]


def test_from_a_file_to_an_answer(sdk: Run) -> None:
    """Lease, upload by `requests`, parsing, job, retrieval, deleting."""
    assert sdk("whole_way") == {
        "file": ["保修条款.txt", ["售后"], ["INIT", "PARSING", "PARSE_SUCCESS"]],
        "job": [
            ["PENDING", []],
            ["RUNNING", ["RUNNING"]],
            ["RUNNING", ["FINISH"]],
            ["COMPLETED", ["FINISH"]],
        ],
        "found": ["整机保修两年，电池保修一年。"],
        "listed": [["保修条款", "FINISH"]],
        "deleted": [True, ["保修"], True],
        "left": True,
    }


def test_chunks(sdk: Run) -> None:
    """Listed by the one call that has a JSON body; written, changed, deleted."""
    assert sdk("chunks") == [2, "第一次使用请先充电。", "充电", "每次使用之前都要充电。", True]


def test_memory(sdk: Run) -> None:
    """The older memory: parameters in the query, answers without an envelope."""
    assert sdk("memory") == {
        "got": "喜欢 茶+*~",
        "listed": [["喜欢咖啡"], 1, ""],
        "memories": [["user A"], "llm-demo"],
        "deleted": True,
    }


@pytest.mark.parametrize(
    ("keys", "code", "status"),
    [
        (("testid", "wrong"), "SignatureDoesNotMatch", 400),
        (("nobody", "testsecret"), "InvalidAccessKeyId.NotFound", 404),
        (("testid", "testsecret", "invalid"), "InvalidSecurityToken.Malformed", 400),
    ],
)
def test_refused_keys(sdk: Run, keys: tuple[str, ...], code: str, status: int) -> None:
    """The SDK understands why it is refused; its signatures are really checked."""
    assert sdk("refused", *keys) == {"kind": "ClientException", "code": code, "status": status}


def test_temporary_keys(sdk: Run, emulator: Emulator) -> None:
    """A temporary key with its token signs as well."""
    emulator.bailian.signatures.keys["STS.test"] = AccessKey("temporary", "CAIS+/=test")
    assert sdk("refused", "STS.test", "temporary", "CAIS+/=test") == {}


@pytest.mark.parametrize(
    ("status", "retry_after", "kind"),
    [(429, 1.5, "ThrottlingException"), (429, None, "ClientException"), (503, None, "ServerException")],
)
def test_scripted_failures(sdk: Run, emulator: Emulator, status: int, retry_after: float | None, kind: str) -> None:
    """Throttling and a broken server come as the SDK's own kinds of error; the former needs the platform's header."""
    emulator.fail("status", status=status, retry_after=retry_after, path="/index/retrieve")
    assert sdk("refused")["kind"] == kind
