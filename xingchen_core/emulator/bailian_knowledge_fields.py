"""Members of a request, read and checked: of JSON as they are, of a query string or form as text."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xingchen_core.emulator.bailian_errors import Refusal

_PLAIN: dict[str, type | tuple[type, ...]] = {"array": list, "object": dict}


def invalid(message: str, code: str = "InvalidParameter", status: int = 400) -> Refusal:
    """A value that cannot be."""
    return Refusal(code, message, status)


@dataclass(frozen=True)
class Fields:
    """`written`: every value is text, as in a query string; structures are JSON in it. Null counts as absent."""

    values: Mapping[str, Any]
    written: bool = False

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, default: str | None = None, most: int | None = None) -> str:
        """A text; required when there is no default."""
        value = self.values.get(name)
        if value is None or (value == "" and default is None):
            if default is None:
                raise invalid(f"Required parameter({name}) missing or invalid.")
            return default
        if not isinstance(value, str):
            raise invalid(f"{name} must be a string.")
        if most is not None and len(value) > most:
            raise invalid(f"{name} must have at most {most} characters.")
        return value

    def number(self, name: str, default: float, low: float, high: float = math.inf) -> float:
        """A number between two bounds, both included."""
        value = self.values.get(name)
        if value is None or (self.written and value == ""):
            return default
        try:
            found = float(value) if isinstance(value, str) and self.written else value
        except ValueError:
            found = None
        if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
            raise invalid(f"Required parameter {name} must be between {low:g} and {high:g}.")
        return float(found)

    def integer(self, name: str, default: int, low: int, high: float = math.inf) -> int:
        """A whole number between two bounds, both included."""
        found = self.number(name, default, low, high)
        if found != int(found):
            raise invalid(f"{name} must be an integer.")
        return int(found)

    def boolean(self, name: str, *, default: bool) -> bool:
        """As text in any case: the official SDK writes `True`."""
        value = self.values.get(name)
        if self.written and isinstance(value, str):
            value = {"true": True, "false": False, "": None}.get(value.lower(), value)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false.")
        return value

    def array(self, name: str) -> list[Any]:
        """A list; absent: an empty one."""
        found: list[Any] = self._structure(name, "array") or []
        return found

    def texts(self, name: str, most: int | None = None) -> list[str]:
        """A list of texts."""
        found = self.array(name)
        if not all(isinstance(each, str) for each in found):
            raise invalid(f"{name} must be an array of strings.")
        if most is not None and len(found) > most:
            raise invalid(f"{name} must have at most {most} entries.")
        return found

    def objects(self, name: str) -> list[dict[str, Any]]:
        """A list of objects."""
        found = self.array(name)
        if not all(isinstance(each, dict) for each in found):
            raise invalid(f"{name} must be an array of objects.")
        return found

    def object(self, name: str) -> dict[str, Any] | None:
        """An object, or None."""
        found: dict[str, Any] | None = self._structure(name, "object")
        return found

    def _structure(self, name: str, kind: str) -> Any:
        value = self.values.get(name)
        if value is None or (self.written and value == ""):
            return None
        if self.written:
            try:
                value = json.loads(value)
            except ValueError:
                raise invalid(f"{name} must be a JSON {kind}.") from None
        if not isinstance(value, _PLAIN[kind]):
            raise invalid(f"{name} must be an {kind}.")
        return value
