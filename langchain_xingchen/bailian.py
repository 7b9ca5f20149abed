"""`ChatBailian`: a model on Bailian (百炼), such as qwen, as a LangChain chat model."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import model_validator

from langchain_xingchen import _citations  # noqa: F401  registers the translator of content_blocks
from langchain_xingchen import _structured as structured
from langchain_xingchen._base import MODEL_CONFIG, XingchenChatModel
from langchain_xingchen._model_messages import to_model_messages
from xingchen_core import Call, ChatDelta, ChatReply, Flow, StreamCall, bailian
from xingchen_core.bailian import BailianSettings, ModelParameters, ModelRequest
from xingchen_core.bailian.model_parameters import thinks
from xingchen_core.chat import parameters_of

if TYPE_CHECKING:  # named in annotations only: not loaded before it is used
    from langchain_core.tools import BaseTool

    Tool = dict[str, Any] | type | Callable[..., Any] | BaseTool


class ChatBailian(XingchenChatModel, ModelParameters, BailianSettings):
    """A model on Bailian (百炼, Model Studio): qwen, qwen-vl, qwen-*-character, deepseek, …

    ```python
    from langchain_xingchen import ChatBailian

    model = ChatBailian(model="qwen-plus")  # key from DASHSCOPE_API_KEY
    for chunk in model.stream("杭州有什么好玩的？"):
        print(chunk.text, end="", flush=True)
    ```

    The fields are those of `ModelParameters` (what is asked) and `BailianSettings` (how); each of the former may also
    be given per call: `model.invoke("你好", model="qwen3-max", enable_thinking=True)`. No call changes the model.

    Messages may hold images, videos and audio, as LangChain's blocks or OpenAI's; a list of URLs as `video` is taken
    for frames. Files are refused. An `AIMessage` at the end with `additional_kwargs={"partial": True}` is the beginning
    of the answer: the model writes on, and only what it adds comes back.

    What a model thought is in `content_blocks` and `additional_kwargs["reasoning_content"]`; of earlier answers it is
    sent again only to models that want it. A model that thinks can only be streamed: `invoke` then gathers a stream.

    `response_metadata` holds `model_name`, `finish_reason`, `request_id`, and where they were asked for `search_info`
    (the sources of a web search; with `search_options={"enable_source": True, "enable_citation": True}` the marks in
    the text become citations in `content_blocks`), `logprobs`, `tool_info`, `plugins`.

    `profile` tells what the model can do: from a table shipped with the package, `None` for a model it does not know.
    Give your own to override it.

    Raises:
        ConfigurationError: No key, or a request that the service is certain to refuse; nothing is sent.
        AuthenticationError, RateLimitError, ContextOverflowError, ContentFilterError, ...: See `xingchen_core`; each is
            an instance of langchain-core's `ModelError` tree too, and carries `partial_text` if a stream broke.

    Source: Model Studio, "Qwen API by DashScope": `POST /api/v1/services/aigc/text-generation/generation` and
    `…/multimodal-generation/generation`.
    """

    model_config = MODEL_CONFIG

    provider: ClassVar[str] = "bailian"

    @property
    def model_name(self) -> str:
        """The same as `model`."""
        return self.model

    @property
    def _llm_type(self) -> str:
        return "bailian-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        asked = self.model_dump(include=set(ModelParameters.model_fields), exclude_defaults=True)
        return {"model": self.model, **asked}

    def _model_of(self, kwargs: dict[str, Any]) -> str:
        return kwargs.get("model") or kwargs.get("model_name") or self.model

    def _resolve_model_profile(self) -> ModelProfile | None:
        return _profile(self.model)

    @model_validator(mode="after")
    def _keep_no_other_profile(self) -> Self:
        self.__dict__["profile"] = self._current_profile()
        return self

    def _current_profile(self) -> ModelProfile | None:
        """Return the profile. Copies and `configurable_fields` bring along what the table says of another model."""
        found = self.profile
        if found and (name := found.get("name")) not in (None, self.model) and found == _profile(str(name)):
            return _profile(self.model)
        return found

    def _has_plain(self, kwargs: dict[str, Any]) -> bool:
        asked: ModelParameters = self
        if not kwargs.keys().isdisjoint(("model", "model_name", "enable_thinking")):
            thinking = kwargs.get("enable_thinking", self.enable_thinking)
            asked = ModelParameters.model_construct(model=self._model_of(kwargs), enable_thinking=thinking)
        return not bailian.only_streams(asked)

    def _chat(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> Flow[Call[ChatReply]]:
        yield from ()
        return bailian.generate(self._request(messages, stop, **kwargs), self.workspace_id)

    def _stream_chat(
        self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any
    ) -> Flow[StreamCall[ChatDelta]]:
        yield from ()
        return bailian.stream_generate(self._request(messages, stop, **kwargs), self.workspace_id)

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, **kwargs: Any) -> ModelRequest:
        kwargs.pop("stream", None)  # LangChain's own switch
        if "model_name" in kwargs:
            kwargs["model"] = kwargs.pop("model_name")
        if stop is not None:
            kwargs["stop"] = stop
        fields = parameters_of(self, ModelParameters) | kwargs
        if (tools := fields.get("tools")) is not None:
            fields["tools"] = [convert_to_openai_tool(tool) for tool in tools]
            fields["tool_choice"] = _tool_choice(fields.get("tool_choice"), fields["tools"])
        return ModelRequest(**fields, messages=to_model_messages(messages))

    def bind_tools(
        self,
        tools: "Sequence[Tool]",
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call functions.

        Args:
            tools: What LangChain takes for a tool: functions, `BaseTool`s, pydantic classes, OpenAI's or Anthropic's
                dicts. A dict of another kind is sent as it is.
            tool_choice: `auto` (the service's default), `none`, the name of the one function to call, OpenAI's dict, or
                `any` (also `required`, `True`) for some function. A model that thinks cannot be forced: pass
                `enable_thinking=False` with it.
            parallel_tool_calls: Allow several calls in one answer. The service's default is one.
            strict: Put into each function as OpenAI has it. That the service heeds it there is not documented.
            kwargs: Bound to each call.

        Raises:
            ValueError: `tool_choice` names none of the tools.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if (choice := _tool_choice(tool_choice, formatted)) is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=formatted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        include_raw: bool = False,
        method: structured.Method | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Make the model answer in a structure.

        Args:
            schema: A pydantic class, a `TypedDict` class, a JSON schema or an OpenAI function. `json_mode` works
                without one.
            include_raw: Return `{"raw": message, "parsed": ..., "parsing_error": ...}` and raise no error of parsing.
            method: `None` chooses `json_schema` for models that are known for it, else `function_calling`.

                * `function_calling`: the model must call a function with the schema's arguments. The service refuses to
                  force a model that thinks, so thinking is off for these calls if it was on, asked for or by default.
                * `json_schema`: the service holds the answer to the schema. Documented for the series qwen3.7-plus,
                  qwen3.7-max and qwen3.8-max; for an unknown model it is tried. The documents disagree on whether it
                  goes together with thinking (UNVERIFIED), and so of `json_mode`.
                * `json_mode`: the answer is some JSON. The prompt must say which, and hold the word "json".
            strict: With `json_schema` whether the service holds the answer to it strictly, as it does by default; with
                `function_calling` see `bind_tools`.
            kwargs: None are known.

        Returns:
            Gives an instance of the class, or a dict for a schema that is no pydantic class.

        Raises:
            ValueError: Unknown arguments, or a schema is missing.
            UnsupportedOperationError: The model is known not to take the method, or always thinks (qwq, qvq,
                qwen3-…-thinking) and so cannot be forced to call a function.
            OutputParserException: From the calls: the answer cannot be read, because it was cut short, for example.
        """
        if kwargs:
            raise ValueError(f"Received unsupported arguments {', '.join(kwargs)}")
        known = {**bailian.profile(self.model), **(self._current_profile() or {})}
        chosen = structured.choose_method(method, self.model, known)
        if schema is None and chosen != "json_mode":
            raise ValueError(f"method={chosen!r} needs a schema; only 'json_mode' works without one.")
        told: dict[str, Any] = {
            "ls_structured_output_format": {"kwargs": {"method": chosen, "strict": strict}, "schema": schema}
        }
        if chosen == "function_calling":
            if thinks(self):
                told["enable_thinking"] = False
            choice = structured.tool_name(schema)
            model = self.bind_tools([cast("Tool", schema)], tool_choice=choice, strict=strict, **told)
        else:
            model = self.bind(response_format=structured.response_format(schema, chosen, strict), **told)
        parser = structured.parser_of(schema, chosen)
        return structured.with_raw(model, parser) if include_raw else model | parser


def _profile(model: str) -> ModelProfile | None:
    """Return what langchain-core wants to know of a model; our table knows more."""
    if not (known := bailian.profile(model)):
        return None
    told = {"name": model, **known}
    return cast("ModelProfile", {name: told[name] for name in ModelProfile.__annotations__ if name in told})


def _tool_choice(choice: Mapping[str, Any] | str | bool | None, tools: Sequence[dict[str, Any]]) -> str | None:
    """Return LangChain's `tool_choice` as the core's: `auto`, `none`, `required` or a name.

    Raises:
        ValueError: It names none of the tools.
    """
    if isinstance(choice, Mapping):
        choice = choice.get("function", choice).get("name") or choice.get("type")
    if choice in (None, False):
        return None
    if choice in ("any", "required", True):
        return "required"
    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    if choice not in ("auto", "none", *names):
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names)}")
    return str(choice)
