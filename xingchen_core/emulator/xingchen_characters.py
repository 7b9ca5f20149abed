"""Stored characters: their versions, who may see them, and the calls that manage them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.xingchen_errors import business, invalid, not_found
from xingchen_core.emulator.xingchen_fields import member, objects, page, required_text, strings, text, whole

if TYPE_CHECKING:
    from xingchen_core.emulator.xingchen import Call, Xingchen

PLATFORM = "platform"
"""The owner of characters that are there from the start; no API key is called so."""

DEMO = {
    "name": "小婉",
    "introduction": "住在隔壁的温柔女孩",
    "basicInformation": "你是小婉，今年十七岁，高中三年级，住在用户隔壁，性格温柔开朗，喜欢种花和看书，关心身边的人。",
    "openingLine": "嗨，你回来啦？我刚烤了曲奇，要不要尝一块？",
    "traits": "说话亲切自然，爱用语气词，句子简短",
    "chatExample": "{{user}}:在吗\n{{char}}:在呀，怎么啦？",
    "type": "virtual",
    "roleTypes": ["邻居"],
    "advancedConfig": {"shortTermMemoryRound": 20, "isRealTime": False},
    "permConfig": {"isPublic": 1, "allowChat": 1, "allowApi": 1},
}

_TEXTS = ("introduction", "openingLine", "traits", "chatExample", "chatObjective")
_FIELDS = (
    "name",
    "avatar",
    *_TEXTS,
    "basicInformation",
    "type",
    "roleTypes",
    "advancedConfig",
    "permConfig",
)


@dataclass
class _Stored:
    """A character. Deleted versions stay here, marked by None."""

    owner: str
    perm: dict[str, int]
    versions: dict[int, dict[str, Any] | None] = field(default_factory=dict)

    @property
    def living(self) -> list[int]:
        return sorted(version for version, fields in self.versions.items() if fields is not None)


class Characters:
    """All characters of all accounts."""

    def __init__(self, xingchen: "Xingchen") -> None:
        self._xingchen = xingchen
        self._stored: dict[str, _Stored] = {}

    def seed_demo(self) -> None:
        """Stores the character everybody may talk to."""
        self.add(PLATFORM, DEMO, "demo")

    def add(self, owner: str, fields: Mapping[str, Any], character_id: str) -> None:
        """Stores version 1."""
        perm = {"isPublic": 0, "allowChat": 0, "allowApi": 0, **fields.get("permConfig", {})}
        self._stored[character_id] = _Stored(owner, perm)
        self.write(character_id, 1, fields)

    def write(self, character_id: str, version: int, fields: Mapping[str, Any]) -> None:
        """Merges the members sent into a version, which begins as a copy of the one before it."""
        stored = self._stored[character_id]
        now = self._xingchen.now()
        before = stored.versions.get(version)
        if before is None:
            base = stored.versions[stored.living[-1]] if stored.living else {}
            before = {**(base or {}), "gmtCreate": now}
        sent = {name: fields[name] for name in _FIELDS if name in fields}
        stored.perm.update(sent.pop("permConfig", {}))
        stored.versions[version] = {**before, **sent, "gmtModified": now}

    def owned(self, account: str, character_id: str) -> _Stored:
        """The character, for changing it."""
        stored = self._living(character_id)
        if stored.owner != account:
            raise business("aca.error.no.permission.mgmt.version")
        return stored

    def readable(self, account: str, character_id: str, version: int | None) -> dict[str, Any]:
        """The CharacterDTO, latest version unless one is named."""
        stored = self._living(character_id)
        if stored.owner != account and not stored.perm["isPublic"]:
            raise business("aca.error.no.permission")
        return self.dto(account, character_id, version)

    def to_chat(self, account: str, character_id: str, version: int | None) -> dict[str, Any]:
        """The character, for talking to it. Another owner's must be open for chat by API."""
        stored = self._living(character_id)
        if stored.owner != account and not (stored.perm["allowChat"] and stored.perm["allowApi"]):
            raise business("aca.error.no.permission", f"character {character_id} is not open for chat")
        return self.dto(account, character_id, version)

    def latest(self, character_id: str) -> dict[str, Any]:
        """The members of the newest version, whoever asks."""
        stored = self._living(character_id)
        return stored.versions[stored.living[-1]] or {}

    def name_of(self, character_id: str) -> str:
        """The newest name; the id when the character is gone."""
        stored = self._stored.get(character_id)
        return self.latest(character_id)["name"] if stored and stored.living else character_id

    def visible(self, account: str) -> list[tuple[str, _Stored]]:
        """The account's own characters and the public ones."""
        return [
            (character_id, stored)
            for character_id, stored in self._stored.items()
            if stored.living and (stored.owner == account or stored.perm["isPublic"])
        ]

    def dto(self, account: str, character_id: str, version: int | None = None) -> dict[str, Any]:
        """CharacterDTO as this account sees it."""
        stored = self._living(character_id)
        number = stored.living[-1] if version is None else version
        fields = stored.versions.get(number)
        if fields is None:
            raise not_found(f"version {number} of character {character_id}")
        ours = stored.owner == account
        return {
            **fields,
            "characterId": character_id,
            "version": number,
            "majorVersion": 1,
            "versions": stored.living,
            "permConfig": dict(stored.perm),
            "userId": "self" if ours else stored.owner if stored.owner == PLATFORM else "other",
            "creator": "self" if ours else stored.owner if stored.owner == PLATFORM else "other",
            "manageable": ours,
            "isPreConfigured": stored.owner == PLATFORM,
            "tags": fields.get("roleTypes", []),
            "bubbles": [],
            "auditStatus": "pass",
            "configStatus": "published",
        }

    def _living(self, character_id: str) -> _Stored:
        stored = self._stored.get(character_id)
        if stored is None or not stored.living:
            raise not_found(f"character {character_id}")
        return stored


