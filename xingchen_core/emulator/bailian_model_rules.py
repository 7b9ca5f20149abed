"""What depends on the name of a model: its path, its defaults, whether it thinks."""

import re
from collections.abc import Mapping
from typing import Any

from xingchen_core.emulator.bailian_errors import Refusal, invalid

_FAMILIES = r"(qwen|qwq|qvq|deepseek|glm|kimi|minimax|llama|baichuan|yi|farui|gui|tongyi)[a-z0-9.\-]*"
_MULTIMODAL = r"-vl|^qvq|omni|audio|ocr|^qwen3\.7-plus|^qwen3\.8-max"
_EITHER_PATH = r"^qwen3\.[56]-plus"  # UNVERIFIED: where these two live
_OPEN_QWEN3 = r"^qwen3-(vl-)?\d+(\.\d+)?b(-a\d+b)?$"
_HYBRID_QWEN = r"^qwen-(plus|turbo|flash)(?!-character)|^qwen3-max|^qwen3-vl-(plus|flash)|^qwen3\.\d"
_ALWAYS_THINKING = r"^qwq|^qvq|^deepseek-r1|-thinking"
_ONLY_STREAMS = r"^qwq|^qvq|^qwen.*-thinking"
_NEW_DEFAULTS = r"^qwen3-max|^qwen3-vl|^qwq|^qvq|" + _OPEN_QWEN3


def known_model(model: Any) -> str:
    """The model's name; refuses one that no family of models has."""
    if not isinstance(model, str) or not model:
        raise invalid('Required parameter "model" missing or invalid.')
    if not re.fullmatch(_FAMILIES, model):
        raise Refusal("ModelNotFound")
    return model


def lives_at(model: str, *, multimodal: bool) -> bool:
    """Whether this native path serves the model."""
    return bool(re.search(_EITHER_PATH, model)) or bool(re.search(_MULTIMODAL, model)) is multimodal


def with_defaults(model: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with the defaults that differ from model to model."""
    new = bool(re.search(_NEW_DEFAULTS, model))
    message = new or bool(re.search(r"^qwen-long|" + _MULTIMODAL, model)) or not model.startswith("qwen")
    return {"result_format": "message" if message else "text", "incremental_output": new, **parameters}


def thinks(model: str, given: Mapping[str, Any], *, streaming: bool) -> bool:
    """Whether the model thinks before this answer; refuses what its kind cannot do."""
    asked = given.get("enable_thinking")
    if re.search(_ALWAYS_THINKING, model):
        if asked is False:
            raise invalid("The value of the enable_thinking parameter is restricted to True.")
        if re.search(_ONLY_STREAMS, model) and not streaming:
            raise invalid(
                "This model only support stream mode, please enable the stream parameter to access the model. "
            )
        return True
    qwen, open_qwen = model.startswith("qwen"), bool(re.search(_OPEN_QWEN3, model))
    if qwen and not open_qwen and not re.search(_HYBRID_QWEN, model):
        if asked:
            message = f"The model {model} does not support enable_thinking."
            raise Refusal("InvalidParameter.NotSupportEnableThinking", message)
        return False
    thinking = open_qwen if asked is None else bool(asked)
    if thinking and qwen and not streaming:
        raise invalid("parameter.enable_thinking must be set to false for non-streaming calls")
    if thinking and qwen and given.get("incremental_output") is False:
        raise invalid("This model only support incremental_output set to True.")
    return thinking


def check_several_answers(model: str, count: Any, *, thinking: bool) -> None:
    """`n`: one to four, and more than one from few models."""
    if not isinstance(count, int) or not 1 <= count <= 4:
        raise invalid("Range of n should be [1, 4]")
    if count > 1 and (thinking or not model.startswith("qwen")):
        raise invalid("Value error, n must be 1 for this model.")
