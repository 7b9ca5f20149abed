"""Characters as data: create, change, find, delete. Source: Xingchen HTTP API, "character management"."""

from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from xingchen_core._call import Call, Flow, Listing, Page
from xingchen_core._errors import ConfigurationError
from xingchen_core.characters._wire import LARGEST_PAGE, Record, get, given, page_of, post
from xingchen_core.characters.models import RejectCondition

Scope = Literal["my", "public", "pre_configured"]
Order = Literal["gmtModified desc", "gmtCreate desc"]

LONGEST_NAME = 20

READ_ONLY = frozenset(
    {
        "gmtCreate",
        "gmtModified",
        "userId",
        "modifiedBy",
        "majorVersion",
        "versions",
        "manageable",
        "creator",
        "isPreConfigured",
        "auditStatus",
        "configStatus",
    }
)
"""What the service tells of a character and takes from nobody."""


class StoredFile(Record):
    """A file by URL."""

    filename: str | None = None
    file_url: str | None = None
    file_save_path: str | None = None


class Permissions(Record):
    """Who may use the character. On the wire these are 0 and 1, not booleans."""

    is_public: int = Field(default=0, ge=0, le=1)
    allow_chat: int = Field(default=0, ge=0, le=1)
    allow_api: int = Field(default=0, ge=0, le=1)


class KVMemoryConfig(Record):
    """A kind of fact to remember, in words ("what the user likes")."""

    memory_text: str
    enabled: bool | None = None


class LongTermMemory(Record):
    """What the platform remembers beyond the last turns: facts (`kv`, with their kinds) or a summary (`summary`)."""

    memory_type: str
    enabled: bool = True
    kv_memory_configs: tuple[KVMemoryConfig, ...] | None = None


class StoredPlugin(Record):
    """A platform plugin of a stored character."""

    name: str | None = None
    enabled: bool | None = None
    image_style: str | None = None
    positive_desc: str | None = None
    negative_desc: str | None = None
    reject_conditions: tuple[RejectCondition | dict[str, Any], ...] | None = None


class AdvancedConfig(Record):
    """How a stored character searches, remembers, speaks and draws.

    Attributes:
        search_keyword: Required by the service when web search is on.
        short_term_memory_round: Turns of the platform history that are joined to a chat.
        knowledge_bases: Ids of knowledge bases.
    """

    is_real_info: bool | None = None
    search_keyword: str | None = None
    allow_send_image: bool | None = None
    image_style: str | None = None
    allow_send_asr: bool | None = None
    asr_style: str | None = None
    chat_description: str | None = None
    is_real_time: bool | None = None
    short_term_memory_round: int | None = None
    long_term_memories: tuple[LongTermMemory, ...] | None = None
    platform_plugins: tuple[StoredPlugin, ...] | None = None
    knowledge_bases: tuple[str, ...] | None = None


class CharacterRecord(Record):
    """A character stored on the platform. Members this package does not know are kept as they came.

    Attributes:
        name: 1 to 20 characters.
        basic_information: The persona.
        opening_line: What the application shows first; a chat never returns it.
        traits: Style of speech, hard requirements.
        chat_example: Lines beginning with `{{user}}:` and `{{char}}:`.
        type: `virtual`, `reproduction` or `assistant`.
        role_types: Tags.
    """

    character_id: str | None = None
    version: int | None = None
    name: str | None = None
    basic_information: str | None = None
    avatar: StoredFile | None = None
    introduction: str | None = None
    opening_line: str | None = None
    traits: str | None = None
    chat_example: str | None = None
    type: str | None = None
    chat_objective: str | None = None
    role_types: tuple[str, ...] | None = None
    advanced_config: AdvancedConfig | None = None
    perm_config: Permissions | None = None
    versions: tuple[int, ...] | None = None

    def writable(self) -> dict[str, Any]:
        """Return what may be sent back.

        Raises:
            ConfigurationError: The name is missing or too long.
        """
        if not self.name or len(self.name) > LONGEST_NAME:
            raise ConfigurationError(f"name must be 1 to {LONGEST_NAME} characters, got {self.name!r}.")
        return {name: value for name, value in self.wire().items() if name not in READ_ONLY}


class CharacterVersion(Record):
    """The id and version that creating a character gave it."""

    character_id: str
    version: int | None = None


def create(character: CharacterRecord) -> Call[CharacterVersion]:
    """Store a new character: `POST /v2/api/character/create`."""
    body = {k: v for k, v in character.writable().items() if k not in ("characterId", "version")}
    return post("character/create", "aca-character-create", body, CharacterVersion.model_validate, remembered=True)


