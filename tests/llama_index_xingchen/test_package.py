"""Conformance items 76 and 77: what this package adds to LlamaIndex. `tests/test_packaging.py` has the rest of them."""

import json
import os
import subprocess
import sys

PROBE = """
import json, sys, time
import llama_index.core, llama_index.core.program.utils

def packages():
    return {name.partition(".")[0] for name in sys.modules}

before = packages()
import xingchen_core.characters

def seconds():
    began = time.process_time()
    import llama_index_xingchen.llms
    took = time.process_time() - began
    for name in [name for name in sys.modules if name.startswith("llama_index_xingchen")]:
        del sys.modules[name]
    return took

took = sorted(seconds() for _ in range(5))
print(json.dumps({"median": took[2], "added": sorted(packages() - before)}))
"""


def test_it_costs_little_on_top_of_llama_index() -> None:
    """Items 76 and 77: importing it adds no package of another distribution, and takes less than 50 ms of CPU."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-W", "error", "-c", PROBE]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    measured = json.loads(result.stdout)
    assert [name for name in measured["added"] if name not in sys.stdlib_module_names] == ["xingchen_core"]
    assert measured["median"] < 0.05
