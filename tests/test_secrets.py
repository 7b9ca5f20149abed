"""No committed file holds a key, a signature, a real id, a package index or a path of one machine."""

import subprocess
from pathlib import Path

import pytest

from secret_scan import findings, looks_invented

ROOT = Path(__file__).parent.parent
BINARY = {".png", ".gz", ".whl", ".zip"}
GENERATED = {"__pycache__", "build", "dist"}


def committed_files(root: Path) -> list[Path]:
    """What git tracks; outside a repository (an unpacked archive), everything that is not hidden or generated."""
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        files = [root / name for name in listing.stdout.decode().split("\0") if name]
        return [path for path in files if path.is_file()]
    relative = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return [root / path for path in relative if not any(p in GENERATED or p.startswith(".") for p in path.parts)]


def scan(root: Path) -> list[str]:
    """Every finding below `root` as `file:line kind`: what was found is not repeated in the output."""
    report = []
    for path in committed_files(root):
        if path.suffix not in BINARY:
            text = path.read_bytes().decode("utf-8", errors="replace")
            report += [f"{path.relative_to(root)}:{found.line} {found.kind}" for found in findings(text)]
    return report


def test_committed_files_are_clean() -> None:
    """The whole tree, cassettes included, passes the scan."""
    assert len(committed_files(ROOT)) > 20
    assert scan(ROOT) == []


# Each is put together from two halves, so that this file is clean itself.
PLANTED = {
    "API key": ("key = 'sk-", "a1B2c3D4e5F6g7H8i9'"),
    "AccessKey id": ("LTA", "I5tQx8mN3vB7kL2pR9wZ4"),
    "bearer token": ("Authorization: Bearer ", "Zk3vQ9xW7mT1pL5sD8fG2hJ4"),
    "JSON web token": ("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0"),
    "signature": ("?Signature=", "Pw8zK3mQx1vT7nB5cL9rD2fG6hE%3D"),
    "id": ("sessionId: 3f7a9c1e5b8d", "2046f1e3a5c7b9d80264"),
    "package index": ("index-url = https://pypi", ".org/simple"),
    "path of one machine": ("see /hom", "e/someone/project"),
}


@pytest.mark.parametrize(("kind", "halves"), PLANTED.items(), ids=PLANTED)
def test_a_planted_secret_is_found(kind: str, halves: tuple[str, str], tmp_path: Path) -> None:
    """One secret of each kind, planted in an otherwise clean file, is reported with its line and its kind."""
    (tmp_path / "notes.md").write_text(f"你好\n{''.join(halves)}\n", encoding="utf-8")
    assert scan(tmp_path) == [f"notes.md:2 {kind}"]


@pytest.mark.parametrize(
    "halves", [("ACS3-HMAC-SHA256 Signature=", "0f" * 7 + "91c3" * 12), ("LTA", "I4FoobarBaz12345")]
)
def test_acs3_credentials_are_found(halves: tuple[str, str], tmp_path: Path) -> None:
    """Signature and AccessKey id of a signed call are reported, unless the published placeholder signed it."""
    (tmp_path / "log.txt").write_text("".join(halves), encoding="utf-8")
    assert len(scan(tmp_path)) == 1


def test_placeholders_and_excused_lines_pass(tmp_path: Path) -> None:
    """Published vectors, test keys, invented ids and lines that say why they are no secret are not reported."""
    vector = "9" + "3f7a9c1e" * 7 + "0a1b2c3"
    lines = [
        f"Credential=testid,Signature={vector}",
        "Authorization: Bearer test-key",
        "not a secret: MD5 of the published example",
        "3f7a9c1e5b8d" + "2046f1e3a5c7b9d80264",
        "0123456789abcdef0123456789abcdef",
    ]
    (tmp_path / "vectors.txt").write_text("\n".join(lines), encoding="utf-8")
    assert scan(tmp_path) == []


@pytest.mark.parametrize(
    ("identifier", "invented"),
    [
        ("0123456789abcdef0123456789abcdef", True),
        ("00000000-0000-4000-8000-00000000002a", True),
        ("11111111-2222-3333-4444-555555555555", True),
        ("deadbeefdeadbeefdeadbeefdeadbeef", True),
        ("u1", True),
        ("chatbot-cn-demo", True),
        ("3f7a9c1e5b8d" + "2046f1e3a5c7b9d80264", False),
        ("7c9e6679-7425-40de-" + "944b-e07fc1f90ae7", False),
        ("llm-3z7uw7fwz0vx", False),
        ("wx_Ab3dE6", False),
    ],
)
def test_what_looks_invented(identifier: str, invented: bool) -> None:
    """Counted, repeated, alphabetical and readable ids pass; what a service hands out does not."""
    assert looks_invented(identifier) is invented
