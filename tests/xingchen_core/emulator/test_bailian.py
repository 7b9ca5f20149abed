"""Bailian's gateway in the emulator: keys, workspaces, framing, errors and faults, by plain HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from bailian_api import COMPATIBLE, MEDIA, TEXT, BailianApi, prompt, question, read, refusal
from xingchen_core.emulator import Emulator

APP = "/api/v1/apps/demo/completion"


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


@pytest.mark.parametrize("path", [APP, TEXT, MEDIA])
@pytest.mark.parametrize("authorization", ["", "Bearer invalid", "Bearer", "Basic test-key"])
def test_refused_keys(api: BailianApi, path: str, authorization: str) -> None:
    """Any key opens but a missing one and `invalid`."""
    response = api.post(path, question("你好"), headers={"Authorization": authorization})
    assert refusal(response)[:2] == (401, "InvalidApiKey")


def test_the_words_of_a_refused_key(api: BailianApi) -> None:
    """The message is the documented one."""
    response = api.post(APP, question("你好"), headers={"Authorization": "Bearer invalid"})
    assert response.json()["message"] == "Invalid API-key provided."


def test_a_get(api: BailianApi) -> None:
    """Only POST is known."""
    expected = (400, "InvalidParameter", "Request method 'GET' is not supported.")
    assert refusal(api.http.get(APP)) == expected


def test_unknown_ids(api: BailianApi) -> None:
    """An unknown application looks like a missing permission, an unknown model is not found."""
    assert refusal(api.post("/api/v1/apps/nobody/completion", question("你好")))[:2] == (403, "App.AccessDenied")
    for model in ("gpt-4", "Qwen/Qwen3-8B"):
        assert refusal(api.post(TEXT, prompt(model=model)))[:2] == (404, "ModelNotFound")
    for model in ("qwen-plus", "deepseek-v3.2", "glm-4.6", "qwen2.5-7b-instruct"):
        assert api.post(TEXT, prompt(model=model)).status_code == 200


def test_workspaces(emulator: Emulator, api: BailianApi) -> None:
    """What lives in a sub-workspace wants its header; an unknown workspace is refused as such."""
    emulator.bailian.add_app("hidden", workspace="ws-sub")
    emulator.bailian.add_model("qwen-plus", "ws-sub")
    for path, body in (("/api/v1/apps/hidden/completion", question("你好")), (TEXT, prompt())):
        assert refusal(api.post(path, body))[:2] == (403, "Workspace.AccessDenied")
        for name in ("X-DashScope-WorkSpace", "x-dashscope-workspace"):
            assert api.post(path, body, headers={name: "ws-sub"}).status_code == 200
    assert api.post(APP, question("你好"), headers={"X-DashScope-WorkSpace": "llm-demo"}).status_code == 200
    denied = api.post(APP, question("你好"), headers={"X-DashScope-WorkSpace": "ws-sub"})
    assert refusal(denied)[:2] == (403, "Workspace.AccessDenied")
    stranger = api.post(APP, question("你好"), headers={"X-DashScope-WorkSpace": "ws-strange"})
    assert refusal(stranger)[:2] == (401, "NOT AUTHORIZED")


def test_bodies_that_are_none(api: BailianApi) -> None:
    """A body that is no JSON object, lacks its input or, of an application, its parameters, is refused."""
    assert refusal(api.http.post(APP, content=b"{"))[:2] == (400, "BadRequest.IllegalInput")
    assert refusal(api.post(APP, []))[:2] == (400, "BadRequest.IllegalInput")
    assert refusal(api.post(APP, {"parameters": {}}))[:2] == (400, "BadRequest.EmptyInput")
    assert refusal(api.post(APP, {"input": {"prompt": "你好"}}))[:2] == (400, "BadRequest.EmptyParameters")
    assert refusal(api.post(TEXT, {"model": "qwen-plus"}))[:2] == (400, "BadRequest.EmptyInput")


def test_leniency() -> None:
    """A lenient emulator forgives missing parameters."""
    with Emulator(strict=False) as lenient, (api := BailianApi(lenient.url)).http:
        assert api.post(APP, {"input": {"prompt": "你好"}}).status_code == 200


@pytest.mark.parametrize("path", [APP, TEXT])
def test_no_asynchronous_calls(api: BailianApi, path: str) -> None:
    """The header of task APIs is refused here."""
    response = api.post(path, question("你好"), headers={"X-DashScope-Async": "enable"})
    assert refusal(response) == (403, "AccessDenied", "Current user api does not support asynchronous calls.")


def test_only_the_header_streams(api: BailianApi) -> None:
    """`stream` in the body does nothing."""
    response = api.post(APP, {**question("你好"), "stream": True})
    assert response.headers["content-type"] == "application/json"
    assert sorted(response.json()) == ["output", "request_id", "usage"]


def test_framing(emulator: Emulator, api: BailianApi) -> None:
    """A stream is framed byte for byte as captured."""
    emulator.reply("Hello", chunks=["Hel", "lo"])
    response = api.post(TEXT, prompt("hi", incremental_output=True), sse=True)
    request_id = response.headers["x-request-id"]
    details = '"prompt_tokens_details":{"cached_tokens":0}'

    def frame(number: int, content: str, reason: str, spent: int) -> str:
        message = f'{{"content":"{content}","role":"assistant"}}'
        return (
            f"id:{number}\nevent:result\n:HTTP_STATUS/200\n"
            f'data:{{"output":{{"choices":[{{"message":{message},"finish_reason":"{reason}"}}]}},'
            f'"usage":{{"total_tokens":{spent + 1},"output_tokens":{spent},"input_tokens":1,{details}}},'
            f'"request_id":"{request_id}"}}\n\n'
        )

    assert response.text == frame(1, "Hel", "null", 1) + frame(2, "lo", "null", 2) + frame(3, "", "stop", 2)
    assert response.headers["content-type"] == "text/event-stream;charset=UTF-8"
    assert response.headers["x-dashscope-timeout"] == "180"


def test_no_blank_lines(emulator: Emulator, api: BailianApi) -> None:
    """The switch leaves out the lines between events, and nothing else."""
    emulator.wire(blank_lines=False)
    text = api.post(APP, question("你好"), sse=True).text
    assert "\n\n" not in text
    assert read(text)[-1][1]["output"]["finish_reason"] == "stop"


def test_gzip(emulator: Emulator, api: BailianApi) -> None:
    """A stream is compressed for a client that takes it, and only for that one."""
    emulator.wire(gzip=True)
    for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
        response = api.post(APP, question("你好"), sse=True, headers={"Accept-Encoding": accepted})
        assert response.headers.get("content-encoding") == encoding
        assert read(response.text)[-1][1]["output"]["finish_reason"] == "stop"


def test_gzip_does_not_wait(emulator: Emulator, api: BailianApi) -> None:
    """Each compressed event can be read when it was sent: here the second one never comes."""
    emulator.wire(gzip=True)
    emulator.fail("stall", after=1)
    headers = {"X-DashScope-SSE": "enable", "Accept-Encoding": "gzip"}
    with api.http.stream("POST", APP, json=question("你好"), headers=headers) as response:
        assert "id:1\n" in next(response.iter_text())


def test_torn_characters(emulator: Emulator, api: BailianApi) -> None:
    """Written byte by byte, a stream says the same."""
    emulator.wire(split_utf8=1)
    emulator.reply("西湖")
    assert [event["output"]["text"] for event in api.events(APP, question("你好"))] == ["西湖", "西湖"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidParameter"),
        (401, "InvalidApiKey"),
        (403, "AccessDenied"),
        (404, "NotFound"),
        (408, "RequestTimeOut"),
        (429, "Throttling.RateQuota"),
        (500, "InternalError"),
        (503, "ModelUnavailable"),
    ],
)
@pytest.mark.parametrize("path", [APP, TEXT])
def test_scripted_errors(emulator: Emulator, api: BailianApi, path: str, status: int, code: str) -> None:
    """A status brings its usual code, in either way an error can come."""
    body = question("你好") if path == APP else prompt()
    emulator.fail("status", status=status, retry_after=2)
    response = api.post(path, body, sse=True)
    assert refusal(response)[:2] == (status, code)
    assert response.headers["retry-after"] == "2"
    emulator.fail("error_event", status=status)
    [(fields, data)] = read(api.post(path, body, sse=True).text)
    assert fields == {"id": "1", "event": "error", "status": str(status)}
    assert sorted(data) == ["code", "message", "request_id"]
    assert data["code"] == code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Arrearage", 400),
        ("DataInspectionFailed", 400),
        ("Throttling.AllocationQuota", 429),
        ("CommodityNotPurchased", 429),
        ("AppProcessFailed", 500),
    ],
)
def test_errors_by_code(emulator: Emulator, api: BailianApi, code: str, status: int) -> None:
    """A code brings its documented status."""
    emulator.fail("status", code=code)
    assert refusal(api.post(APP, question("你好")))[:2] == (status, code)


def test_an_error_under_200(emulator: Emulator, api: BailianApi) -> None:
    """A business failure may come as JSON under HTTP 200."""
    emulator.fail("status", status=200, code="BailianGateway.Workspace.NotAuthorised")
    assert refusal(api.post(APP, question("你好")))[:2] == (200, "BailianGateway.Workspace.NotAuthorised")


def test_an_error_in_mid_stream(emulator: Emulator, api: BailianApi) -> None:
    """After some events an error ends the stream, its status in the comment."""
    emulator.reply("一二三", chunks=3)
    emulator.fail("error_event", status=429, after=2)
    response = api.post(APP, question("你好", parameters={"incremental_output": True}), sse=True)
    first, second, (fields, data) = read(response.text)
    assert response.status_code == 200
    assert [first[1]["output"]["text"], second[1]["output"]["text"]] == ["一", "二"]
    assert fields == {"id": "3", "event": "error", "status": "429"}
    assert data["code"] == "Throttling.RateQuota"


def test_refused_in_the_stream(emulator: Emulator, api: BailianApi) -> None:
    """A switch makes every refusal of a stream an error event under HTTP 200."""
    emulator.bailian.refuses_in_stream = True
    response = api.post("/api/v1/apps/nobody/completion", question("你好"), sse=True)
    [(fields, data)] = read(response.text)
    assert (response.status_code, fields["status"], data["code"]) == (200, "403", "App.AccessDenied")
    assert api.post("/api/v1/apps/nobody/completion", question("你好")).status_code == 403


@pytest.mark.parametrize("kind", ["cut", "silent_end"])
def test_truncated_streams(emulator: Emulator, api: BailianApi, kind: str) -> None:
    """A stream may end without its last event, cleanly or not."""
    emulator.reply("一二三", chunks=3)
    emulator.fail(kind, after=2)  # type: ignore[arg-type]
    received = ""
    try:
        with api.http.stream("POST", APP, json=question("你好"), headers={"X-DashScope-SSE": "enable"}) as response:
            for text in response.iter_text():
                received += text
    except httpx.RemoteProtocolError:
        assert kind == "cut"
    else:
        assert kind == "silent_end"
    assert [data["output"]["finish_reason"] for _, data in read(received)] == ["null", "null"]


def test_pages_and_dropped_connections(emulator: Emulator, api: BailianApi) -> None:
    """A proxy's page, or nothing at all, may come instead of an answer."""
    emulator.fail("html")
    page = api.post(TEXT, prompt())
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html;charset=UTF-8")
    emulator.fail("drop")
    with pytest.raises(httpx.TransportError):
        api.post(TEXT, prompt())
    assert emulator.bailian.prompts == []


def test_faults_asked_for_in_words(api: BailianApi) -> None:
    """An emulator in another process fails when the user says so."""
    for path, body in ((APP, question("/fail status status=429")), (TEXT, prompt("/fail status status=429"))):
        assert refusal(api.post(path, body))[:2] == (429, "Throttling.RateQuota")


def test_prompts(emulator: Emulator, api: BailianApi) -> None:
    """The bodies that were answered are kept, refused ones are not."""
    api.good(APP, question("你好"))
    api.post("/api/v1/apps/nobody/completion", question("你好"))
    api.good(TEXT, prompt("在吗"))
    assert emulator.bailian.prompts == [question("你好"), prompt("在吗")]


def test_compatible_errors(emulator: Emulator, api: BailianApi) -> None:
    """The compatible path wraps its errors as OpenAI does."""
    emulator.fail("status", status=429)
    response = api.post(COMPATIBLE, {"model": "qwen-plus", "messages": [{"role": "user", "content": "你好"}]})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (429, "Throttling.RateQuota", None)
