"""What the distribution promises: what it holds, what its extras add, what importing it does not do."""

import ast
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import xingchen_core

ROOT = Path(__file__).parent.parent
DISTRIBUTION = "xingchen-integrations"
PACKAGES = ("xingchen_core", "langchain_xingchen", "llama_index_xingchen")


def package_files(package: str) -> list[Path]:
    """The modules of an installed package."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return sorted(Path(spec.origin).parent.rglob("*.py"))


# What the wheel holds


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources beside the tests."""
    if not (ROOT / "xingchen_core").is_dir():
        pytest.skip("the sources are not here: the suite runs against an installed wheel")
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_holds_exactly_the_three_packages(wheel: Path) -> None:
    """Every module of the sources is in the wheel and nothing else is: no tests, no cassettes, no examples."""
    names = zipfile.ZipFile(wheel).namelist()
    info = f"xingchen_integrations-{xingchen_core.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    modules = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_the_wheel_is_typed_licensed_and_small(wheel: Path) -> None:
    """Type checkers find `py.typed` in each package, the licence comes along, and the download stays below 1 MB."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 1_000_000


# What is installed


def requirements(extra: str) -> set[str]:
    """The distributions an extra adds, extras of our own resolved."""
    found = set()
    for line in requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}) or marker.evaluate({"extra": ""}):
            continue
        if requirement.name == DISTRIBUTION:
            found |= {name for part in requirement.extras for name in requirements(part)}
        else:
            found.add(requirement.name)
    return found


@pytest.mark.parametrize(
    ("extra", "added"),
    [
        ("langchain", {"langchain-core"}),
        ("llama-index", {"llama-index-core"}),
        ("agents", {"langchain-core", "langchain"}),
        ("credentials", {"alibabacloud-credentials"}),
        ("emulator", {"starlette", "uvicorn"}),
        (
            "all",
            {"langchain-core", "llama-index-core", "langchain", "alibabacloud-credentials", "starlette", "uvicorn"},
        ),
    ],
)
def test_what_an_extra_adds(extra: str, added: set[str]) -> None:
    """Each extra adds what the documentation says and nothing more."""
    assert requirements(extra) == added


def test_what_is_always_installed() -> None:
    """Without extras there are three dependencies, and no extra is unknown to the documentation."""
    always = [Requirement(line).name for line in requires(DISTRIBUTION) or [] if "extra ==" not in line]
    assert sorted(always) == ["httpx", "pydantic", "tenacity"]
    extras = metadata(DISTRIBUTION).get_all("Provides-Extra")
    assert sorted(extras or []) == ["agents", "all", "credentials", "emulator", "langchain", "llama-index"]


def test_every_dependency_has_two_ends() -> None:
    """A range with a lower and an upper end: no pin that fights with others, no open end that breaks one day."""
    for line in requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if requirement.name != DISTRIBUTION:
            assert {">=", "<"} <= {part.operator for part in requirement.specifier}, line


def test_versions_agree() -> None:
    """What the code says about its version is what is installed."""
    assert xingchen_core.__version__ == version(DISTRIBUTION)


def test_the_pytest_plugin_is_registered() -> None:
    """Users' own tests find the fixture `xingchen_emulator` without importing anything."""
    (plugin,) = [point for point in entry_points(group="pytest11") if point.name == "xingchen"]
    assert plugin.value == "xingchen_core.emulator._pytest"


# What importing does

PROBE = """
import sys, threading

def forbid(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork"):
        raise SystemExit(f"importing caused {event} {args}")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

ABSENT = sys.argv[1].split(",")
sys.meta_path.insert(0, Absent())
sys.addaudithook(forbid)
exec(sys.argv[2])
print("threads:", threading.active_count())
print("modules:", *sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)))
"""


