"""Profiles, projects and skills of the Memory Library: what is sent, what is read, what is refused beforehand."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from memory_library import new_user, node_entry, ok
from xingchen_core import APIConnectionError, Call, ConfigurationError, NotFoundError
from xingchen_core.bailian import memory
from xingchen_core.bailian.memory import MemoryProject, SchemaAttribute

Connect = Callable[..., Any]
HOBBY = SchemaAttribute(name="hobby", description="爱好")
AGE = SchemaAttribute(name="age", default_value="18", immutable=True)


@pytest.fixture
def connect(connect: Connect) -> Connect:
    """Clients with a key."""
    return partial(connect, make_settings=memory.MemorySettings, api_key="test-key")


Row = tuple[Callable[[], Call[Any]], str, dict[str, str], Any, bool]
ROWS: dict[str, Row] = {
    "create schema": (
        lambda: memory.create_profile_schema(
            "base",
            [HOBBY, AGE],
            description="基本",
            library_id="libfake01",
            plan_version="lite",
            extract_scene="efficient",
        ),
        "POST profile_schemas",
        {},
        {
            "name": "base",
            "attributes": [
                {"name": "hobby", "description": "爱好"},
                {"name": "age", "default_value": "18", "immutable": True},
            ],
            "description": "基本",
            "memory_library_id": "libfake01",
            "plan_version": "lite",
            "extract_scene": "efficient",
        },
        True,
    ),
    "schemas": (
        lambda: memory.list_profile_schemas(library_id="libfake01", page=2),
        "GET profile_schemas",
        {"page_num": "2", "page_size": "10", "memory_library_id": "libfake01"},
        None,
        False,
    ),
    "schema": (
        lambda: memory.get_profile_schema("schemafake01", library_id="libfake01"),
        "GET profile_schemas/schemafake01",
        {"memory_library_id": "libfake01"},
        None,
        False,
    ),
    "update schema": (
        lambda: memory.update_profile_schema(
            "schemafake01",
            name="base2",
            add=[AGE],
            change=[SchemaAttribute(id="attrfake01", description="兴趣", name="ignored")],
            delete=["attrfake02"],
        ),
        "PATCH profile_schemas/schemafake01",
        {},
        {
            "attributes_operations": [
                {"op": "add", "name": "age", "default_value": "18", "immutable": True},
                {"op": "update", "attribute_id": "attrfake01", "description": "兴趣"},
                {"op": "delete", "attribute_id": "attrfake02"},
            ],
            "name": "base2",
        },
        True,
    ),
    "rename schema": (
        lambda: memory.update_profile_schema("schemafake01", description="d"),
        "PATCH profile_schemas/schemafake01",
        {},
        {"description": "d"},
        False,
    ),
    "delete schema": (
        lambda: memory.delete_profile_schema("schemafake01", library_id="libfake01"),
        "DELETE profile_schemas/schemafake01",
        {"memory_library_id": "libfake01"},
        None,
        False,
    ),
    "profile": (
        lambda: memory.get_profile("schemafake01", user_id="user_001", library_id="libfake01"),
        "GET profile_schemas/schemafake01/user_profile",
        {"user_id": "user_001", "memory_library_id": "libfake01", "need_detail": "true"},
        None,
        False,
    ),
    "profile, short": (
        lambda: memory.get_profile("schemafake01", user_id="user_001", detail=False),
        "GET profile_schemas/schemafake01/user_profile",
        {"user_id": "user_001"},
        None,
        False,
    ),
    "add a value": (
        lambda: next(memory.edit_profile("schemafake01", "attrfake01", "add", user_id="user_001", value="游泳")),
        "PATCH profile_schemas/schemafake01/profile_values",
        {},
        {"entity_id": "user_001", "attribute_id": "attrfake01", "op_type": "add", "value": "游泳"},
        True,
    ),
    "create project": (
        lambda: memory.create_project(MemoryProject(name="永久", expired_in_days=-1), library_id="libfake01"),
        "POST memory_projects",
        {},
        {"name": "永久", "expired_in_days": -1, "memory_library_id": "libfake01"},
        True,
    ),
    "projects": (
        lambda: memory.list_projects(library_id="libfake01", page_size=20),
        "GET memory_projects",
        {"page_num": "1", "page_size": "20", "memory_library_id": "libfake01"},
        None,
        False,
    ),
    "project": (lambda: memory.get_project("projfake01"), "GET memory_projects/projfake01", {}, None, False),
    "update project": (
        lambda: memory.update_project("projfake01", MemoryProject(auto_refresh=False)),
        "PATCH memory_projects/projfake01",
        {},
        {"auto_refresh": False},
        False,
    ),
    "forget user": (
        lambda: next(memory.forget_user("user 001", library_id="libfake01")),
        "DELETE entities/user/user%20001",
        {"memory_library_id": "libfake01"},
        None,
        False,
    ),
    "forget profile": (
        lambda: memory.forget_profile("schemafake01", user_id="user_001"),
        "DELETE entities_profile/user/user_001",
        {"profile_schema_id": "schemafake01"},
        None,
        False,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_requests(name: str) -> None:
    """Method, path, query and body are the documented ones; only what makes something new is never repeated."""
    describe, target, query, body, remembered = ROWS[name]
    call = describe()
    assert (f"{call.method} {call.path}", call.query, call.json) == (
        target.replace(" ", " /api/v2/apps/memory/", 1),
        query,
        body,
    )
    assert call.remembered is remembered


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no attributes": (lambda: memory.create_profile_schema("base", []), "at least one attribute"),
    "long name": (lambda: memory.create_profile_schema("n" * 33, [HOBBY]), "name must be 1 to 32"),
    "nameless attribute": (lambda: memory.create_profile_schema("base", [SchemaAttribute()]), "name of an attribute"),
    "immutable": (
        lambda: memory.create_profile_schema("base", [SchemaAttribute(name="age", immutable=True)]),
        "default_value",
    ),
    "change without id": (lambda: memory.update_profile_schema("s", change=[HOBBY]), "needs its id"),
    "scene": (lambda: memory.create_profile_schema("base", [HOBBY], extract_scene="best"), "'efficient' or"),
    "value missing": (lambda: next(memory.edit_profile("s", "a", "add", user_id="u1")), "add needs a value"),
    "item missing": (lambda: next(memory.edit_profile("s", "a", "delete", user_id="u1")), "delete an item_id"),
    "value too many": (
        lambda: next(memory.edit_profile("s", "a", "delete", user_id="u1", item_id=0, value="茶")),
        "delete an item_id",
    ),
    "nameless project": (lambda: memory.create_project(MemoryProject()), "needs a name"),
    "skills, lite": (
        lambda: memory.create_project(MemoryProject(name="n", memory_type="skill", plan_version="lite")),
        "'pro' only",
    ),
    "0 days": (lambda: memory.update_project("p", MemoryProject(expired_in_days=0)), "1 to 180, or -1"),
    "181 days": (lambda: memory.update_project("p", MemoryProject(expired_in_days=181)), "1 to 180, or -1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_sending(name: str) -> None:
    """What the service certainly refuses is said before anything is sent."""
    describe, words = REFUSED[name]
    with pytest.raises(ConfigurationError, match=words):
        describe()


def profile(*attributes: dict[str, Any]) -> memory.UserProfile:
    """What is read from such a profile."""
    answer = {"profile": {"schema_name": "base", "schema_description": "基本", "attributes": list(attributes)}}
    read: memory.UserProfile = memory.get_profile("schemafake01", user_id="u1").parse(answer)
    return read


def test_profiles() -> None:
    """Values come one by one or in one text, which is not split, as a semicolon may be a value's own."""
    short = profile({"id": "attrfake01", "name": "hobby", "value": "游泳; 排球"}, {"id": "attrfake02", "name": "age"})
    assert (short.schema_name, [attribute.values for attribute in short.attributes]) == ("base", [("游泳; 排球",), ()])
    items = [
        {"item_id": 5634, "value": "游泳", "status": "valid"},
        {"item_id": 5635, "value": "a; b", "status": None},
        {"item_id": 5636, "value": "茶", "status": "delete"},
    ]
    (long,) = profile({"id": "attrfake01", "name": "hobby", "value_items": items}).attributes
    assert (long.values, long.items[0].id) == (("游泳", "a; b"), 5634)


