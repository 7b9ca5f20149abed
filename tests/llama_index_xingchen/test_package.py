"""Conformance items 76 and 77: what this package adds to LlamaIndex. `tests/test_packaging.py` has the rest of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROBE = """
import json, sys, time
began = time.process_time()
import llama_index.core, llama_index.core.program.utils
core = time.process_time() - began

def packages():
    return {name.partition(".")[0] for name in sys.modules}

before = packages()
began = time.process_time()
from llama_index_xingchen import Xingchen
took = time.process_time() - began
print(json.dumps({"share": took / core, "added": sorted(packages() - before)}))
"""


def test_it_costs_little_on_top_of_llama_index(tmp_path: Path) -> None:
    """Items 76 and 77: importing it, core included, takes little more than the core, and no other distribution.

    A twenty-fifth more at most: the item's 50 ms where the core takes 1.25 s, since a time alone tests the machine.
    In one of ten processes, with bytecode as an installed package has it; `benchmarks/imports.py` has the figures.
    """
    path = os.pathsep.join(entry for entry in sys.path if entry)
    own = {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-W", "error", "-c", PROBE]

    def measured() -> dict[str, Any]:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **own})
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    run = measured()
    assert [name for name in run["added"] if name not in sys.stdlib_module_names] == [
        "llama_index_xingchen",
        "xingchen_core",
    ]
    assert any(measured()["share"] < 0.04 for _ in range(10))
