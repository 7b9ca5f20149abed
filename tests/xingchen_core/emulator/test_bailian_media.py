"""The emulated models of Bailian by plain HTTP: paths, media, caches and web search."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_api import MEDIA, TEXT, BailianApi, prompt, refusal, refused, user
from xingchen_core.emulator import Emulator

STREAM = {"incremental_output": True}
PICTURE = {"image": "https://example.com/1.png"}


@pytest.fixture
def api(emulator: Emulator) -> Iterator[BailianApi]:
    """Plain HTTP to the emulator."""
    client = BailianApi(emulator.url)
    with client.http:
        yield client


def test_wrong_path(api: BailianApi) -> None:
    """The two paths serve different models, and other paths nothing."""
    words = ["InvalidParameter", "url error, please check url！"]
    assert refused(api, model="qwen-vl-plus") == words
    assert refused(api, model="qwen3.7-plus") == words
    assert refused(api, user({"text": "你好"}), path=MEDIA, model="qwen-plus") == words
    assert refused(api, path="/api/v1/services/aigc/text-generation/generate") == words


def test_multimodal_content(emulator: Emulator, api: BailianApi) -> None:
    """By the multimodal path content is a list, empty while there is no text."""
    emulator.reply("猫")
    assert api.complete(user({"text": "?"}), MEDIA, "qwen-vl-plus")["message"]["content"] == [{"text": "猫"}]
    emulator.reply("猫", thoughts="嗯")
    messages = [
        each["message"] for each in api.stream(user({"text": "?"}), MEDIA, "qwen3-vl-plus", enable_thinking=True)
    ]
    assert [each["content"] for each in messages] == [[], [{"text": "猫"}], []]
    assert [each.get("reasoning_content") for each in messages] == ["嗯", None, None]


def test_media(api: BailianApi) -> None:
    """The answer counts pictures, videos and sounds, and so does the usage."""
    parts = (PICTURE, PICTURE, {"video": ["https://example.com/1.png"] * 4}, {"audio": "data:audio/wav;base64,AA=="})
    body = api.good(MEDIA, prompt(user(*parts, {"text": "有什么"}), "qwen-omni-turbo"))
    assert "2张图片、1段视频、1段音频" in body["output"]["choices"][0]["message"]["content"][0]["text"]
    usage = body["usage"]
    assert (usage["image_tokens"], usage["video_tokens"], usage["audio_tokens"]) == (512, 256, 256)
    assert usage["input_tokens_details"]["image_tokens"] == 512
    assert usage["input_tokens"] == 1024 + usage["input_tokens_details"]["text_tokens"]


@pytest.mark.parametrize(
    "part", [{"type": "text"}, {"type": "image_url", "image_url": {"url": "x"}}, {"image": ""}, "你好"]
)
def test_parts_of_another_protocol(api: BailianApi, part: Any) -> None:
    """Parts are keyed by what they are, not by a type."""
    assert refused(api, user(part), path=MEDIA, model="qwen-vl-plus")[0] == "InvalidParameter"


def test_temporary_files(api: BailianApi) -> None:
    """A temporary file's URL is understood with its header only."""
    body = prompt(user({"image": "oss://x/1.png"}), "qwen-vl-plus")
    assert refusal(api.post(MEDIA, body))[:2] == (400, "InvalidURL")
    assert api.post(MEDIA, body, headers={"X-DashScope-OssResourceResolve": "enable"}).status_code == 200


def test_arrays_on_the_text_path(api: BailianApi) -> None:
    """The text path takes strings, and arrays only to mark what is to be cached."""
    assert refused(api, user({"text": "你好"})) == ["InvalidParameter", "input content must be a string."]
    api.complete(user({"text": "你好", "cache_control": {"type": "ephemeral"}}))


def test_caches(emulator: Emulator, api: BailianApi) -> None:
    """What is marked is written once and read afterwards; implicit hits are a knob."""
    marked = user({"type": "text", "text": "你好你好", "cache_control": {"type": "ephemeral"}})
    first, second = (api.good(TEXT, prompt(marked))["usage"]["prompt_tokens_details"] for _ in range(2))
    assert first["cache_creation_input_tokens"] == 4
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": 4}
    assert second == {"cached_tokens": 4}
    emulator.bailian.cached_texts.clear()
    emulator.bailian.cache_beside_details = True
    usage = api.good(TEXT, prompt(marked))["usage"]
    assert (usage["cache_type"], usage["prompt_tokens_details"]) == ("ephemeral", {"cached_tokens": 0})
    emulator.bailian.cached_tokens = 3
    assert api.good(TEXT, prompt())["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}


def test_search(api: BailianApi) -> None:
    """Sources come with the answer, cited in the format asked for, and the search is billed."""
    options = {"enable_source": True, "enable_citation": True, "citation_format": "[ref_<number>]"}
    body = api.good(TEXT, prompt("西湖", enable_search=True, search_options=options))
    [source] = body["output"]["search_info"]["search_results"]
    assert source == {"index": 1, "title": "西湖的资料", "url": "https://example.com/1", "site_name": "无", "icon": ""}
    assert body["output"]["choices"][0]["message"]["content"].endswith("[ref_1]")
    assert body["usage"]["plugins"] == {"search": {"count": 1, "strategy": "turbo"}}


def test_search_streamed(emulator: Emulator, api: BailianApi) -> None:
    """Sources come first, with no text and no usage; the lists of later events are empty."""
    emulator.reply("好[1]", references=["甲", {"title": "乙", "url": "https://example.com/b"}])
    options = {"enable_source": True, "prepend_search_result": True}
    events = api.events(TEXT, prompt(enable_search=True, search_options=options, **STREAM))
    assert events[0]["usage"] == {}
    assert events[0]["output"]["choices"][0]["message"]["content"] == ""
    lists = [event["output"]["search_info"]["search_results"] for event in events]
    assert [each["title"] for each in lists[0]] == ["甲", "乙"]
    assert lists[1:] == [[]] * (len(events) - 1)


def test_search_without_sources(api: BailianApi) -> None:
    """Sources that nobody asked for do not come."""
    assert "search_info" not in api.good(TEXT, prompt(enable_search=True))["output"]
