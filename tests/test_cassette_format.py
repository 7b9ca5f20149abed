"""Cassettes are readable, keep no secret, and play back what was recorded."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cassette_format import ORIGINS, ReadableSerializer, Scrubber, cassette_path, origin, recorder

ROOT = Path(__file__).parent.parent
CASSETTES = sorted((ROOT / "cassettes").rglob("*.yaml"))

REAL_HEX = "9f8e7d6c5b4a" + "39281706f5e4d3c2b1a0"
REAL_UUID = "7c9e6679-7425-40de-" + "944b-e07fc1f90ae7"
REAL_KEY = "sk-" + "q8Zt3LmW0x" * 3


def _interaction(**changes: Any) -> dict[str, Any]:
    return {
        "request": {
            "method": "POST",
            "uri": changes.get("uri", "https://nlp.aliyuncs.com/v2/api/chat/send"),
            "headers": {
                "Authorization": [f"Bearer {REAL_KEY}"],
                "Content-Type": ["application/json"],
                "User-Agent": ["python-httpx"],
                "x-fag-servicename": ["aca-chat-send"],
            },
            "body": changes.get("request", '{"input":{"messages":[{"role":"user","content":"你好"}]}}'),
        },
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {"Content-Type": ["application/json"], "Set-Cookie": ["acw=1"], "X-Request-Id": [REAL_UUID]},
            "body": {"string": changes.get("response", '{"success":true,"data":{"stop":true}}')},
        },
    }


def _written(*interactions: dict[str, Any], account: dict[str, str] | None = None) -> str:
    return ReadableSerializer(account or {}).serialize({"version": 1, "interactions": list(interactions)})


def test_json_is_structure_and_chinese_is_chinese() -> None:
    """A reader of the file sees YAML members and Chinese characters, not an escaped string."""
    text = _written(_interaction())
    assert "content: 你好" in text
    assert yaml.safe_load(text)["interactions"][0]["response"]["json"] == {"success": True, "data": {"stop": True}}


def test_a_stream_is_a_block_of_lines() -> None:
    """An SSE body is written line by line and read back to the very bytes."""
    stream = 'id:1\ndata:{"content":"你"}\n\nid:2\ndata:{"content":"好"}\n\n'
    text = _written(_interaction(response=stream))
    assert '      data:{"content":"你"}\n' in text
    played = ReadableSerializer({}).deserialize(text)["interactions"][0]["response"]
    assert played["body"]["string"] == stream.encode()


@pytest.mark.parametrize("body", ["data:x\r\n\r\n", "trailing \n", "", "plain", b"\xff\xfe\x00", "line\u2028separator"])
def test_any_other_body_survives(body: str | bytes) -> None:
    """CRLF, trailing blanks, no body at all and bytes that are no text come back as they were."""
    played = ReadableSerializer({}).deserialize(_written(_interaction(response=body)))["interactions"][0]["response"]
    assert played["body"]["string"] == (body if isinstance(body, bytes) else body.encode())


def test_few_headers_are_kept() -> None:
    """Authorization, cookies and the client's own headers are not written; those that route a request are."""
    interaction = yaml.safe_load(_written(_interaction()))["interactions"][0]
    assert interaction["request"]["headers"] == {
        "content-type": "application/json",
        "x-fag-servicename": "aca-chat-send",
    }
    assert interaction["response"]["headers"] == {
        "content-type": "application/json",
        "x-request-id": "00000000-0000-4000-8000-000000000001",
    }


def test_one_id_is_replaced_by_the_same_invented_one_everywhere() -> None:
    """A session id of one answer and of the next request stay equal, in JSON, in a stream and in a URL."""
    first = _interaction(response=json.dumps({"sessionId": REAL_HEX}))
    second = _interaction(
        uri=f"https://nlp.aliyuncs.com/v2/api/x?sessionId={REAL_HEX}",
        request=json.dumps({"sessionId": REAL_HEX}),
        response=f'data:{{"sessionId":"{REAL_HEX}"}}\n\n',
    )
    text = _written(first, second)
    assert REAL_HEX not in text
    assert text.count("00000000000000000000000000000001") == 4


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"userId":"13912345678"}', '{"userId":"1"}'),
        ('{"user_id":"wx_Ab3dE6"}', '{"user_id":"user-1"}'),
        ('{"chatRoomId":10001}', '{"chatRoomId":1}'),
        ('{"chatRoomId":7,"userId":"u1"}', '{"chatRoomId":7,"userId":"u1"}'),
        ('{"data":"{\\"sessionId\\":\\"Qx81-Zz\\"}"}', '{"data":"{\\"sessionId\\":\\"session-1\\"}"}'),
        ('{"AccessToken":"whatever"}', '{"AccessToken":"scrubbed"}'),
        ('{"inputTokens":12}', '{"inputTokens":12}'),
        (f"my key is {REAL_KEY}.", "my key is scrubbed."),
        ("?Action=Chat&Signature=a%3D&AccessKeyId=LT", "?Action=Chat&Signature=scrubbed&AccessKeyId=scrubbed"),
        ("/sse/paas4Json/tok/chan/sig/171", "/sse/paas4Json/token/channel/sign/0"),
        ("llm-real in /apps/real-app/completion", "llm-demo in /apps/app-demo/completion"),
        ("a real-app-like thing", "a real-app-like thing"),
    ],
)
def test_what_is_scrubbed(text: str, clean: str) -> None:
    """Keys, tokens, signatures and real ids are replaced, invented ids stay, and a second pass changes nothing."""
    scrub = Scrubber({"llm-real": "llm-demo", "real-app": "app-demo"})
    assert scrub(text) == clean
    assert Scrubber({})(clean) == clean


