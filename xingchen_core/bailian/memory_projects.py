"""Projects of a memory library, and forgetting a user.

These calls are not in the public reference: they are those of the vendor's command-line client, and may change.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import APIStatusError, ConfigurationError, NotFoundError
from xingchen_core.bailian._openapi import segment
from xingchen_core.bailian.memory_nodes import deleted_by
from xingchen_core.bailian.memory_wire import (
    LONGEST_NAME,
    MEMORY,
    Record,
    account_call,
    call,
    check_length,
    checked_choice,
    checked_library,
    checked_user,
    nothing,
)


class MemoryProject(Record):
    """A project: how memories are extracted, and how long they are kept. A project cannot be deleted.

    Attributes:
        id: The service's.
        name: At most 32 characters.
        memory_type: `observation` or `skill`.
        plan_version: `pro` or `lite`; skills want `pro`.
        instruction_type: `default`, or `custom` with a `custom_instruction`.
        expired_in_days: 1 to 180 days, or -1: memories stay. The default project's expire after 180.
        auto_refresh, support_multi_modal, extract_scene: As the service names them.
    """

    id: str | None = Field(None, alias="project_id")
    name: str | None = None
    memory_type: str | None = None
    plan_version: str | None = None
    instruction_type: str | None = None
    custom_instruction: str | None = None
    expired_in_days: int | None = None
    auto_refresh: bool | None = None
    support_multi_modal: bool | None = None
    extract_scene: str | None = None

    def wire(self) -> dict[str, Any]:
        """Return what to send of it.

        Raises:
            ConfigurationError: The service refuses it.
        """
        if self.name is not None:
            check_length("name", self.name, LONGEST_NAME)
        checked_choice("memory_type", self.memory_type, "observation", "skill")
        checked_choice("plan_version", self.plan_version, "pro", "lite")
        if self.memory_type == "skill" and self.plan_version == "lite":
            raise ConfigurationError("A project of skills takes plan_version='pro' only.")
        if self.expired_in_days is not None and self.expired_in_days != -1 and not 1 <= self.expired_in_days <= 180:
            raise ConfigurationError(f"expired_in_days must be 1 to 180, or -1, got {self.expired_in_days}.")
        return self.model_dump(exclude_none=True, exclude={"id"})


def _read_project(answer: Mapping[str, Any], **more: Any) -> MemoryProject:
    """Read a project. Whether one comes wrapped is UNVERIFIED."""
    inner = answer.get("memory_project") or answer.get("project") or answer
    return MemoryProject.model_validate({**inner, **more})


def create_project(project: MemoryProject, *, library_id: str | None = None) -> Call[MemoryProject]:
    """Make a project: `POST /memory_projects`. With `expired_in_days=-1` its memories stay."""
    if project.name is None:
        raise ConfigurationError("A project needs a name.")
    body = {**project.wire(), "memory_library_id": checked_library(library_id)}
    return call("POST", "memory_projects", _read_project, body=body, remembered=True)


def list_projects(*, library_id: str | None = None, page: int = 1, page_size: int = 10) -> Call[Page[MemoryProject]]:
    """Read one page of projects: `GET /memory_projects`. The name of the list is UNVERIFIED."""
    query = {"page_num": page, "page_size": page_size, "memory_library_id": checked_library(library_id)}

    def parse(answer: Any) -> Page[MemoryProject]:
        entries = answer["memory_projects"] if "memory_projects" in answer else answer["projects"]
        return Page(tuple(map(_read_project, entries or ())), page, page_size, answer.get("total"))

    return call("GET", "memory_projects", parse, query=query)


def all_projects(*, library_id: str | None = None, page_size: int = 10) -> Listing[MemoryProject]:
    """List every project of a library, for a client's `iterate`."""
    return Listing(
        lambda number: list_projects(library_id=library_id, page=number, page_size=page_size),
        page_size,
        key=lambda project: project.id,
    )


def get_project(project_id: str) -> Call[MemoryProject]:
    """Read a project: `GET /memory_projects/{id}`."""
    path = f"memory_projects/{segment(project_id)}"
    return call("GET", path, lambda answer: _read_project(answer, id=project_id))


def update_project(project_id: str, project: MemoryProject) -> Call[None]:
    """Change what is set in `project`: `PATCH /memory_projects/{id}`."""
    return call("PATCH", f"memory_projects/{segment(project_id)}", nothing, body=project.wire())


def forget_user(user_id: str, *, library_id: str | None = None) -> Flow[bool]:
    """Delete all memories and profiles of a user: `DELETE /entities/user/{user_id}`.

    Returns whether there was anything; a repetition after an answer that was lost finds nothing. In this process the
    memories that were there until now stay deleted also for reads that lag.
    """
    checked_user(user_id)
    query = {"memory_library_id": checked_library(library_id)}

    def parse(account: str, answer: Any) -> bool:
        deleted_by(account).add_all(user_id, library_id)
        return not isinstance(MEMORY.read_failure(200, answer), NotFoundError)

    found: bool = yield account_call(
        "DELETE", f"entities/user/{segment(user_id)}", parse, query=query, service=_FORGETTING
    )
    return found


def _read_failure(status: int, body: Any) -> APIStatusError | None:
    error = MEMORY.read_failure(status, body)
    return None if isinstance(error, NotFoundError) else error


_FORGETTING = replace(MEMORY, read_failure=_read_failure)
"""Who is not there is forgotten."""


def forget_profile(schema_id: str, *, user_id: str) -> Call[None]:
    """Delete a user's profile: `DELETE /entities_profile/user/{user_id}`."""
    checked_user(user_id)
    query = {"profile_schema_id": schema_id}
    return call("DELETE", f"entities_profile/user/{segment(user_id)}", nothing, query=query)