def update(character: CharacterRecord) -> Call[bool]:
    """Overwrite a stored character; `character_id` is required: `POST /v2/api/character/update`.

    To change some members and keep the rest use `edit`.
    """
    _require_id(character)
    return post("character/update", "aca-character-update", character.writable(), bool)


def edit(character_id: str, *, version: int | None = None, **changes: Any) -> Flow[CharacterRecord]:
    """Read a character, change the given members, write it back. Nothing else is lost, unknown members included.

    Raises:
        TypeError: A change is no member of `CharacterRecord`, and none the service told of this character.
    """
    found = yield details(character_id, version)
    known = {*CharacterRecord.model_fields, *found.model_dump(by_alias=True)}
    if unknown := changes.keys() - known:
        raise TypeError(f"a character has no {', '.join(sorted(unknown))}")
    # Under the service's names: a change may be given under either.
    changed = CharacterRecord.model_validate(
        found.model_dump(by_alias=True) | CharacterRecord(**changes).model_dump(by_alias=True, exclude_unset=True)
    )
    yield update(changed)
    return changed


def save_version(character: CharacterRecord) -> Call[CharacterRecord]:
    """Create or overwrite the version `version` of a character: `POST /v2/api/character/createOrUpdateVersion`."""
    _require_id(character)
    if character.version is None:
        raise ValueError("version is required: the number of the version to create or overwrite")
    body = {k: v for k, v in character.writable().items() if k != "permConfig"}
    return post(
        "character/createOrUpdateVersion",
        "aca-character-version-mgmt",
        body,
        CharacterRecord.model_validate,
        remembered=True,
    )


def details(character_id: str, version: int | None = None) -> Call[CharacterRecord]:
    """Read one character: `GET /v2/api/character/details`. Without `version` the service chooses the version."""
    query = given(characterId=character_id, version=None if version is None else str(version))
    return get("character/details", "aca-character-details", query, CharacterRecord.model_validate)


def search(
    *,
    name: str | None = None,
    scope: Scope = "my",
    role_types: list[str] | None = None,
    order: Order = "gmtModified desc",
    page: int = 1,
    page_size: int = LARGEST_PAGE,
) -> Call[Page[CharacterRecord]]:
    """Read one page of characters: `POST /v2/api/character/search`.

    Args:
        name: Part of the name.
        scope: Your own, everybody's public ones, or the platform's.
        role_types: Only with these tags.
        order: Newest change or newest first.
        page: From 1.
        page_size: 1 to 50.
    """
    body = {
        "where": given(characterName=name, scope=scope, roleTypes=role_types),
        "orderBy": [order],
        "pageNum": page,
        "pageSize": page_size,
    }
    return post("character/search", "aca-character-search", body, page_of(CharacterRecord.model_validate))


def all_characters(*, page_size: int = LARGEST_PAGE, **filters: Any) -> Listing[CharacterRecord]:
    """List every character that `search` finds, for a client's `iterate`."""
    return Listing(
        lambda number: search(page=number, page_size=page_size, **filters),
        page_size,
        key=lambda character: (character.character_id, character.version),
    )


def delete(character_id: str, version: int | None = None) -> Call[bool]:
    """Delete a character or one of its versions: `POST /v2/api/character/delete`.

    The ids go into query and body, since the documents disagree. `version` is sent only when given: what the service
    deletes without it is its decision.
    """
    query = given(characterId=character_id, version=None if version is None else str(version))
    body = given(characterId=character_id, version=version)
    return post("character/delete", "aca-character-delete", body, bool, query=query)


def versions(character_id: str) -> Call[tuple[CharacterRecord, ...]]:
    """Read every version of a character: `GET /v2/api/character/versions/{id}`."""
    return get(
        f"character/versions/{_segment(character_id)}",
        "aca-character-versions",
        {},
        lambda data: tuple(CharacterRecord.model_validate(item) for item in data or ()),
    )


def recommend_version(character_id: str) -> Call[CharacterRecord]:
    """Ask for a draft of the next version: `GET /v2/api/character/newversion/recommend/{id}`."""
    return get(
        f"character/newversion/recommend/{_segment(character_id)}",
        "aca-character-version-recommend",
        {},
        CharacterRecord.model_validate,
    )


def _segment(character_id: str) -> str:
    """Return an id as one segment of a path, which it must not leave."""
    if character_id in ("", ".", ".."):
        raise ValueError(f"character_id must be the id of a character, got {character_id!r}")
    return quote(character_id, safe="")


def _require_id(character: CharacterRecord) -> None:
    if not character.character_id:
        raise ValueError("character_id is required: read the character with details() first, or use create()")