def test_profiles_without_anything() -> None:
    """Until something was extracted, values are absent or null."""
    empty = profile({"id": "a", "name": None, "value": None, "value_items": None}, {"id": "b", "value": ""})
    assert [attribute.values for attribute in empty.attributes] == [(), ()]
    assert memory.get_profile("s", user_id="u1").parse({"profile": {"attributes": None}}).attributes == ()


@pytest.mark.parametrize("op", ["update", "delete"])
async def test_values_of_other_users(connect: Connect, op: Any) -> None:
    """A value is changed or deleted only if the user's profile has it, at the attribute named."""
    user, sent = new_user(), []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        items = [{"item_id": 5634, "value": "游泳", "status": "valid"}]
        return ok(profile={"attributes": [{"id": "attrfake01", "value_items": items}, {"id": "attrfake02"}]})

    client = connect(answer)
    value = "排球" if op == "update" else None
    for attribute, item in (("attrfake01", 5635), ("attrfake02", 5634)):
        with pytest.raises(NotFoundError, match=f"No item {item}"):
            await client.run(memory.edit_profile("s", attribute, op, user_id=user, item_id=item, value=value))
    assert sent == ["GET", "GET"]
    await client.run(memory.edit_profile("s", "attrfake01", op, user_id=user, item_id=5634, value=value))
    assert sent == ["GET", "GET", "GET", "PATCH"]