def create(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/character/create`"""
    _check(call.body, whole_character=True)
    character_id = call.xingchen.new_id("character")
    call.xingchen.characters.add(call.account, call.body, character_id)
    return {"characterId": character_id, "version": 1}


def update(call: "Call") -> bool:
    """`POST /v2/api/character/update`: members not sent stay as they are."""
    character_id = required_text(call.body, "characterId")
    stored = call.xingchen.characters.owned(call.account, character_id)
    version = whole(call.body, "version", 1, 2**31 - 1) or stored.living[-1]
    if version not in stored.living:
        raise not_found(f"version {version} of character {character_id}")
    _check(call.body, whole_character=False)
    call.xingchen.characters.write(character_id, version, call.body)
    return True


def create_or_update_version(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/character/createOrUpdateVersion`"""
    character_id = required_text(call.body, "characterId")
    version = whole(call.body, "version", 1, 2**31 - 1, required=True) or 1
    call.xingchen.characters.owned(call.account, character_id)
    fields = {name: value for name, value in call.body.items() if name != "permConfig"}
    _check(fields, whole_character=True)
    call.xingchen.characters.write(character_id, version, fields)
    return call.xingchen.characters.dto(call.account, character_id, version)


def details(call: "Call") -> dict[str, Any]:
    """`GET /v2/api/character/details`"""
    character_id = required_text(call.query, "characterId")
    return call.xingchen.characters.readable(call.account, character_id, _version(call.query.get("version")))


def versions(call: "Call") -> list[dict[str, Any]]:
    """`GET /v2/api/character/versions/{characterId}`"""
    character_id = call.path_values["characterId"]
    characters = call.xingchen.characters
    living = characters.readable(call.account, character_id, None)["versions"]
    return [characters.dto(call.account, character_id, version) for version in living]


def recommend(call: "Call") -> dict[str, Any]:
    """`GET /v2/api/character/newversion/recommend/{characterId}`: a draft, which is not stored."""
    character_id = call.path_values["characterId"]
    call.xingchen.characters.owned(call.account, character_id)
    draft = call.xingchen.characters.dto(call.account, character_id)
    persona = draft["basicInformation"].rstrip("。")
    return {**draft, "version": draft["version"] + 1, "basicInformation": f"{persona}。说话时多关心对方的近况。"}


def delete(call: "Call") -> bool:
    """`POST /v2/api/character/delete`: ids in the query or the body; without a version, all of them."""
    character_id = text(call.body, "characterId") or required_text(call.query, "characterId")
    version = whole(call.body, "version", 1, 2**31 - 1) or _version(call.query.get("version"))
    stored = call.xingchen.characters.owned(call.account, character_id)
    if version is not None and version not in stored.living:
        raise not_found(f"version {version} of character {character_id}")
    for number in [version] if version is not None else stored.living:
        stored.versions[number] = None
    return True


def search(call: "Call") -> dict[str, Any]:
    """`POST /v2/api/character/search`: newest change first unless asked otherwise."""
    where: dict[str, Any] = member(call.body, "where", dict) or {}
    name, scope = text(where, "characterName"), text(where, "scope")
    kinds = set(strings(where, "roleTypes"))
    if scope not in (None, "my", "public", "pre_configured"):
        raise invalid(f"where.scope must be my, public or pre_configured, not {scope!r}")
    characters = call.xingchen.characters
    rows = []
    for character_id, stored in characters.visible(call.account):
        row = characters.dto(call.account, character_id)
        belongs = {
            None: True,
            "my": stored.owner == call.account,
            "public": bool(stored.perm["isPublic"]),
            "pre_configured": stored.owner == PLATFORM,
        }[scope]
        if belongs and (name or "") in row["name"] and (not kinds or kinds & set(row.get("roleTypes", []))):
            rows.append(row)
    orders = strings(call.body, "orderBy") or ["gmtModified desc"]
    column, _, direction = orders[0].partition(" ")
    # The vendor's text says modifiedTime and createTime, its example gmtModified.
    column = {"modifiedTime": "gmtModified", "createTime": "gmtCreate"}.get(column, column)
    if column not in ("gmtModified", "gmtCreate") or direction not in ("", "asc", "desc"):
        raise invalid(f"orderBy {orders[0]!r} is not understood; use 'gmtModified desc'")
    rows.sort(key=lambda row: row[column], reverse=direction == "desc")
    return page(rows, call.body)


def _version(given: str | None) -> int | None:
    if given in (None, ""):
        return None
    if not str(given).isdigit():
        raise invalid(f"version must be an integer, not {given!r}")
    return int(str(given))


def _check(body: dict[str, Any], *, whole_character: bool) -> None:
    """Limits of the create body. An update may leave out what it does not change."""
    if whole_character or "name" in body:
        required_text(body, "name", longest=20)
    if whole_character or "basicInformation" in body:
        required_text(body, "basicInformation")
    for name in _TEXTS:
        text(body, name)
    if text(body, "type") not in (None, "virtual", "reproduction", "assistant"):
        raise invalid("type must be virtual, reproduction or assistant")
    member(body, "avatar", dict)
    strings(body, "roleTypes")
    config: dict[str, Any] = member(body, "advancedConfig", dict) or {}
    whole(config, "shortTermMemoryRound", 0, 2**31 - 1)
    for memory in objects(config, "longTermMemories"):
        if text(memory, "memoryType") not in ("kv", "summary"):
            raise invalid("advancedConfig.longTermMemories[].memoryType must be kv or summary")
    for plugin in objects(config, "platformPlugins"):
        required_text(plugin, "name", where="advancedConfig.platformPlugins[].")
    perm = member(body, "permConfig", dict)
    if perm is not None:
        for name in ("isPublic", "allowChat", "allowApi"):
            whole(perm, name, 0, 1, required=True)
