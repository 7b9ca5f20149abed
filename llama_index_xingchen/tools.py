"""`XingchenToolSpec`: what an agent can do with characters."""

from typing import Annotated, ClassVar

from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE
from pydantic import Field
from pydantic_core import to_json

from llama_index_xingchen._tool_specs import DocumentedToolSpec
from xingchen_core import ConfigurationError, Flow, Message
from xingchen_core.characters import ChatRequest, HistoryMessage, XingchenSettings, chat, fresh_user_id, remind, search
from xingchen_core.characters.conversation import whole_history
from xingchen_core.characters.management import CharacterRecord, Scope

LARGEST_SEARCH = 50
LARGEST_HISTORY = 200
"""An agent that asks for more gets this many: what it reads it pays for."""

Question = Annotated[str, "What to say, in the words and the language the character should hear."]
CharacterId = Annotated[str | None, "Id of the character, from search_characters. Leave it out for the usual one."]
Name = Annotated[str | None, "Part of the character's name. Leave it out to list all."]
Found = Annotated[int, "How many to return at most, 1 to 50."]
Newest = Annotated[int, "How many of the newest messages to return, 1 to 200."]
Saying = Annotated[str, "What the character says to the user, in the character's own words."]


class XingchenToolSpec(XingchenSettings, DocumentedToolSpec):
    """Tools for agents: talk to Xingchen characters, find them, read a conversation, write into it.

    ```python
    from llama_index.core.agent.workflow import FunctionAgent
    from llama_index_xingchen import XingchenToolSpec

    tools = XingchenToolSpec(character_id="...", user_id="u1").to_tool_list()
    agent = FunctionAgent(llm=llm, tools=tools)  # any model that can call functions
    ```

    Who the user is, is never the agent's choice.

    Attributes:
        character_id: The usual character. Not given: the agent has to name one.
        user_id: Your id of the end user; `read_history` and `send_reminder` need it. Not given: each question is a
            stranger's.
        user_name: What the character calls the user.
        platform_history: Let the character remember what it was asked; needs `user_id`.
        scope: Whose characters `search_characters` finds: `my` own, all `public` ones, or the `pre_configured` ones.

    Raises:
        ConfigurationError: No key at construction; in a tool, no character or no user.
        APIStatusError, APIConnectionError, ...: See `xingchen_core`. Agents hand the text of an error to their model.

    Source: Xingchen HTTP API, `POST /v2/api/chat/send`, `/v2/api/character/search`,
    `/v2/api/chat/message/histories`, `/v2/api/chat/reminder`.
    """

    spec_functions: ClassVar[list[SPEC_FUNCTION_TYPE]] = [  # type: ignore[misc]  # a constant of the class there too
        ("ask_character", "aask_character"),
        ("search_characters", "asearch_characters"),
        ("read_history", "aread_history"),
        ("send_reminder", "asend_reminder"),
    ]

    character_id: str | None = None
    user_id: str | None = Field(default=None, min_length=1)
    user_name: str | None = None
    platform_history: bool = False
    scope: Scope = "my"

    def ask_character(self, message: Question, character_id: CharacterId = None) -> str:
        """Say something to a character and return its answer. It knows nothing of the conversation you are in."""
        return self.client().run(self._ask(message, character_id))

    async def aask_character(self, message: Question, character_id: CharacterId = None) -> str:
        """As `ask_character`."""
        return await self.async_client().run(self._ask(message, character_id))

    def search_characters(self, name: Name = None, limit: Found = 10) -> str:
        """Find characters to talk to: a JSON array of their ids, names and introductions."""
        return self.client().run(self._search(name, limit))

    async def asearch_characters(self, name: Name = None, limit: Found = 10) -> str:
        """As `search_characters`."""
        return await self.async_client().run(self._search(name, limit))

    def read_history(self, limit: Newest = 20, character_id: CharacterId = None) -> str:
        """Read what the user and a character have said to each other: a JSON array, oldest first."""
        return self.client().run(self._history(limit, character_id))

    async def aread_history(self, limit: Newest = 20, character_id: CharacterId = None) -> str:
        """As `read_history`."""
        return await self.async_client().run(self._history(limit, character_id))

    def send_reminder(self, text: Saying, character_id: CharacterId = None) -> str:
        """Let a character say something to the user of its own accord. It becomes part of their conversation."""
        return self.client().run(self._remind(text, character_id))

    async def asend_reminder(self, text: Saying, character_id: CharacterId = None) -> str:
        """As `send_reminder`."""
        return await self.async_client().run(self._remind(text, character_id))

    def _ask(self, message: str, character_id: str | None) -> Flow[str]:
        if self.platform_history:
            self._user()
        request = ChatRequest(
            character_id=self._character(character_id),
            user_id=self.user_id or fresh_user_id(),
            user_name=self.user_name,
            platform_history=self.platform_history,
            messages=[Message(role="user", content=message)],
        )
        reply = yield chat(request)
        text: str = reply.answers[0].text
        return text

    def _search(self, name: str | None, limit: int) -> Flow[str]:
        size = min(max(limit, 1), LARGEST_SEARCH)
        page = yield search(name=name or None, scope=self.scope, page_size=size)
        return _json([_character(found) for found in page.items])

    def _history(self, limit: int, character_id: str | None) -> Flow[str]:
        size = min(max(limit, 1), LARGEST_HISTORY)
        rows = yield from whole_history(self._character(character_id), self._user(), limit=size)
        return _json([_said(row) for row in rows])

    def _remind(self, text: str, character_id: str | None) -> Flow[str]:
        yield remind(self._character(character_id), self._user(), text)
        return "Said."

    def _character(self, character_id: str | None) -> str:
        if chosen := character_id or self.character_id:
            return chosen
        raise ConfigurationError("Name the character: pass character_id. search_characters finds ids.")

    def _user(self) -> str:
        if self.user_id:
            return self.user_id
        raise ConfigurationError("There is no user: make XingchenToolSpec with user_id=... to use this tool.")


def _character(found: CharacterRecord) -> dict[str, str]:
    told = {"character_id": found.character_id, "name": found.name, "introduction": found.introduction}
    return {name: value for name, value in told.items() if value}


def _said(row: HistoryMessage) -> dict[str, str]:
    told = {"speaker": "user" if row.is_user else "character", "text": row.content}
    return told if row.gmt_create is None else {**told, "time": row.gmt_create.isoformat(timespec="seconds")}


def _json(found: list[dict[str, str]]) -> str:
    """Return a list as text: LlamaIndex shows its model an empty list as nothing at all."""
    return to_json(found).decode()
