"""What the package must know of a service before it can talk to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xingchen_core._errors import APIStatusError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Service:
    """Names, hosts and habits of one service. There is one object for each, so that it can be a key."""

    name: str
    """As it appears in errors, logs and traces: `xingchen`, `beebot`, `bailian`."""
    hosts: Mapping[str, str]
    """Public origin by region; the first is the home region."""
    key_variable: str = ""
    """Empty for a service without API keys."""
    base_url_variable: str
    read_timeout: float = 60.0
    stream_chunk_timeout: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    read_failure: Callable[[int, Any], APIStatusError | None]
    """(HTTP status, decoded body) -> the failure it reports, `None` for a success. HTTP 200 can be a failure."""
    advise: Callable[[APIStatusError, str], str] | None = None
    """(a refusal, the host that answered) -> what the caller can do about it, said after the service's own words."""

    @property
    def region(self) -> str:
        return next(iter(self.hosts))
