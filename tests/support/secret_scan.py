"""What must not be in a committed file, and how to tell an invented id from a real one."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple


class Finding(NamedTuple):
    """One suspicious place in a text."""

    line: int
    kind: str
    text: str


API_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{16,}")
ACCESS_KEY_ID = re.compile(r"\b(?:LTA[I]|ST[S]\.)[A-Za-z0-9]{12,}")
BEARER = re.compile(r"\b[Bb]earer\s+([A-Za-z0-9._~+/=-]{16,})")
JSON_WEB_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}")
SIGNATURE = re.compile(
    r"""\bSignature["']?\s*[=:]\s*["']?([0-9a-f]{40,64}|[A-Za-z0-9+/%]{26,28}(?:=|%3[Dd])+)""", re.IGNORECASE
)
HEX_ID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9A-Za-z])", re.IGNORECASE
)
# Spelt with character classes, so that this file does not hold what it looks for.
REGISTRY = re.compile(
    r"(?:pyp[i]\.org|pythonhoste[d]|npmj[s]\.(?:org|com)|npmmirro[r]|tuna\.tsinghu[a])", re.IGNORECASE
)
MACHINE_PATH = re.compile(r"(?:^|[^\w.~*)}/-])(?:file://)?/(?:wor[k]|far[m]|roo[t]|hom[e]|User[s]|tm[p]|op[t])/\w")

# Signatures made with the documentation's own placeholder credentials are published test vectors.
PLACEHOLDER_CREDENTIALS = ("testid", "YourAccessKeyId")
EXCUSE = re.compile(r"not a secret: \w")
"""A line, or the line above it, with this mark and a reason is passed over."""

_CYCLES = ("0123456789abcdef" * 4, "fedcba9876543210" * 4)


def looks_invented(identifier: str) -> bool:
    """Whether an id is plainly made up: counted, repeated, in alphabetical order, or a few readable words."""
    digits = identifier.replace("-", "").lower()
    if re.fullmatch(r"[0-9a-f]{16,}", digits):
        runs = sum(1 for _ in groupby(digits))
        repeated = any(digits == digits[:size] * (len(digits) // size) for size in (1, 2, 4, 8))
        return runs <= 8 or repeated or any(digits in cycle for cycle in _CYCLES)
    return len(identifier) <= 32 and re.fullmatch(r"[a-z]*(?:[-_.][a-z]+)*[-_]?\d{0,4}", identifier.lower()) is not None


def findings(text: str) -> Iterator[Finding]:
    """What looks like a key, a signature, a real id, a package index or a path of one machine."""
    placeholders = any(name in text for name in PLACEHOLDER_CREDENTIALS)
    excused = False
    for number, line in enumerate(text.splitlines(), 1):
        excused_above, excused = excused, EXCUSE.search(line) is not None
        if excused or excused_above:
            continue
        for kind, pattern in (
            ("API key", API_KEY),
            ("AccessKey id", ACCESS_KEY_ID),
            ("bearer token", BEARER),
            ("JSON web token", JSON_WEB_TOKEN),
            ("package index", REGISTRY),
            ("path of one machine", MACHINE_PATH),
        ):
            for match in pattern.finditer(line):
                if not (kind in ("API key", "bearer token") and looks_invented(match[match.lastindex or 0])):
                    yield Finding(number, kind, match[0])
        if not placeholders:
            yield from (Finding(number, "signature", match[0]) for match in SIGNATURE.finditer(line))
        for match in HEX_ID.finditer(line):
            if not looks_invented(match[0]):
                yield Finding(number, "id", match[0])
