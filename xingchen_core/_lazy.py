"""Names of a package that load their file when first used: a program that needs one call should not pay for all."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(module: str, files: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `module`, given the names that each file of its package holds.

    The module is the package itself or one of its files. No name of the package may be that of a file: importing the
    file would put the module in its place.
    """
    homes = {name: file for file, names in files.items() for name in names}
    package = module if hasattr(sys.modules[module], "__path__") else module.rpartition(".")[0]

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[module], name, value)  # found without us from now on
        return value

    return __getattr__