@pytest.mark.parametrize(
    ("host", "expected"), [("https://nlp.aliyuncs.com", "service"), ("http://127.0.0.1:1", "emulator")]
)
def test_a_recording_says_where_it_comes_from(host: str, expected: str) -> None:
    """What was recorded on this machine can never pass for an answer of the service."""
    document = yaml.safe_load(_written(_interaction(uri=f"{host}/v2/api/chat/send")))
    assert origin(document) == expected
    assert list(document) == ["origin", "source", "date", "interactions"]


def test_a_recording_plays(tmp_path: Path) -> None:
    """A call recorded through the real transport is played to the next client; another body is refused."""
    path = tmp_path / "test.yaml"
    text = _written(_interaction(request='{"userId":"u1"}', response='{"content":"你好"}'))
    path.write_text(text, encoding="utf-8")
    with recorder().use_cassette(str(path), record_mode="none") as cassette, httpx.Client() as client:
        url = "https://nlp.aliyuncs.com/v2/api/chat/send"
        response = client.post(url, json={"userId": "u1"}, headers={"authorization": "Bearer test-key"})
        assert response.json() == {"content": "你好"}
        assert cassette.all_played
        with pytest.raises(Exception, match="Can't overwrite existing cassette"):
            client.post(url, json={"userId": "u2"})


def test_recorded_once_played_for_ever(tmp_path: Path, xingchen_emulator: Any) -> None:
    """A call made while recording can be played when its server is gone, although its key and ids were replaced."""
    path = str(tmp_path / "new" / "test.yaml")
    url = f"{xingchen_emulator.url}/v2/api/character/details"
    headers = {"authorization": f"Bearer {REAL_KEY}", "x-fag-appcode": "aca"}
    headers["x-fag-servicename"] = "aca-character-details"
    account = {"demo": "0123456789abcdef0123456789abcdef", REAL_KEY: "test-key"}
    with recorder(account).use_cassette(path, record_mode="all"), httpx.Client() as client:
        recorded = client.get(url, params={"characterId": "demo"}, headers=headers)
    xingchen_emulator.close()

    with recorder().use_cassette(path, record_mode="none"), httpx.Client() as client:
        played = client.get(url, params={"characterId": account["demo"]}, headers={"authorization": "Bearer test-key"})
    assert recorded.json()["data"]["characterId"] == "demo"
    assert played.json()["data"]["characterId"] == account["demo"]
    assert played.json()["data"]["name"] == recorded.json()["data"]["name"]


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: path.relative_to(ROOT / "cassettes").as_posix())
def test_every_cassette_says_where_its_bytes_come_from(path: Path) -> None:
    """Each committed cassette begins with origin, source and date, and can be read."""
    text = path.read_text("utf-8")
    document = yaml.safe_load(text)
    assert list(document)[:3] == ["origin", "source", "date"]
    assert document["origin"] in ORIGINS
    assert ReadableSerializer({}).deserialize(text)["interactions"]


@pytest.mark.parametrize("missing", ["origin", "source", "date"])
def test_a_cassette_without_origin_is_not_played(missing: str) -> None:
    """A head that lacks a member is an error and not a guess."""
    document = yaml.safe_load(_written(_interaction()))
    del document[missing]
    with pytest.raises(ValueError, match="a cassette begins with origin"):
        ReadableSerializer({}).deserialize(yaml.safe_dump(document))


def test_where_cassettes_are() -> None:
    """tests/a/test_b.py::test_c plays cassettes/a/test_b/test_c.yaml."""
    expected = Path("r/cassettes/a/test_b/test_c.yaml")
    assert cassette_path(Path("r"), Path("r/tests/a/test_b.py"), "test_c") == expected
