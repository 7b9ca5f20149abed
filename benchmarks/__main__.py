"""All benchmarks, one after another, with the floors measured in the same run.

    python benchmarks                       everything, about thirteen minutes
    python benchmarks --only stream calls   some of them
    python benchmarks --size quick --compare
    python benchmarks --record

They talk to a server of their own on 127.0.0.1. `--compare` tells which ratios are worse than the recorded ones
(recorded.json) and never fails because of them; `--record` replaces those and the tables of docs/performance.md.
"""

import json
import time

import calls
import concurrency
import first_token
import history
import imports
import retriever
import stream
import table
from _bench import Hosts, measured, parser
from _readers import warm_up

BENCHES = {
    "stream": stream,
    "calls": calls,
    "first_token": first_token,
    "concurrency": concurrency,
    "imports": imports,
    "history": history,
    "retriever": retriever,
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES), metavar="BENCH")
    options.add_argument("--compare", action="store_true", help="warn of ratios worse than the recorded ones")
    options.add_argument("--record", action="store_true", help="keep the figures, and write docs/performance.md")
    asked = options.parse_args()
    began, found = time.monotonic(), {}
    with Hosts(warm_up) as hosts:
        for name in asked.only:
            print(f"## benchmarks/{name}.py\n", flush=True)
            found[name] = measured(BENCHES[name].measure, BENCHES[name].SIZES, hosts, asked.size, asked.rounds)
    if asked.json:
        asked.json.write_text(json.dumps(found, ensure_ascii=False), "utf-8")
    if asked.compare:
        worse = list(table.slower(found, table.recorded()))
        for line in worse:
            print(f"WARNING: slower than recorded: {line}")
        print(f"{len(worse)} ratios are worse than the recorded ones. A busy machine can do that: nothing fails.")
    if asked.record:
        table.record(found)
        table.write_page()
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
