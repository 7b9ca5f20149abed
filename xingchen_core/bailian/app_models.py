"""What a question to an application is made of. Source: Model Studio, "application API reference"."""

import logging
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from xingchen_core._errors import ConfigurationError, UnsupportedOperationError
from xingchen_core.chat import Message, join_roles

logger = logging.getLogger("xingchen_core")

FlowStreamMode = Literal["message_format", "message_format_plus", "full_thoughts", "agent_format"]

_SESSION_FILE = "file_session_"

_PASSED_TO_TOOLS = ("user_defined_tokens", "user_defined_params")

Several = Annotated[list[str], Field(min_length=1)]
SeveralValues = Annotated[list[str | int | float], Field(min_length=1)]


class RagOptions(BaseModel):
    """What an agent searches in its knowledge bases; sent as `parameters.rag_options`.

    Attributes:
        pipeline_ids: Knowledge bases, at most 5.
        file_ids: Documents, at most 5; needs the `pipeline_ids` they are in.
        tags: Tags of documents.
        metadata_filter: Metadata of documents by name: a text, or several of which one must fit. All names must fit.
            Needs `pipeline_ids`.
        structured_filter: Columns of a table by name: a text or number, or several of which one must fit.
        session_file_ids: Files of this conversation, at most 10, `file_session_...`, ready before they are used.

    Raises:
        ConfigurationError: A field needs another one, or is no id of its kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    pipeline_ids: list[str] | None = Field(default=None, max_length=5)
    file_ids: list[str] | None = Field(default=None, max_length=5)
    tags: list[str] | None = None
    metadata_filter: dict[str, str | Several] | None = None
    structured_filter: dict[str, str | int | float | SeveralValues] | None = None
    session_file_ids: list[str] | None = Field(default=None, max_length=10)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for name in ("file_ids", "metadata_filter"):
            if getattr(self, name) and not self.pipeline_ids:
                raise ConfigurationError(f"rag.{name} needs pipeline_ids: name the knowledge bases it is about.")
        if strange := [name for name in self.session_file_ids or () if not name.startswith(_SESSION_FILE)]:
            raise ConfigurationError(
                f"rag.session_file_ids are ids of session files, which begin with {_SESSION_FILE}: {strange[0]!r} is "
                "none. Documents of a knowledge base are file_ids."
            )
        return self

    def wire(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: value for name, value in self.model_dump().items() if value}


def _texts(value: str | list[str] | None) -> list[str] | None:
    return [value] if isinstance(value, str) else value


def _or_none(value: str | None) -> str | None:
    return value or None


def without_tokens(biz_params: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what may be shown of `biz_params`: not what is passed to tools, among it tokens and headers of users."""
    return {name: value for name, value in (biz_params or {}).items() if name not in _PASSED_TO_TOOLS} or None


class AppParameters(BaseModel):
    """Everything that shapes a question to an application, apart from the messages.

    The id alone decides whether it is an agent or a workflow; the service ignores what its kind does not know.

    Attributes:
        app_id: The application. It must be published.
        session_id: The conversation the service keeps, from an earlier answer. It forgets after an hour without
            questions, and after 50 turns. Empty is none.
        memory_id: The long-term memory of an agent. Empty is none.
        biz_params: Values for the application as plain data: a workflow's variables by name, or an agent's
            `user_prompt_params`, `user_defined_params`, `user_defined_tokens`. Not in `repr`; the latter two are in
            no dump either, since they hold tokens.
        rag: What an agent searches.
        has_thoughts: Return how the answer was found: searches, tools, reasoning.
        enable_thinking: Let a hybrid model think, or not. Implies `has_thoughts`: without it the thinking is paid
            and not shown.
        flow_stream_mode: What a workflow streams. Not given, streams ask for `message_format`: the text of the nodes
            that answer. `message_format_plus` tells of all nodes; `full_thoughts` too, as thoughts.
        image_urls, file_urls: Pictures (also `data:image/...;base64,...`) and files the application may look at.
        model: Another model than the agent's own.
        temperature, top_p, top_k, seed: Sampling. Sent, though the current reference does not list them.
        max_tokens: Accepted and not sent: an application is configured with its length.
        stop: The answer is cut before the first of these texts, by us: the service knows no stop.
        enable_web_search: Let an agent search the web, or not.
        enable_system_time: Tell the agent the time in Beijing; service default true.
        dialog_round: Earlier turns an agent is shown.
        mcp_servers: MCP servers for an agent (of the Java SDK only; UNVERIFIED).
        doc_reference_type: `simple` or `indexed`; old applications only. New ones have a switch in the console.
        doc_tag_codes: Tags for retrieval; old applications only.
        incremental_output: Ask streams for new text only. The results are the same; the other way moves more bytes.
        model_kwargs: Merged into the request's `parameters`, for what is not known here yet.
        extra_input: Merged into the request's `input`, likewise.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,
    )

    app_id: str | None = None
    session_id: Annotated[str | None, AfterValidator(_or_none)] = None
    memory_id: Annotated[str | None, AfterValidator(_or_none)] = None
    biz_params: Annotated[dict[str, Any] | None, PlainSerializer(without_tokens)] = Field(default=None, repr=False)
    rag: RagOptions | None = None
    has_thoughts: bool | None = None
    enable_thinking: bool | None = None
    flow_stream_mode: FlowStreamMode | None = None
    image_urls: list[str] | None = None
    file_urls: list[str] | None = None
    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: Annotated[str | list[str] | None, AfterValidator(_texts)] = None
    enable_web_search: bool | None = None
    enable_system_time: bool | None = None
    dialog_round: int | None = Field(default=None, ge=0)
    mcp_servers: list[str] | None = None
    doc_reference_type: Literal["simple", "indexed"] | None = None
    doc_tag_codes: list[str] | None = None
    incremental_output: bool = True
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    extra_input: dict[str, Any] = Field(default_factory=dict, repr=False)


class AppRequest(AppParameters):
    """One question to an application.

    Attributes:
        messages: Oldest first. With `session_id` only the newest turn of the user is sent, since the service keeps the
            rest; else all are. A workflow sees earlier ones only if its model node uses `historyList`.

    Raises:
        ConfigurationError: There is no `app_id`, or the last message is not the user's.
        UnsupportedOperationError: A message calls functions or holds a result: applications have tools of their own.
    """

    messages: list[Message]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self.app_id:
            raise ConfigurationError("Say which application answers: app_id='...', from the Bailian console.")
        if any(message.role == "function" or message.tool_calls for message in self.messages):
            raise UnsupportedOperationError(
                "An application takes no function calls or results in its messages: give it tools in the console, or "
                "use a model (bailian.models) for tools of your own."
            )
        if not self.messages or self.messages[-1].role != "user":
            raise ConfigurationError("The last message must be the user's: add one.")
        return self

    def said(self) -> dict[str, Any]:
        """Return the conversation as `prompt` or `messages`: with `messages` the service ignores prompt and session."""
        turns = join_roles(self.messages)
        if self.session_id:
            if any(message.role == "system" for message in turns):
                logger.warning("System messages are not sent with session_id: the service keeps the conversation.")
            return {"prompt": turns[-1].content}
        if len(turns) == 1:
            return {"prompt": turns[0].content}
        return {"messages": [{"role": message.role, "content": message.content} for message in turns]}
