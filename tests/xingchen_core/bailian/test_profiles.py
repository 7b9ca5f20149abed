"""The table of models."""

import json
from pathlib import Path

import pytest
from langchain_core.language_models import ModelProfile

import xingchen_core.bailian
from xingchen_core.bailian import profile

TABLE = json.loads((Path(xingchen_core.bailian.__file__).parent / "profiles.json").read_text("utf-8"))
OURS = {"context_window", "only_streams", "thinks", "endpoint", "character", "tool_stream", "preserve_thinking"}


def test_the_longest_name_wins() -> None:
    """A dated name is its family's; a longer entry is none of a shorter one's business."""
    assert profile("qwen-plus-2025-07-28") == TABLE["models"]["qwen-plus"]
    assert profile("qwen-plus-character") == TABLE["models"]["qwen-plus-character"]
    assert profile("qwen-plus-character")["max_input_tokens"] == 32000
    assert profile("qwen-plus-character-ja")["max_input_tokens"] == 8000
    assert "thinks" not in profile("qwen3-30b-a3b-instruct-2507")


def test_an_unknown_model_has_no_profile() -> None:
    """Nothing is guessed."""
    assert profile("nobody-knows") == {}


def test_a_profile_is_the_callers_own() -> None:
    """Changing it changes no table."""
    profile("qwen-plus")["tool_calling"] = False
    assert profile("qwen-plus")["tool_calling"] is True


@pytest.mark.parametrize("model", TABLE["models"])
def test_every_member_means_something(model: str) -> None:
    """Members are langchain-core's or ours; the sizes are possible."""
    known = profile(model)
    assert known.keys() - OURS <= ModelProfile.__annotations__.keys()
    assert known.get("endpoint", "text") in ("text", "multimodal")
    assert known.get("max_output_tokens", 1) > 0
    assert known.get("max_input_tokens", 0) <= known.get("context_window", 0)


def test_the_documented_facts() -> None:
    """What the vendor's pages say: who takes a JSON schema, who only streams, who is served on which path."""
    models = TABLE["models"]
    assert {name for name, known in models.items() if known["structured_output"]} == {
        "qwen3.7-plus",
        "qwen3.7-max",
        "qwen3.8-max",
    }
    assert models["qwq"]["only_streams"]
    assert models["qvq"]["only_streams"]
    assert models["qwen3-8b"]["thinks"]
    assert "thinks" not in models["qwen-plus"]
    assert models["qwen3.8-max"]["endpoint"] == models["qwen3.7-plus"]["endpoint"] == "multimodal"
    assert TABLE["date"]
    assert TABLE["source"]
