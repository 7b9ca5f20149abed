"""Names of a package that load their file when first used: a program that needs one call should not pay for all."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(package: str, files: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `package`, given the names that each of its files holds.

    No name may be that of a file: importing the file would put the module in its place.
    """
    homes = {name: file for file, names in files.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)  # found without us from now on
        return value

    return __getattr__