@pytest.mark.parametrize("wrap", [lambda entry: entry, lambda entry: {"profile_schema": entry}])
def test_schemas(wrap: Callable[[Any], Any]) -> None:
    """A schema is read with its attributes, bare or wrapped."""
    entry = {"name": "base", "description": None, "attributes": [{"attribute_id": "attrfake01", "name": "hobby"}]}
    schema = memory.get_profile_schema("schemafake01").parse({"request_id": "r", **wrap(entry)})
    assert (schema.id, schema.name, schema.attributes[0].id) == ("schemafake01", "base", "attrfake01")


async def test_lists(connect: Connect) -> None:
    """Schemas and projects are listed to the end, by the total."""

    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page_num"])
        schemas = [{"profile_schema_id": f"s{number}", "name": "base", "plan_version": None}]
        return ok(profile_schemas=schemas, memory_projects=[{"project_id": f"p{number}", "name": "n"}], total=3)

    client = connect(answer)
    assert [s.id async for s in client.iterate(memory.all_profile_schemas(page_size=1))] == ["s1", "s2", "s3"]
    assert [p.id async for p in client.iterate(memory.all_projects(page_size=1))] == ["p1", "p2", "p3"]


def test_new_ones() -> None:
    """A new schema's id and a new project are returned; the list of projects may have either name."""
    assert memory.create_profile_schema("base", [HOBBY]).parse({"profile_schema_id": "s1"}) == "s1"
    for answer in ({"project_id": "p1"}, {"project": {"project_id": "p1"}}, {"memory_project": {"project_id": "p1"}}):
        assert memory.create_project(MemoryProject(name="n")).parse(answer).id == "p1"
    assert memory.list_projects().parse({"projects": [{"project_id": "p1"}]}).items[0].id == "p1"
    assert memory.get_project("p1").parse({"name": "n", "expired_in_days": 180}).expired_in_days == 180


async def test_skills(connect: Connect) -> None:
    """A skill of the user's is exported as a text, after a look at whose it is."""
    user = new_user()
    answers = [
        ok(memory_node=node_entry(1, memory_type="skill", user_id=user)),
        ok(name="泡茶", description="如何泡茶", tags=["茶"], content="先洗杯"),
    ]
    skill = await connect(lambda request: answers.pop(0)).run(memory.export_skill("n1", user_id=user))
    assert (skill.name, skill.tags, skill.content) == ("泡茶", ("茶",), "先洗杯")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[4]])
async def test_what_is_new_is_made_once(connect: Connect, name: str) -> None:
    """What makes something new is not repeated when its answer is lost."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        raise httpx.ReadError("lost", request=request)

    with pytest.raises(APIConnectionError):
        await connect(answer).send(ROWS[name][0]())
    assert len(sent) == 1
