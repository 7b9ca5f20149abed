"""The shapes all calls of the service share: one kind of object, one kind of call, one kind of page."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from xingchen_core._call import Call, Page
from xingchen_core.characters._service import XINGCHEN

T = TypeVar("T")

LARGEST_PAGE = 50
"""The service's limit on `pageSize`."""


class WireModel(BaseModel):
    """An object of the service: snake_case here, camelCase on the wire."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        defer_build=True,  # most programs use few of them, and all would pay when they start
    )

    def wire(self) -> dict[str, Any]:
        """Return the members that are set, under the service's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Record(WireModel):
    """An object read from the service. Members not known here are kept, and written back with the rest."""

    model_config = ConfigDict(extra="allow")


def given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None: the service wants absent, not null."""
    return {name: value for name, value in members.items() if value is not None}


def post(
    path: str, route: str, body: dict[str, Any], parse: Callable[[Any], T], *, remembered: bool = False, **more: Any
) -> Call[T]:
    """Describe a call by POST; `route` is its `x-fag-servicename`, `parse` reads the answer's `data`."""
    return Call(
        service=XINGCHEN,
        path=f"/v2/api/{path}",
        headers={"x-fag-servicename": route},
        json=body,
        remembered=remembered,
        parse=lambda answer: parse(answer["data"]),
        **more,
    )


def get(path: str, route: str, query: Mapping[str, str], parse: Callable[[Any], T]) -> Call[T]:
    """Describe a call by GET."""
    return Call(
        service=XINGCHEN,
        method="GET",
        path=f"/v2/api/{path}",
        headers={"x-fag-servicename": route},
        query=query,
        parse=lambda answer: parse(answer["data"]),
    )


def page_of(read: Callable[[Any], T]) -> Callable[[Any], Page[T]]:
    """Return a parser of pages whose items `read` reads. The request says `pageNum`, the answer `page`."""

    def parse(data: dict[str, Any]) -> Page[T]:
        return Page(
            tuple(read(item) for item in data.get("list") or ()),
            number=data.get("page") or 1,
            size=data.get("pageSize") or None,
            total=data.get("total"),
        )

    return parse


def _read_time(value: Any) -> Any:
    """Times come as integer milliseconds (one SDK) or as ISO text (another)."""
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value / 1000, UTC)
    return value


def milliseconds(time: datetime | int) -> int:
    """Return a time as the service filters by it. A naive one is local time, as everywhere in Python."""
    return time if isinstance(time, int) else round(time.timestamp() * 1000)


def _with_zone(time: datetime) -> datetime:
    """Take a time without a zone as UTC (UNVERIFIED: the documented ones have one). It must compare with the others."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


Time = Annotated[datetime, BeforeValidator(_read_time), AfterValidator(_with_zone)]