def probe(code: str, absent: str = "") -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter that may not reach the network, with some packages made absent."""
    settings = {"PYTHONWARNINGS": "error", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PROBE, absent, code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **settings})


NAME_ALL = "import {0} as m; [getattr(m, name) for name in getattr(m, '__all__', ())]"
"""Imports a package and everything it exports, since packages may load their names when first used."""


@pytest.mark.parametrize(
    ("package", "strangers"),
    [
        ("xingchen_core", {"langchain_core", "llama_index", "starlette", "uvicorn", "alibabacloud_credentials"}),
        ("xingchen_core.emulator", {"langchain_core", "llama_index", "alibabacloud_credentials"}),
        ("langchain_xingchen", {"llama_index", "langchain", "langgraph", "starlette", "uvicorn"}),
        ("llama_index_xingchen", {"langchain_core", "starlette", "uvicorn"}),
    ],
)
def test_importing_is_harmless(package: str, strangers: set[str]) -> None:
    """Importing a package with all its names opens no connection, starts no thread, warns of nothing and loads no other
    framework.
    """
    result = probe(NAME_ALL.format(package))
    assert result.returncode == 0, result.stderr + result.stdout
    threads, modules = result.stdout.splitlines()
    assert threads == "threads: 1"
    assert package in modules.split()
    assert not strangers & set(modules.split())


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [
        (
            "from langchain_xingchen import ChatXingchen",
            {
                "langchain_core.tools",
                "xingchen_core._client",
                "xingchen_core.characters.platform_history",
                "xingchen_core.bailian",
            },
        ),
        (
            "from langchain_xingchen import BailianRetriever",
            {"xingchen_core.bailian.knowledge_files", "xingchen_core.bailian.knowledge_imports"},
        ),
        ("from llama_index_xingchen import Xingchen", {"xingchen_core._client", "xingchen_core.bailian"}),
        ("from llama_index_xingchen import BailianRetriever", {"xingchen_core.bailian.memory"}),
    ],
)
def test_a_name_loads_what_it_needs(code: str, unneeded: set[str]) -> None:
    """An import pays neither for sending, nor for the other services, nor for what only annotations name."""
    result = probe(code)
    assert result.returncode == 0, result.stderr + result.stdout
    assert not (unneeded | {"xingchen_core.beebot"}) & set(result.stdout.split())


def test_the_pytest_plugin_needs_no_web_server() -> None:
    """Every run of pytest loads the plugin: also where the extra `emulator` is not installed, and without its cost."""
    result = probe("import xingchen_core.emulator._pytest", absent="starlette,uvicorn,langchain_core,llama_index")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("package", "absent", "extra"),
    [
        ("langchain_xingchen", "langchain_core", "langchain"),
        ("langchain_xingchen.middleware", "langchain", "agents"),
        ("llama_index_xingchen", "llama_index", "llama-index"),
        ("xingchen_core.emulator", "starlette", "emulator"),
        ("xingchen_core.emulator", "uvicorn", "emulator"),
    ],
)
def test_a_missing_framework_names_its_extra(package: str, absent: str, extra: str) -> None:
    """Whoever forgot an extra reads what to install."""
    result = probe(NAME_ALL.format(package), absent=absent)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"xingchen-integrations[{extra}]" in last


# Who may import whom


def imports(path: Path) -> Iterator[str]:
    """The dotted names a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def importers(package: str, *forbidden: str, but_not_in: str = "\0") -> list[str]:
    """Modules of `package` that import one of the forbidden packages."""
    return [
        f"{path.name} imports {name}"
        for path in package_files(package)
        if but_not_in not in path.as_posix()
        for name in imports(path)
        if any(f"{name}.".startswith(f"{package}.") for package in forbidden)
    ]


def test_the_core_knows_no_framework() -> None:
    """`xingchen_core` imports neither framework and neither adapter, not even inside a function."""
    assert importers("xingchen_core", "langchain_core", "langchain", "llama_index", *PACKAGES[1:]) == []


def test_the_adapters_do_not_know_each_other() -> None:
    """Each adapter works alone."""
    assert importers("langchain_xingchen", "llama_index", "llama_index_xingchen") == []
    assert importers("llama_index_xingchen", "langchain_core", "langchain", "langchain_xingchen") == []


# What our own packages share although it is of no use to others. Everything else an adapter needs is public.
SHARED_INSIDE = {
    "xingchen_core._call.Page",
    "xingchen_core._config.ACCESS_KEY_VARIABLES",
    "xingchen_core._config.ConnectionSettings",
    "xingchen_core._config.plain_timeout",
}


def test_the_adapters_use_public_names_of_the_core() -> None:
    """What an adapter needs, every user of the core can have; the few exceptions are listed above."""
    names = {name for package in PACKAGES[1:] for path in package_files(package) for name in imports(path)}
    private = {name for name in names if name.startswith("xingchen_core.") and "._" in name.replace(".__version__", "")}
    assert private - SHARED_INSIDE == set()


def test_emulator_and_client_share_nothing() -> None:
    """The emulator is a second reading of the documentation: neither imports the other's modules."""
    inside = "xingchen_core/emulator/"
    assert importers("xingchen_core", "xingchen_core.emulator", but_not_in=inside) == []
    shared = [
        f"{path.name} imports {name}"
        for path in package_files("xingchen_core.emulator")
        for name in imports(path)
        if name.startswith("xingchen_core") and not name.startswith("xingchen_core.emulator")
    ]
    assert shared == []
