"""The rooms of platform history: what each user and character have said to each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.xingchen_errors import not_found

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Xingchen


@dataclass
class Message:
    """A row of the history."""

    message_id: str
    content: str
    message_type: str
    session_id: str
    chat_id: str
    gmt_create: int
    rating: int | None = None
    regenerate_times: int = 0
    unseen_reads: int = 0

    @property
    def by_character(self) -> bool:
        """The character said it: opening lines and reminders too."""
        return self.message_type != "user"

    def as_prompt(self) -> dict[str, Any]:
        """The row as a chat message."""
        return {"role": "assistant" if self.by_character else "user", "content": self.content}


@dataclass
class Exchange:
    """A question and its alternative answers; the history has the chosen one."""

    query: Message
    answers: list[Message] = field(default_factory=list)
    chosen: Message | None = None


@dataclass
class Picture:
    """A picture being made for an answer. No URLs: it will fail."""

    task_id: str
    user_id: str
    urls: tuple[str, ...]
    polls: int = 0


class Room:
    """All that one user and one character have said to each other. `number` is the chatRoomId."""

    def __init__(self, xingchen: "Xingchen", account: str, character_id: str, user_id: str, user_name: str) -> None:
        self.xingchen = xingchen
        self.account = account
        self.character_id = character_id
        self.user_id = user_id
        self.user_name = user_name
        self.number = xingchen.count("room")
        self.session_id = xingchen.new_id("session")
        self.messages: list[Message] = []
        self.exchanges: list[Exchange] = []

    def write(self, content: str, message_type: str, chat_id: str | None = None) -> Message:
        """Appends a message to the running session; without a chat id it is an exchange of its own."""
        message = self._new(content, message_type, chat_id or self.xingchen.new_id("chat"))
        self.messages.append(message)
        return message

    def _new(self, content: str, message_type: str, chat_id: str) -> Message:
        return Message(
            message_id=self.xingchen.new_id("message"),
            content=content,
            message_type=message_type,
            session_id=self.session_id,
            chat_id=chat_id,
            gmt_create=self.xingchen.now(),
            unseen_reads=self.xingchen.history_lag,
        )

    def ask(self, messages: Sequence[Mapping[str, Any]]) -> Exchange:
        """Keeps the user's newest words, and only them: what came before is the caller's own copy."""
        said = [str(message.get("content", "")) for message in messages if message.get("role") == "user"]
        exchange = Exchange(self.write(said[-1] if said else "", "user"))
        self.exchanges.append(exchange)
        return exchange

    def answer(self, exchange: Exchange, contents: Sequence[str], *, regenerated: bool) -> Message:
        """Adds answers to an exchange and chooses the first of them."""
        new = [self._new(content, "character", exchange.query.chat_id) for content in contents]
        exchange.answers += new
        if regenerated:
            exchange.query.regenerate_times += 1
        for message in new:
            message.regenerate_times = exchange.query.regenerate_times
        self._show(exchange, new[0])
        return new[0]

    def _show(self, exchange: Exchange, answer: Message) -> None:
        if exchange.chosen is None:
            self.messages.append(answer)
        else:
            self.messages[self.messages.index(exchange.chosen)] = answer
        exchange.chosen = answer

    def choose(self, answer_id: str) -> None:
        """Makes an alternative answer the one that counts."""
        for exchange in self.exchanges:
            for answer in exchange.answers:
                if answer.message_id == answer_id:
                    self._show(exchange, answer)
                    return
        raise not_found(f"answerId {answer_id}")

    def exchange_of(self, query_id: str) -> Exchange:
        """The exchange that began with this question."""
        for exchange in self.exchanges:
            if exchange.query.message_id == query_id:
                return exchange
        raise not_found(f"queryId {query_id}")

    def prompt(self, rounds: int, before: Exchange | None) -> list[dict[str, Any]]:
        """The running conversation as messages, at most so many rounds of it."""
        messages = [message for message in self.messages if message.session_id == self.session_id]
        if before and before.query in messages:
            messages = messages[: messages.index(before.query)]
        return [message.as_prompt() for message in (messages[-2 * rounds :] if rounds else [])]

    def add_rows(self, rows: Iterable[str | Mapping[str, Any]]) -> list[str]:
        """Test data: see `Xingchen.add_messages`."""
        ids = []
        for row in rows:
            given: Mapping[str, Any] = {"content": row} if isinstance(row, str) else row
            last = self.messages[-1] if self.messages else None
            usual = "character" if last and not last.by_character else "user"
            message_type = given.get("messageType", usual)
            same_exchange = message_type == "character" and last is not None and not last.by_character
            chat_id = given.get("chatId") or (last.chat_id if last and same_exchange else None)
            message = self.write(given["content"], message_type, chat_id)
            message.message_id = given.get("messageId", message.message_id)
            message.gmt_create = given.get("gmtCreate", message.gmt_create)
            message.rating = given.get("rating")
            if message_type == "user":
                self.exchanges.append(Exchange(message))
            elif same_exchange and self.exchanges:
                self.exchanges[-1].answers.append(message)
                self.exchanges[-1].chosen = message
            ids.append(message.message_id)
        return ids

    def row(self, message: Message) -> dict[str, Any]:
        """A message as the history query lists it."""
        if message.by_character:
            name = self.xingchen.characters.name_of(self.character_id)
            issuer = {"userId": self.character_id, "bizUserId": "", "userName": name, "userType": "character"}
        else:
            issuer = {
                "userId": f"platform-{self.user_id}",
                "bizUserId": self.user_id,
                "userName": self.user_name,
                "userType": "user",
            }
        row = {
            "content": message.content,
            "messageType": message.message_type,
            "messageId": message.message_id,
            "messageIssuer": issuer,
            "sessionId": message.session_id,
            "chatId": message.chat_id,
            "gmtCreate": message.gmt_create,
            "isGreeting": message.message_type == "opening_remarks",
            "regenerateTimes": message.regenerate_times,
        }
        if self.xingchen.history_without_times:
            del row["gmtCreate"]
        return row if message.rating is None else {**row, "rating": message.rating}


class Rooms:
    """The rooms of all accounts, and the pictures made in them."""

    def __init__(self, xingchen: "Xingchen") -> None:
        self._xingchen = xingchen
        self._rooms: dict[tuple[str, str, str], Room] = {}
        self.pictures: dict[str, Picture] = {}

    def open(self, account: str, character_id: str, user_id: str, user_name: str | None = None) -> Room:
        """The room of a pair; a new one begins with the character's opening line."""
        key = (account, character_id, user_id)
        if key not in self._rooms:
            room = self._rooms[key] = Room(self._xingchen, account, character_id, user_id, user_name or user_id)
            opening_line = self._xingchen.characters.latest(character_id).get("openingLine")
            if opening_line:
                room.write(opening_line, "opening_remarks")
        room = self._rooms[key]
        room.user_name = user_name or room.user_name
        return room

    def find(self, account: str, character_id: str, user_id: str) -> Room | None:
        """The room of a pair, if they have met."""
        return self._rooms.get((account, character_id, user_id))

    def of(self, account: str) -> list[Room]:
        """All rooms of an account."""
        return [room for room in self._rooms.values() if room.account == account]

    def paint(self, answer: Message, user_id: str, urls: Sequence[str]) -> None:
        """Begins the picture of an answer."""
        self.pictures[answer.message_id] = Picture(self._xingchen.new_id("picture"), user_id, tuple(urls))
