"""
Measure he_fsm and print a table: `make bench`. Each figure is the best of several runs.

The table shows the compiled build as well, where `make compiled` has been called.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from measurements import MEASUREMENTS, Measurement, add_only, from_line, to_line
from table import Row, show

# Where `make compiled` puts it.
COMPILED = Path(__file__).resolve().parents[1] / "build" / "compiled"


def with_compiled(measurement: Measurement) -> Iterator[Row]:
    """Measure this build, and the compiled one where the table shows both."""
    yield from measurement.rows()
    if not measurement.compiled_as:
        return
    first, *others = _compiled_rows(measurement.name) or [None]
    if first is None:
        yield Row(measurement.compiled_as, None, None, "")
    else:
        yield first._replace(what=measurement.compiled_as)
        yield from others


def _compiled_rows(name: str) -> list[Row]:
    """Measure the compiled build; no rows where there is none."""
    if not list(COMPILED.glob("he_fsm/step.*.so")):
        return []
    done = subprocess.run(
        [sys.executable, "benchmarks/run.py", "--json", "--only", name],
        env={**os.environ, "PYTHONPATH": str(COMPILED)},
        cwd=COMPILED,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [from_line(line) for line in done.stdout.splitlines()]


def main() -> None:
    """Measure everything, or what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_only(parser)
    parser.add_argument("--json", action="store_true", help="of this build, a line a figure")
    options = parser.parse_args()
    began = time.perf_counter()
    chosen = [MEASUREMENTS[name] for name in options.only or MEASUREMENTS]
    if options.json:
        for measurement in chosen:
            for row in measurement.rows():
                print(to_line(row), flush=True)
        return
    show([row for measurement in chosen for row in with_compiled(measurement)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{time.perf_counter() - began:.0f} s in all, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
