"""What the emulator was told to say next: replies and faults, first in, first out."""

import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

FaultKind = Literal["status", "html", "drop", "cut", "stall", "silent_end", "error_event"]

INSTEAD_OF_ANSWER: frozenset[FaultKind] = frozenset({"status", "html", "drop"})
"""Faults that take the place of an answer. The others happen inside one."""


@dataclass(frozen=True)
class Reply:
    """One scripted answer; a service uses what it has a field for."""

    text: str
    pieces: tuple[str, ...] | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    thoughts: Any = None
    references: Sequence[Any] | None = None
    images: tuple[str, ...] | None = None
    meta: Mapping[str, Any] | None = None
    alternatives: tuple[str, ...] = ()
    finish_reason: str = "stop"
    service: str | None = None

    def __post_init__(self) -> None:
        """Refuses what no service could make an answer of: the caller learns it, not the client under test."""
        if not (self.thoughts is None or isinstance(self.thoughts, str) or _all_are(self.thoughts, Mapping)):
            raise TypeError(
                "thoughts is a text (the reasoning), or a list of objects (whole entries of an application's thoughts, "
                f"such as {{'action_type': 'reasoning', 'thought': '...'}}); got {self.thoughts!r}"
            )
        if not (self.references is None or _all_are(self.references, Mapping, str)):
            raise TypeError(f"references is a list of titles or objects; got {self.references!r}")
        if not (_all_are(self.tool_calls, Mapping) and all("name" in called for called in self.tool_calls)):
            raise TypeError(f"tool_calls is a list of {{'name': ..., 'arguments': ...}}; got {self.tool_calls!r}")


def _all_are(items: Any, *kinds: type) -> bool:
    return isinstance(items, Sequence) and not isinstance(items, str) and all(isinstance(each, kinds) for each in items)


@dataclass(frozen=True)
class Fault:
    """One scripted failure."""

    kind: FaultKind
    status: int | None = None
    code: int | str | None = None
    message: str | None = None
    retry_after: float | None = None
    after: int = 0
    inside_event: bool = False
    service: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown fault {self.kind!r}; choose one of {', '.join(get_args(FaultKind))}")

    @property
    def instead_of_answer(self) -> bool:
        return self.kind in INSTEAD_OF_ANSWER


@dataclass(frozen=True)
class Turn:
    """What the script holds for one generation call; both empty when nothing was scripted."""

    reply: Reply | None = None
    fault: Fault | None = None


@dataclass
class _Entry:
    item: Reply | Fault
    times: int = 1


@dataclass
class Script:
    """The queues. Filled by the test's thread, emptied by the server's."""

    _generation: list[_Entry] = field(default_factory=list)
    _by_path: list[_Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, item: Reply | Fault, times: int = 1) -> None:
        with self._lock:
            by_path = isinstance(item, Fault) and item.path is not None
            (self._by_path if by_path else self._generation).append(_Entry(item, times))

    def take(self, service: str, path: str) -> Turn:
        """The script of one generation call.

        A fault inside an answer (`cut`, `stall`, `silent_end`, `error_event`) that was scripted directly after a reply
        spoils that reply; scripted alone it spoils a deterministic answer.
        """
        fault = self.take_for_path(service, path)
        with self._lock:
            mine = [entry for entry in self._generation if entry.item.service in (None, service)]
            if (fault is not None and fault.instead_of_answer) or not mine:
                return Turn(fault=fault)
            if isinstance(mine[0].item, Fault):
                return Turn(fault=fault or self._use(mine[0], self._generation))
            self._use(mine[0], self._generation)
            follower = mine[1].item if len(mine) > 1 else None
            if fault is None and isinstance(follower, Fault) and not follower.instead_of_answer:
                fault = self._use(mine[1], self._generation)
            return Turn(mine[0].item, fault)

    def take_for_path(self, service: str, path: str) -> Fault | None:
        """The fault scripted for requests to this path, if any."""
        with self._lock:
            for entry in self._by_path:
                wanted = entry.item
                if isinstance(wanted, Fault) and wanted.service in (None, service) and (wanted.path or "") in path:
                    return self._use(entry, self._by_path)
        return None

    def _use(self, entry: _Entry, queue: list[_Entry]) -> Fault | None:
        """Takes one use of the entry. A fault that still lets calls pass (`after`) counts one down instead."""
        item = entry.item
        if isinstance(item, Fault) and item.instead_of_answer and item.after > 0:
            entry.item = replace(item, after=item.after - 1)
            return None
        entry.times -= 1
        if entry.times <= 0:
            queue.remove(entry)
        return item if isinstance(item, Fault) else None


def magic_fault(text: str) -> Fault | None:
    """Reads `/fail status status=429 retry_after=1`: a fault asked for in the user's own text.

    For an emulator in another process, where `Emulator.fail` is out of reach.
    """
    if not text.startswith("/fail "):
        return None
    kind, *options = shlex.split(text.removeprefix("/fail "))
    values = dict(option.partition("=")[::2] for option in options)
    code = values.get("code")
    return Fault(
        kind,  # type: ignore[arg-type]  # any word: Fault itself refuses unknown kinds
        status=int(values["status"]) if "status" in values else None,
        code=int(code) if code and code.isdigit() else code,
        retry_after=float(values["retry_after"]) if "retry_after" in values else None,
        after=int(values.get("after", 0)),
        inside_event="inside_event" in values,
    )
