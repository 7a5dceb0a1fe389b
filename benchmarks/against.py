"""
Compare this tree with an older commit: `make bench-against REV=COMMIT`.

Both are built in environments of their own, plain and, where there is gcc, compiled. Each figure of
`make bench` is measured by this tree's own programs, of the old and the new build in turn; the
table shows the medians. Exit status 1: a figure is worse by more than a tenth.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from builds import (
    AgainstError,
    Build,
    Failed,
    commit_of,
    compiled_build,
    copy_of_this_tree,
    git,
    plain_build,
    said_by,
    worktree,
)
from comparison import Compared, compared, summary, table_head, table_line
from measurements import MEASUREMENTS, add_only, from_line
from table import Row

WIDTH = 48
EXIT_INTERRUPTED = 130
KINDS = ("plain", "compiled")


class Pair(NamedTuple):
    """An old and a new build of one kind."""

    kind: str
    old: Build
    new: Build


class Bench:
    """Measures pairs of builds in turn, in a folder that has nothing to import by mistake."""

    def __init__(self, script: Path, folder: Path, rounds: int) -> None:
        """*script* is the program that measures, *folder* where it runs."""
        self.found: list[Compared] = []
        # What the new build can't do.
        self.broken: list[str] = []
        self._script = script
        self._folder = folder
        self._rounds = rounds

    def compare(self, pair: Pair, names: list[str]) -> None:
        """Measure, and print each figure when it is known."""
        for build, of in ((pair.old, "old"), (pair.new, "new")):
            self._check(build, of)
        print(f"\n{pair.kind}\n{table_head(WIDTH)}")
        for name in names:
            for line in self._lines(pair, name):
                print(line, flush=True)

    def _check(self, build: Build, of: str) -> None:
        """See that it is this build that is measured."""
        code = "import sys, he_fsm.step; print(sys.modules['he_fsm.step'].__file__)"
        said = self._said(build, "-c", code).strip()
        place = build.compiled or build.python.parents[1]
        if not Path(said).is_relative_to(place):
            msg = f"the {of} build is in {place}, and Python takes {said}"
            raise AgainstError(msg)

    def _lines(self, pair: Pair, name: str) -> Iterator[str]:
        rounds: dict[str, list[dict[str, Row]]] = {"old": [], "new": []}
        for _ in range(self._rounds):
            for of, build in (("old", pair.old), ("new", pair.new)):
                try:
                    rounds[of].append(self._measured(build, name))
                except Failed as error:
                    yield f"{name}: the {of} build can't be measured: {error}"
                    if of == "new":
                        self.broken.append(f"{name}, {pair.kind}")
                    return
        for what, row in rounds["new"][0].items():
            figures = {of: _figures(each, what) for of, each in rounds.items()}
            if figures["old"] and figures["new"]:
                found = compared(what, row.unit, row.better, figures["old"], figures["new"])
                self.found.append(found)
                yield table_line(found, WIDTH)
            else:
                yield f"{what:<{WIDTH}} {'-':>12}"

    def _measured(self, build: Build, name: str) -> dict[str, Row]:
        said = self._said(build, self._script, "--json", "--only", name)
        return {row.what: row for row in map(from_line, said.splitlines())}

    def _said(self, build: Build, *words: object) -> str:
        return said_by((build.python, *words), self._folder, build.environment())


def _figures(rounds: list[dict[str, Row]], what: str) -> list[float]:
    """Return a figure's value of each round; none where a round has none."""
    rows = [each.get(what) for each in rounds]
    found = [row.found for row in rows if row is not None and row.found is not None]
    return found if len(found) == len(rounds) else []


@contextmanager
def _sources(commit: str) -> Iterator[Path]:
    """Yield a folder with the sources of both, `old` and `new`; it is removed at the end."""
    with ExitStack() as ends:
        name = ends.enter_context(tempfile.TemporaryDirectory(prefix="he-fsm-against-"))
        folder = Path(name)
        ends.enter_context(worktree(commit, folder / "old"))
        copy_of_this_tree(folder / "new")
        # Whoever presses Ctrl-C twice still has it removed.
        ends.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        yield folder


def _pairs(folder: Path, kinds: Sequence[str]) -> Iterator[Pair]:
    """Build both, each kind when its turn comes."""
    print("\nbuilding both, plain", flush=True)
    old, new = (plain_build(folder / of, folder / f"{of}-env") for of in ("old", "new"))
    if "plain" in kinds:
        yield Pair("plain", old, new)
    if "compiled" not in kinds:
        return
    if shutil.which("gcc") is None:
        print("\nno gcc: the compiled builds are not compared")
        return
    print("\nbuilding both, compiled", flush=True)
    compiled_old = compiled_build(old, folder / "old", folder / "old-compiled")
    compiled_new = compiled_build(new, folder / "new", folder / "new-compiled")
    if compiled_old is not None and compiled_new is not None:
        yield Pair("compiled", compiled_old, compiled_new)
    else:
        print("one of them has no compiled build: these are not compared")


def _scripts(folder: Path) -> Path:
    """
    Put this tree's programs beside the old one's scenarios, which both can play.

    The package is not beside them, so that each environment's own is measured.
    """
    scripts = folder / "scripts"
    shutil.copytree(folder / "new" / "benchmarks", scripts / "benchmarks")
    if (folder / "old" / "examples").is_dir():
        shutil.copytree(folder / "old" / "examples", scripts / "examples")
    return scripts / "benchmarks" / "run.py"


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"a whole number from 1 on is wanted, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    whence = (
        "an older commit, a tag or a branch; else where this branch left main, or the newest tag"
    )
    parser.add_argument("--rev", help=whence)
    how_often = "how often each figure is measured: 5"
    parser.add_argument("--rounds", type=_at_least_one, default=5, help=how_often)
    add_only(parser)
    parser.add_argument("--build", choices=KINDS, help="compare these builds; else both kinds")
    return parser.parse_args()


def main() -> int:
    """Compare; 1: something is worse, 2: it can't be compared."""
    options = _options()
    try:
        commit = commit_of(options.rev)
        print(f"old: {git('log', '-1', '--format=%h %s', commit)}")
        print(f"new: this tree; rounds in turn: {options.rounds}", flush=True)
        with _sources(commit) as folder:
            bench = Bench(_scripts(folder), folder, options.rounds)
            for pair in _pairs(folder, [options.build] if options.build else KINDS):
                bench.compare(pair, options.only or list(MEASUREMENTS))
    except (AgainstError, Failed) as error:
        sys.stderr.write(f"bench-against: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("bench-against: interrupted; what it made is removed\n")
        return EXIT_INTERRUPTED
    print()
    for line in summary(bench.found, bench.broken):
        print(line)
    return 1 if bench.broken or any(each.is_worse for each in bench.found) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
