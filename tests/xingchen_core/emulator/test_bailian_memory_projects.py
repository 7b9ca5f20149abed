"""Projects, libraries, expiry and skills of the emulated memory library, and users who are forgotten."""

from collections.abc import Iterator
from typing import Any

import pytest

from bailian_library_api import LibraryApi, library, listed, search, store
from xingchen_core.emulator import Emulator

DAY = 86400
USER = {"user_id": "u1"}


@pytest.fixture
def api(emulator: Emulator) -> Iterator[LibraryApi]:
    """Plain HTTP to an emulator whose time stands still."""
    emulator.bailian.clock = lambda: 1790000000.5
    with library(emulator) as client:
        yield client


def project(api: LibraryApi, **options: Any) -> str:
    """A new project."""
    project_id: str = api.memory("POST", "memory_projects", {"name": "p", **options})["project_id"]
    return project_id


def test_projects(api: LibraryApi) -> None:
    """Without its id, what is in another project looks lost; a search may name several."""
    other = project(api)
    store(api, "green tea", project_id=other)
    store(api, "black tea")
    assert listed(api) == ["black tea"]
    assert listed(api, project_id=other) == ["green tea"]
    assert search(api, "tea") == [("black tea", 1.0)]
    assert search(api, "tea", project_ids=[other]) == [("green tea", 1.0)]
    assert sorted(search(api, "tea", project_ids=[other, "proj-demo"])) == [("black tea", 1.0), ("green tea", 1.0)]
    assert api.memory_refused("GET", "memory_nodes", user_id="u1", project_id="none") == (404, "NotFound")
    shown = api.memory("GET", f"memory_projects/{other}")["memory_project"]
    assert (shown["name"], shown["memory_type"], shown["expired_in_days"]) == ("p", "observation", 180)
    api.memory("PATCH", f"memory_projects/{other}", {"expired_in_days": -1})
    assert [each["expired_in_days"] for each in api.memory("GET", "memory_projects")["memory_projects"]] == [180, -1]
    assert api.memory_refused("DELETE", f"memory_projects/{other}") == (404, "NotFound")


def test_libraries(emulator: Emulator, api: LibraryApi) -> None:
    """Each has a default project of its own; unknown ones are not found."""
    emulator.bailian.memory.libraries.add("lib2")
    node_id = store(api, "green tea", memory_library_id="lib2")
    assert (listed(api), listed(api, memory_library_id="lib2")) == ([], ["green tea"])
    assert api.memory_refused("GET", f"memory_nodes/{node_id}", memory_library_id="lib-demo") == (404, "NotFound")
    assert api.memory_refused("GET", "memory_nodes", user_id="u1", memory_library_id="none") == (404, "NotFound")


@pytest.mark.parametrize(("days", "left"), [(180, 0), (-1, 1)])
def test_expiry(emulator: Emulator, api: LibraryApi, days: int, left: int) -> None:
    """What is not said to stay is gone after 180 days."""
    where = project(api, expired_in_days=days) if days < 0 else "proj-demo"
    store(api, "green tea", project_id=where)
    emulator.bailian.advance(179 * DAY)
    assert len(listed(api, project_id=where)) == 1
    emulator.bailian.advance(DAY)
    assert len(listed(api, project_id=where)) == len(search(api, "tea", project_ids=[where])) == left


def test_skills(api: LibraryApi) -> None:
    """Skills live in projects of their own, and are found only when asked for."""
    refused = api.memory_refused(
        "POST", "memory_projects", {"name": "s", "memory_type": "skill", "plan_version": "lite"}
    )
    assert refused == (400, "InvalidParameter")
    where = project(api, memory_type="skill")
    assert api.memory_refused("POST", "add", {**USER, "custom_content": "x", "project_id": where})[0] == 400
    named = {"skill_name": "泡茶", "skill_description": "如何泡茶", "skill_tags": ["茶"]}
    node_id = store(api, "先烧水", project_id=where, **named)
    assert search(api, "烧水", project_ids=[where]) == []
    assert search(api, "烧水", project_ids=[where], memory_types=["skill"]) == [("先烧水", 1.0)]
    exported = api.memory("GET", f"skill/export/{node_id}")
    assert exported == {"name": "泡茶", "description": "如何泡茶", "tags": ["茶"], "content": "先烧水"}
    assert api.memory_refused("GET", f"skill/export/{store(api, 'x')}") == (400, "InvalidParameter")


def test_forgetting_a_user(api: LibraryApi) -> None:
    """Everything of one user, and once only."""
    store(api, "green tea")
    store(api, "black tea", user="u2")
    assert api.memory("DELETE", "entities/user/u1") == {}
    assert (listed(api), listed(api, user="u2")) == ([], ["black tea"])
    assert api.memory_refused("DELETE", "entities/user/u1") == (404, "EntityNotFound")
