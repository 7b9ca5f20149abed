"""Tools on what the platform keeps: find characters; read, continue and rate a conversation."""

from typing import Any, Literal, Self

from langchain_core.runnables import RunnableConfig
from pydantic import BaseModel, Field, model_validator

from langchain_xingchen._base import MODEL_CONFIG
from langchain_xingchen._flow_tools import FlowTool, Schema, ServiceTool
from langchain_xingchen._history_messages import to_message
from xingchen_core import ConfigurationError, Flow, characters
from xingchen_core.characters import HistoryMessage, XingchenSettings
from xingchen_core.characters.conversation import whole_history
from xingchen_core.characters.management import Scope


class XingchenTool(ServiceTool, XingchenSettings):
    """What the tools have in common."""

    model_config = MODEL_CONFIG


def connection(settings: XingchenSettings) -> dict[str, Any]:
    """Return how an object reaches the service, for another to reach it in the same way."""
    return {name: value for name in XingchenSettings.model_fields if (value := getattr(settings, name)) is not None}


class _CallTool(FlowTool, XingchenTool):
    """A tool that is described once, as a flow."""


class Search(BaseModel):
    """What the search is called with."""

    name: str | None = Field(default=None, description="Part of the character's name; leave out for all.")
    scope: Literal["my", "public", "pre_configured"] = Field(
        default="my", description="Own characters, everybody's public ones, or the platform's."
    )
    limit: int = Field(default=10, ge=1, le=50, description="How many at most.")


class XingchenSearchTool(_CallTool):
    """Finds characters by name. The artifact is a list of their records, as plain data."""

    name: str = "search_characters"
    description: str = "Find characters by name. Returns the name, the id and the introduction of each."
    args_schema: Schema = Search

    def _flow(
        self, config: RunnableConfig, name: str | None = None, scope: Scope = "my", limit: int = 10
    ) -> Flow[tuple[str, list[dict[str, Any]]]]:
        found = yield characters.search(name=name, scope=scope, page_size=limit)
        lines = [
            f"{record.name} (id {record.character_id})" + (f": {record.introduction}" if record.introduction else "")
            for record in found.items
        ]
        return "\n".join(lines) or "No character was found.", [record.wire() for record in found.items]


class _ConversationTool(_CallTool):
    """A tool on the conversation of one character and one user."""

    character_id: str = Field(min_length=1)
    user_id: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if self.user_id is None and self.user_id_from is None:
            raise ConfigurationError("This tool needs user_id, or user_id_from: whose conversation is it?")
        return self


class Reading(BaseModel):
    """What reading the conversation is called with."""

    limit: int = Field(default=20, ge=1, le=50, description="How many of the newest messages.")


class XingchenHistoryTool(_ConversationTool):
    """Reads the conversation that the platform keeps. The artifact is a list of messages."""

    name: str = "read_conversation"
    description: str = "Read the newest messages between the user and the character, oldest first, with their ids."
    args_schema: Schema = Reading

    def _flow(self, config: RunnableConfig, limit: int = 20) -> Flow[tuple[str, list[Any]]]:
        user_id = self._user_of(config) or ""
        rows = yield from whole_history(self.character_id, user_id, limit=limit)
        text = "\n".join(map(_line, rows)) or "They have not talked yet."
        return text, [to_message(row, self.character_id, user_id) for row in rows]


def _line(row: HistoryMessage) -> str:
    time = f"{row.gmt_create:%Y-%m-%d %H:%M} UTC " if row.gmt_create else ""
    name = (row.message_issuer and row.message_issuer.user_name) or ("user" if row.is_user else "character")
    return f"{time}{name}: {row.content} (message id {row.message_id})"


class Reminder(BaseModel):
    """What sending a reminder is called with."""

    content: str = Field(min_length=1, description="What the character says, in its own words and manner.")


class XingchenReminderTool(_ConversationTool):
    """Lets the character speak first: writes a message of its own into the conversation that the platform keeps."""

    name: str = "send_reminder"
    description: str = "Let the character say something to the user by itself, such as a greeting or a reminder."
    args_schema: Schema = Reminder

    def _flow(self, config: RunnableConfig, content: str) -> Flow[tuple[str, dict[str, Any]]]:
        user_id = self._user_of(config) or ""
        sent = yield characters.remind(self.character_id, user_id, content)
        return ("Sent." if sent else "Not sent."), {"sent": sent}


class Rating(BaseModel):
    """What rating is called with."""

    message_id: str = Field(
        min_length=1, description="Id of the character's message, as reading the conversation tells it."
    )
    rating: int = Field(ge=-1, le=5, description="From 1, bad, to 5, good. The service also takes -1 and 0.")
    reason: str | None = Field(default=None, description="Why, for a bad mark.")


class XingchenRatingTool(_ConversationTool):
    """Rates a message of the character."""

    name: str = "rate_answer"
    description: str = "Rate a message of the character."
    args_schema: Schema = Rating

    def _flow(
        self, config: RunnableConfig, message_id: str, rating: int, reason: str | None = None
    ) -> Flow[tuple[str, dict[str, Any]]]:
        rated = yield characters.rate(message_id, rating, reason)
        return ("Rated." if rated else "Not rated."), {"rated": rated}
