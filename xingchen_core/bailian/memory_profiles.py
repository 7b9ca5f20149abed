"""Profiles: what the Memory Library fills in about each user. Source: Model Studio, "long-term memory (new) API".

A schema names the attributes; the service fills them from conversations whose `add` names the schema.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import ConfigurationError, NotFoundError
from xingchen_core.bailian._openapi import segment
from xingchen_core.bailian.memory_wire import (
    LONGEST_NAME,
    MEMORY,
    Record,
    call,
    check_length,
    checked_choice,
    checked_library,
    checked_user,
    given,
    nothing,
)


class SchemaAttribute(Record):
    """An attribute of a schema.

    Attributes:
        id: The service's; absent from one that is yet to be made.
        name: At most 32 characters.
        description: What to look for.
        default_value: Of an attribute nothing is known of.
        immutable: Whether it keeps its default value, which it must have.
    """

    id: str | None = Field(None, alias="attribute_id")
    name: str | None = None
    description: str | None = None
    default_value: str | None = None
    immutable: bool | None = None


class ProfileSchema(Record):
    """A schema. `attributes` only where one schema is read."""

    id: str | None = Field(None, alias="profile_schema_id")
    name: str | None = None
    description: str | None = None
    plan_version: str | None = None
    attributes: tuple[SchemaAttribute, ...] = ()


class ProfileItem(Record):
    """One of the values of an attribute."""

    id: int | None = Field(None, alias="item_id")
    value: str | None = None
    status: str | None = None


class ProfileAttribute(Record):
    """What is known of one attribute of a user.

    Attributes:
        id, name: The attribute's.
        value: Without detail: the values in one text, joined by `"; "`; `None` as long as nothing is known.
        items: With detail: the values one by one.
    """

    id: str
    name: str | None = None
    value: str | None = None
    items: tuple[ProfileItem, ...] = Field((), alias="value_items")

    @property
    def values(self) -> tuple[str, ...]:
        """The valid values; without detail the one text, since a value itself may hold a semicolon."""
        valid = (item.value for item in self.items if item.status in (None, "valid"))
        return tuple(value for value in (*valid, self.value) if value)


class UserProfile(Record):
    """What is known of a user by one schema."""

    schema_name: str | None = None
    schema_description: str | None = None
    attributes: tuple[ProfileAttribute, ...] = ()


def create_profile_schema(
    name: str,
    attributes: Sequence[SchemaAttribute],
    *,
    description: str | None = None,
    library_id: str | None = None,
    plan_version: str | None = None,
    extract_scene: str | None = None,
) -> Call[str]:
    """Make a schema and return its id, which is good in its library only: `POST /profile_schemas`.

    Args:
        name: At most 32 characters.
        attributes: At least one.
        description: What it is for.
        library_id: Default: the account's default library.
        plan_version: `pro` or `lite`.
        extract_scene: `efficient` or `intelligent`.
    """
    check_length("name", name, LONGEST_NAME)
    if not attributes:
        raise ConfigurationError("A schema needs at least one attribute.")
    body = {
        "name": name,
        "attributes": [_new(attribute) for attribute in attributes],
        "description": description,
        "memory_library_id": checked_library(library_id),
        "plan_version": checked_choice("plan_version", plan_version, "pro", "lite"),
        "extract_scene": checked_choice("extract_scene", extract_scene, "efficient", "intelligent"),
    }
    return call("POST", "profile_schemas", lambda answer: str(answer["profile_schema_id"]), body=body, remembered=True)


def _new(attribute: SchemaAttribute) -> dict[str, Any]:
    check_length("name of an attribute", attribute.name or "", LONGEST_NAME)
    if attribute.immutable and attribute.default_value is None:
        raise ConfigurationError(f"The attribute {attribute.name!r} is immutable: give its default_value.")
    return attribute.model_dump(exclude_none=True, exclude={"id"})


def list_profile_schemas(
    *, library_id: str | None = None, page: int = 1, page_size: int = 10
) -> Call[Page[ProfileSchema]]:
    """Read one page of schemas: `GET /profile_schemas`. See `all_profile_schemas`."""
    query = {"page_num": page, "page_size": page_size, "memory_library_id": checked_library(library_id)}

    def parse(answer: Any) -> Page[ProfileSchema]:
        schemas = tuple(map(ProfileSchema.model_validate, answer["profile_schemas"] or ()))
        return Page(schemas, page, page_size, answer.get("total"))

    return call("GET", "profile_schemas", parse, query=query)


def all_profile_schemas(*, library_id: str | None = None, page_size: int = 10) -> Listing[ProfileSchema]:
    """List every schema of a library, for a client's `iterate`."""
    return Listing(
        lambda number: list_profile_schemas(library_id=library_id, page=number, page_size=page_size),
        page_size,
        key=lambda schema: schema.id,
    )


