"""What shapes a request to a model on Bailian.

Source: Model Studio, "Qwen API by DashScope" (`parameters`), "structured output", "deep thinking". Ranges are checked
where the documents agree on them; the rest is the service's to judge, since it differs by model.
"""

import logging
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian.model_messages import ModelMessage, check_sequence
from xingchen_core.bailian.profiles import profile

logger = logging.getLogger("xingchen_core")

DEFAULT_MODEL = "qwen-plus"

Endpoint = Literal["auto", "text", "multimodal", "compatible"]


def _stop(value: Any) -> Any:
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, (list, tuple)) and len({type(one) for one in value}) > 1:
        raise ValueError("stop takes texts or token ids, not both in one list")
    return value


class ModelParameters(BaseModel):
    """Everything that shapes a request to a model, apart from the messages. `None` leaves it to the service.

    Attributes:
        model: As the console names it: `qwen-plus` (the default), `qwen3-max`, `qwen-vl-max`, `deepseek-v3.2`, …
        endpoint: Which API serves the model. `auto`: `compatible` where one of several tools must be called, else
            `multimodal` if a message holds media or the model is known to be served there, else `text`. `compatible`:
            the OpenAI-compatible one, which knows `tool_choice="required"` but returns no search results and no
            `tool_info`.
        temperature: 0 to below 2.
        top_p: Above 0, at most 1.
        top_k: At least 0; above 100 it is off.
        max_tokens: Length of the answer without the thinking, in tokens. Being retired by the vendor.
        max_completion_tokens: Length of thinking and answer together, in tokens; newer models.
        seed: For answers that repeat. Its range differs by endpoint.
        stop: Texts, or token ids, at which the service ends the answer; not both.
        n: Number of answers, 1 to 4: not in streams, not with tools; few models.
        repetition_penalty: Above 0; 1 is none.
        presence_penalty: -2 to 2.
        logprobs, top_logprobs: Log probabilities, of 0 to 5 alternatives too; few models.
        logit_bias: Token id to -100 (never) … 100; character models.
        tools: Functions in OpenAI's form.
        tool_choice: `auto`, `none`, a function's name, OpenAI's object, or `required` (also said `any`), which the
            native endpoints take with a single tool only (see `endpoint`). Not with thinking.
        parallel_tool_calls: Allow several calls in one answer. The service's default is one.
        tool_stream: Send arguments that are arrays or objects in pieces too. `None`: on for models that need it.
        enable_thinking: Think first. The service's default is on for open Qwen3 models, off for commercial ones.
        thinking_budget: At most so many tokens of thinking.
        reasoning_effort: `low`, `medium`, `high`, …, by model.
        preserve_thinking: Send the thoughts of earlier answers back. `None`: for models that want it.
        response_format: `{"type": "json_object"}` (a message must then hold the word "json"), or `json_schema`.
        enable_search: Web search. `False` is sent too.
        search_options: `enable_source`, `enable_citation`, `citation_format`, `forced_search`, `search_strategy`, …
        enable_code_interpreter: Let the model run code; `tool_info` in the metadata tells what ran.
        vl_high_resolution_images: Look at pictures at full resolution.
        data_inspection: Moderation by the vendor's content safety of input and answer; or its own setting as a dict.
        incremental_output: Ask streams for new text only. The results are the same; the other way moves more bytes.
        model_kwargs: Merged into the request's `parameters` object, for what is not known here yet.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,
    )

    model: str = Field(default=DEFAULT_MODEL, min_length=1, validation_alias=AliasChoices("model", "model_name"))
    endpoint: Endpoint = "auto"
    temperature: float | None = Field(default=None, ge=0, lt=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: Annotated[list[str] | list[int] | list[list[int]] | None, BeforeValidator(_stop)] = None
    n: int = Field(default=1, ge=1, le=4)
    repetition_penalty: float | None = Field(default=None, gt=0)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=5)
    logit_bias: dict[str | int, Annotated[int | float, Field(ge=-100, le=100)]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    tool_stream: bool | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    preserve_thinking: bool | None = None
    response_format: dict[str, Any] | None = None
    enable_search: bool | None = None
    search_options: dict[str, Any] | None = None
    enable_code_interpreter: bool | None = None
    vl_high_resolution_images: bool | None = None
    data_inspection: bool | dict[str, str] | None = None
    incremental_output: bool = True
    model_kwargs: dict[str, Any] = Field(default_factory=dict)


def thinks(asked: ModelParameters) -> bool:
    """Whether the model thinks before it answers: as asked, else as it does by default."""
    return bool(profile(asked.model).get("thinks") if asked.enable_thinking is None else asked.enable_thinking)


class ModelRequest(ModelParameters):
    """One request to a model.

    Attributes:
        messages: Oldest first.
    """

    messages: list[ModelMessage]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        check_sequence(self.messages, may_end_with_answer=bool(profile(self.model).get("character")))
        if self.tools and self.n > 1:
            raise UnsupportedOperationError("With tools the service gives one answer: use n=1.")
        if thinks(self) and self.tools and self.tool_choice not in (None, "auto", "none"):
            raise ConfigurationError(
                "A model that thinks cannot be forced to call a function: pass enable_thinking=False, or "
                "tool_choice='auto'."
            )
        if (self.response_format or {}).get("type") == "json_object":
            self._check_json_mode()
        return self

    def _check_json_mode(self) -> None:
        if not any("json" in message.text.lower() for message in self.messages):
            raise ConfigurationError(
                'response_format={"type": "json_object"} needs the word "json" in a message: say there that the answer '
                "is to be JSON."
            )
        if thinks(self):  # the vendor's pages differ: one refuses it, one uses it; so it is sent (UNVERIFIED)
            logger.warning("JSON mode while thinking: the service may refuse it, or answer with what is no JSON.")


_SENT = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "stop",
    "repetition_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "enable_thinking",
    "thinking_budget",
    "reasoning_effort",
    "preserve_thinking",
    "response_format",
    "enable_search",
    "search_options",
    "enable_code_interpreter",
    "vl_high_resolution_images",
)


def wire_parameters(request: ModelRequest, *, native: bool) -> dict[str, Any]:
    """Return the parameters that all endpoints know by the same name.

    Raises:
        UnsupportedOperationError: A native endpoint cannot be told to call one of several functions.
    """
    parameters = {name: value for name in _SENT if (value := getattr(request, name)) is not None}
    if not request.stop:  # frameworks that have nothing to stop at give an empty list
        parameters.pop("stop", None)
    if request.n > 1:
        parameters["n"] = request.n
    if request.tools:
        parameters["tools"] = request.tools
        if (choice := _tool_choice(request, native=native)) is not None:
            parameters["tool_choice"] = choice
        if request.parallel_tool_calls is not None:
            parameters["parallel_tool_calls"] = request.parallel_tool_calls
        tool_stream = (
            request.tool_stream if request.tool_stream is not None else profile(request.model).get("tool_stream")
        )
        if tool_stream is not None:
            parameters["tool_stream"] = tool_stream
    return parameters


_SOME_TOOL = ("required", "any")


def needs_required(request: ModelRequest) -> bool:
    """Whether one of several tools must be called, whichever: what the native endpoints cannot be told."""
    return request.tool_choice in _SOME_TOOL and len(request.tools or ()) > 1


def _tool_choice(request: ModelRequest, *, native: bool) -> Any:
    choice = request.tool_choice
    if choice in (None, "auto", "none") or isinstance(choice, dict):
        return choice
    if choice not in _SOME_TOOL:
        return {"type": "function", "function": {"name": choice}}
    if not native:
        return "required"
    if needs_required(request):
        raise UnsupportedOperationError(
            f"tool_choice={choice!r} with several tools is known to the OpenAI-compatible endpoint only: pass "
            "endpoint='auto' or 'compatible', name one function, or bind a single tool."
        )
    names = [tool["function"]["name"] for tool in request.tools or ()]
    return {"type": "function", "function": {"name": names[0]}}


def preserves_thinking(request: ModelRequest) -> bool:
    """Whether the thoughts of earlier answers go back to the model."""
    if request.preserve_thinking is not None:
        return request.preserve_thinking
    return bool(profile(request.model).get("preserve_thinking"))
