"""Xingchen as tools of an agent: ask a character, find characters, read and continue the conversation they keep."""

import re
from typing import Any, Self

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import BaseModel, Field, PrivateAttr, model_validator

from langchain_xingchen._base import MODEL_CONFIG
from langchain_xingchen._flow_tools import Schema, UserIdFrom
from langchain_xingchen._platform_tools import (
    XingchenHistoryTool,
    XingchenRatingTool,
    XingchenReminderTool,
    XingchenSearchTool,
    XingchenTool,
    connection,
)
from langchain_xingchen.chat_models import ChatXingchen
from xingchen_core import ConfigurationError, characters
from xingchen_core.characters import CharacterParameters, CharacterRecord, XingchenSettings
from xingchen_core.characters.models import WHO


class Question(BaseModel):
    """What a tool for one character is called with."""

    question: str = Field(min_length=1, description="What to say to the character, complete in itself.")


class QuestionForCharacter(Question):
    """What a tool for any character is called with."""

    character_id: str = Field(min_length=1, description="Id of the character, as the search tells it.")


class XingchenCharacterTool(XingchenTool, CharacterParameters):
    """Lets an agent ask a character. The content is the answer, the artifact the whole `AIMessage`.

    ```python
    tool = XingchenCharacterTool.from_character("...", user_id="u1")  # named and described by the character's record
    create_agent("...", tools=[tool])
    ```

    The fields are those of `ChatXingchen`; without character the agent names one in each call. The agent never chooses
    the user: each call is a stranger's unless `user_id` is given, or `user_id_from` reads it from the config of the run
    (one tool for many users). With `platform_history=True` the character remembers that user from call to call.

    Errors are raised as they are. With `handle_tool_error=True` the agent's model gets their text instead.
    """

    model_config = MODEL_CONFIG

    name: str = "ask_character"
    description: str = "Ask a character and get its answer, in its own words and manner."
    args_schema: Schema = Question

    _chat: ChatXingchen | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if self.platform_history and self.user_id is None and self.user_id_from is None:
            raise ConfigurationError("platform_history=True needs user_id, or user_id_from: whose conversation is it?")
        if all(getattr(self, who) is None for who in WHO) and "args_schema" not in self.model_fields_set:
            self.__dict__["args_schema"] = QuestionForCharacter
        return self

    @classmethod
    def from_character(
        cls, character_id: str, *, name: str | None = None, description: str | None = None, **fields: Any
    ) -> Self:
        """Make a tool that is named and described by what the platform knows of the character.

        Args:
            character_id: The stored character.
            name: In place of `ask_` and the character's name, or its id if the name has other than ASCII letters.
            description: In place of the character's introduction.
            fields: The other fields of the class.

        Raises:
            NotFoundError: There is no such character.
        """
        tool = cls(character_id=character_id, **fields)
        record = tool.client().send(characters.details(character_id, tool.version))
        return tool._described(record, name, description)

    @classmethod
    async def afrom_character(
        cls, character_id: str, *, name: str | None = None, description: str | None = None, **fields: Any
    ) -> Self:
        """As `from_character`."""
        tool = cls(character_id=character_id, **fields)
        record = await tool.async_client().send(characters.details(character_id, tool.version))
        return tool._described(record, name, description)

    def _described(self, record: CharacterRecord, name: str | None, description: str | None) -> Self:
        self.name = name or _tool_name(record.name or "", self.character_id or "")
        about = f" ({record.introduction})" if record.introduction else ""
        self.description = description or f"Ask the character {record.name}{about} and get its answer, in its manner."
        return self

    def _run(self, question: str, *, config: RunnableConfig, **named: str) -> tuple[str, AIMessage]:
        with self._tool_errors():
            return _answered(self._model().invoke(question, config, **{**self._fields(config), **named}))

    async def _arun(self, question: str, *, config: RunnableConfig, **named: str) -> tuple[str, AIMessage]:
        with self._tool_errors():
            return _answered(await self._model().ainvoke(question, config, **{**self._fields(config), **named}))

    def _model(self) -> ChatXingchen:
        """Return a model with this tool's connection: its calls are traced as a model's."""
        if self._chat is None:
            self._chat = ChatXingchen(**connection(self))
        return self._chat

    def _fields(self, config: RunnableConfig) -> dict[str, Any]:
        given = self.model_fields_set.intersection(CharacterParameters.model_fields)
        return {**{name: getattr(self, name) for name in given}, "user_id": self._user_of(config)}

    def close(self) -> None:
        """Give back the HTTP clients."""
        super().close()
        if self._chat is not None:
            self._chat.close()

    async def aclose(self) -> None:
        """As `close`, those of the running loop too."""
        await super().aclose()
        if self._chat is not None:
            await self._chat.aclose()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._chat = None
        return copied


def _answered(answer: AIMessage) -> tuple[str, AIMessage]:
    return str(answer.text), answer


def _tool_name(name: str, character_id: str) -> str:
    """Return a name that model providers accept: ASCII letters, digits, `_` and `-`, at most 64."""
    plain = re.sub(r"\W+", "_", name.strip()).strip("_")
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"ask_{plain if plain.isascii() and plain else character_id}")[:64]


class XingchenToolkit(BaseToolkit, XingchenSettings):
    """Tools for an agent that works with characters.

    | given | tools |
    | --- | --- |
    | nothing | `search_characters`, `ask_character` (which names the character) |
    | `character_id` | `search_characters`, `ask_character` |
    | `character_id`, `user_id` or `user_id_from` | also `read_conversation`, `send_reminder`, `rate_answer` |

    With a user the character remembers that user: the platform keeps the conversation.

    Attributes:
        character_id: The stored character.
        user_id: Your id of the user. The agent never chooses it.
        user_id_from: Reads it from the config of each run instead, to serve many users.
        handle_tool_error: Tell the agent's model of errors instead of raising them.
    """

    model_config = MODEL_CONFIG

    character_id: str | None = Field(default=None, min_length=1)
    user_id: str | None = Field(default=None, min_length=1)
    user_id_from: UserIdFrom | None = Field(default=None, exclude=True, repr=False)
    handle_tool_error: bool = False

    def get_tools(self) -> list[BaseTool]:
        """Return new tools; each reaches the service as this toolkit does."""
        common: dict[str, Any] = {**connection(self), "handle_tool_error": self.handle_tool_error}
        whose: dict[str, Any] = {"user_id": self.user_id, "user_id_from": self.user_id_from}
        has_user = any(whose.values())
        ask = XingchenCharacterTool(character_id=self.character_id, platform_history=has_user, **whose, **common)
        tools: list[BaseTool] = [XingchenSearchTool(**common), ask]
        if self.character_id and has_user:
            kinds = (XingchenHistoryTool, XingchenReminderTool, XingchenRatingTool)
            tools += [kind(character_id=self.character_id, **whose, **common) for kind in kinds]
        return tools