def get_profile_schema(schema_id: str, *, library_id: str | None = None) -> Call[ProfileSchema]:
    """Read a schema with its attributes: `GET /profile_schemas/{id}`. Whether it comes wrapped is UNVERIFIED."""
    return call(
        "GET",
        f"profile_schemas/{segment(schema_id)}",
        lambda answer: ProfileSchema.model_validate({**(answer.get("profile_schema") or answer), "id": schema_id}),
        query={"memory_library_id": checked_library(library_id)},
    )


def update_profile_schema(
    schema_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    add: Sequence[SchemaAttribute] = (),
    change: Sequence[SchemaAttribute] = (),
    delete: Sequence[str] = (),
) -> Call[None]:
    """Change a schema: `PATCH /profile_schemas/{id}`. `change` needs ids, and can alter descriptions and defaults only;
    `delete` takes ids.
    """
    if name is not None:
        check_length("name", name, LONGEST_NAME)
    if not all(attribute.id for attribute in change):
        raise ConfigurationError("An attribute to change needs its id: read it with get_profile_schema.")
    operations = [{"op": "add", **_new(attribute)} for attribute in add]
    operations += [
        given(
            {
                "op": "update",
                "attribute_id": attribute.id,
                "description": attribute.description,
                "default_value": attribute.default_value,
            }
        )
        for attribute in change
    ]
    operations += [{"op": "delete", "attribute_id": attribute_id} for attribute_id in delete]
    body = {"attributes_operations": operations or None, "name": name, "description": description}
    return call("PATCH", f"profile_schemas/{segment(schema_id)}", nothing, body=body, remembered=bool(add))


def delete_profile_schema(schema_id: str, *, library_id: str | None = None) -> Call[None]:
    """Delete a schema: `DELETE /profile_schemas/{id}`."""
    query = {"memory_library_id": checked_library(library_id)}
    return call("DELETE", f"profile_schemas/{segment(schema_id)}", nothing, query=query)


def get_profile(
    schema_id: str, *, user_id: str, library_id: str | None = None, detail: bool = True
) -> Call[UserProfile]:
    """Read what is known of a user: `GET /profile_schemas/{id}/user_profile`.

    Args:
        schema_id: By which schema.
        user_id: Of whom.
        library_id: Default: the account's default library.
        detail: The values of an attribute one by one, with their ids. Without it they are one text, in which a
            semicolon may be a value's own.
    """
    query = {
        "user_id": checked_user(user_id),
        "memory_library_id": checked_library(library_id),
        "need_detail": "true" if detail else None,
    }
    path = f"profile_schemas/{segment(schema_id)}/user_profile"
    return call("GET", path, lambda answer: UserProfile.model_validate(answer["profile"]), query=query)


def edit_profile(
    schema_id: str,
    attribute_id: str,
    op: Literal["add", "update", "delete"],
    *,
    user_id: str,
    value: str | None = None,
    item_id: int | None = None,
    library_id: str | None = None,
) -> Flow[None]:
    """Add, change or delete a value of a user's profile: `PATCH /profile_schemas/{id}/profile_values`.

    To change or delete one, the profile is read first, which costs a call: that the service asks whose an item is, is
    documented nowhere.

    Raises:
        NotFoundError: The user's profile has no such item.
    """
    checked_user(user_id)
    if (op != "add") != (item_id is not None) or (op != "delete") != (value is not None):
        raise ConfigurationError("add needs a value, update an item_id and a value, delete an item_id, and no more.")
    if item_id is not None:
        profile = yield get_profile(schema_id, user_id=user_id, library_id=library_id)
        if not any(a.id == attribute_id and any(i.id == item_id for i in a.items) for a in profile.attributes):
            raise NotFoundError(f"No item {item_id} of this user.", status_code=404, service=MEMORY.name)
    body = {
        "entity_id": user_id,
        "attribute_id": attribute_id,
        "op_type": op,
        "item_id": item_id,
        "value": value,
    }
    path = f"profile_schemas/{segment(schema_id)}/profile_values"
    yield call("PATCH", path, nothing, body=body, remembered=op == "add")
