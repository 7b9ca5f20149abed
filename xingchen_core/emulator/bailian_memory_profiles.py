"""What the memory library knows of each user by a schema: `/api/v2/apps/memory/profile_schemas`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_knowledge_fields import Fields, invalid
from xingchen_core.emulator.bailian_knowledge_gateway import KeyCall
from xingchen_core.emulator.bailian_memory_store import Attribute, ProfileItem, Schema

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian_memory import Memory


def schema_of(memory: "Memory", schema_id: str, library_id: str) -> Schema:
    """A schema of a library. A missing one is a 400, not a 404."""
    schema = memory.schemas.get(schema_id)
    if schema is None or schema.library_id != library_id:
        raise invalid(f"The specified profile schema {schema_id} does not exist.")
    return schema


def _schema(call: KeyCall, fields: Fields | None = None) -> Schema:
    memory, given = call.bailian.memory, fields or call.query
    return schema_of(memory, call.path("schema_id"), memory.library(given.text("memory_library_id", "")))


def _attribute(call: KeyCall, given: Mapping[str, Any]) -> Attribute:
    fields = Fields(given)
    attribute = Attribute(
        call.bailian.new_id("attribute"),
        fields.text("name", most=32),
        fields.text("description", "", most=128),
        fields.text("default_value", "", most=128),
        fields.boolean("immutable", default=False),
    )
    if attribute.immutable and not attribute.default_value:
        raise invalid("An immutable attribute needs a default_value.")
    return attribute


def create(call: KeyCall) -> dict[str, Any]:
    """`POST /profile_schemas`."""
    body, memory = call.body, call.bailian.memory
    attributes = [_attribute(call, each) for each in body.objects("attributes")]
    if not attributes:
        raise invalid("attributes must not be empty.")
    library_id = memory.library(body.text("memory_library_id", ""))
    schema_id = call.bailian.new_id("schema")
    memory.schemas[schema_id] = Schema(
        schema_id,
        library_id,
        body.text("name", most=32),
        body.text("description", ""),
        body.text("plan_version", "pro"),
        attributes,
    )
    return {"profile_schema_id": schema_id}


def list_schemas(call: KeyCall) -> dict[str, Any]:
    """`GET /profile_schemas`."""
    memory, query = call.bailian.memory, call.query
    library_id = memory.library(query.text("memory_library_id", ""))
    mine = [schema for schema in memory.schemas.values() if schema.library_id == library_id]
    number, size = query.integer("page_num", 1, 1), query.integer("page_size", 10, 1, 100)
    shown = [_shown(schema) for schema in mine[(number - 1) * size : number * size]]
    return {"profile_schemas": shown, "total": len(mine)}


def _shown(schema: Schema) -> dict[str, Any]:
    return {
        "profile_schema_id": schema.schema_id,
        "name": schema.name,
        "description": schema.description,
        "plan_version": schema.plan_version,
    }


def get(call: KeyCall) -> dict[str, Any]:
    """`GET /profile_schemas/{id}`."""
    schema = _schema(call)
    attributes = [
        {
            "attribute_id": each.attribute_id,
            "name": each.name,
            "description": each.description,
            "default_value": each.default_value,
            "immutable": each.immutable,
        }
        for each in schema.attributes
    ]
    return {**_shown(schema), "attributes": attributes}


def update(call: KeyCall) -> dict[str, Any]:
    """`PATCH /profile_schemas/{id}`."""
    schema = _schema(call, call.body)
    schema.name = call.body.text("name", schema.name, most=32)
    schema.description = call.body.text("description", schema.description)
    for each in call.body.objects("attributes_operations"):
        given = Fields(each)
        if given.text("op") == "add":
            schema.attributes.append(_attribute(call, each))
            continue
        attribute = _find(schema, given.text("attribute_id"))
        if given.text("op") == "delete":
            schema.attributes.remove(attribute)
        elif given.text("op") == "update":
            attribute.description = given.text("description", attribute.description, most=128)
            attribute.default_value = given.text("default_value", attribute.default_value, most=128)
        else:
            raise invalid("op must be add, update or delete.")
    return {}


def _find(schema: Schema, attribute_id: str) -> Attribute:
    found = next((each for each in schema.attributes if each.attribute_id == attribute_id), None)
    if found is None:
        raise invalid(f"The specified attribute {attribute_id} does not exist.")
    return found


def delete(call: KeyCall) -> dict[str, Any]:
    """`DELETE /profile_schemas/{id}`."""
    del call.bailian.memory.schemas[_schema(call).schema_id]
    return {}


def get_profile(call: KeyCall) -> dict[str, Any]:
    """`GET /profile_schemas/{id}/user_profile`: no value until there is one; several are joined."""
    schema, user_id = _schema(call), call.query.text("user_id")
    detail = call.query.boolean("need_detail", default=False)
    call.bailian.memory.look()
    attributes = []
    for each in schema.attributes:
        shown: dict[str, Any] = {"id": each.attribute_id, "name": each.name}
        items = each.items.get(user_id, [])
        if detail:
            shown["value_items"] = [{"item_id": item.item_id, "value": item.value, "status": "valid"} for item in items]
        elif items or each.default_value:
            shown["value"] = "; ".join(item.value for item in items) or each.default_value
        attributes.append(shown)
    told = {"schema_name": schema.name, "schema_description": schema.description}
    return {"profile": {**told, "attributes": attributes}}


def change_value(call: KeyCall) -> dict[str, Any]:
    """`PATCH /profile_schemas/{id}/profile_values`."""
    body, memory = call.body, call.bailian.memory
    attribute = _find(_schema(call, body), body.text("attribute_id"))
    items = attribute.items.setdefault(body.text("entity_id"), [])
    kind = body.text("op_type")
    if kind not in ("add", "update", "delete"):
        raise invalid("op_type must be add, update or delete.")
    if kind == "add":
        items.append(ProfileItem(memory.next_item_id(), body.text("value")))
        return {}
    number = body.integer("item_id", -1, 0)
    item = next((each for each in items if each.item_id == number), None)
    if item is None:
        raise Refusal("NotFound", f"The specified item {number} does not exist.", 404)
    if kind == "delete":
        items.remove(item)
    else:
        item.value = body.text("value")
    return {}


def forget(call: KeyCall) -> dict[str, Any]:
    """`DELETE /entities_profile/user/{user_id}`: one profile."""
    memory, query = call.bailian.memory, call.query
    library_id = memory.library(query.text("memory_library_id", ""))
    schema = schema_of(memory, query.text("profile_schema_id"), library_id)
    for attribute in schema.attributes:
        attribute.items.pop(call.path("user_id"), None)
    return {}
