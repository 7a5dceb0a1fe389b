"""
Two builds of this project for `against.py`: an older commit and this tree.

Each is built from sources of its own into an environment of its own, in a temporary folder. This
tree is left as it is; the older commit is a git worktree until the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]
# What the measurements need of the package.
EXTRAS = "daemon,campaign,report"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "install")
# A program that was told to end by Ctrl-C has labs to close.
_ENDS_WITHIN_S = 60.0
_LAST_WORDS = 300


class AgainstError(Exception):
    """It can't be compared; the message is a sentence for people."""


class Build(NamedTuple):
    """A package that Python finds in an environment."""

    python: Path
    # Where the compiled package is; None: the environment's own is taken, which is plain.
    compiled: Optional[Path] = None

    def environment(self) -> dict[str, str]:
        """Return what a process of this build gets."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return kept if self.compiled is None else {**kept, "PYTHONPATH": str(self.compiled)}


class Failed(Exception):  # noqa: N818 - a fact, and not always an error
    """A program failed; the message is the last that it said."""


def said_by(
    command: Sequence[object],
    cwd: Path,
    environment: Optional[Mapping[str, str]] = None,
) -> str:
    """
    Run a program, and return what it prints.

    It is in a process group of its own, so that Ctrl-C reaches it once, and is waited for then.

    Raises:
        Failed: it ends with another status than 0.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complaints = process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=_ENDS_WITHIN_S)
        finally:
            process.kill()
        raise
    if process.returncode:
        lines = [line for line in complaints.splitlines() if line.strip()]
        raise Failed(lines[-1][-_LAST_WORDS:] if lines else f"exit status {process.returncode}")
    return printed


def git(*words: str) -> str:
    """Return what git says about this clone; raises `Failed`."""
    return said_by(("git", "-C", ROOT, *words), ROOT).strip()


def commit_of(revision: Optional[str]) -> str:
    """
    Return a commit's name; without *revision*, of the one that this tree is best compared with.

    Raises:
        AgainstError: there is none, or this is no clone.
    """
    if shutil.which("git") is None:
        msg = "git is missing: an older commit can't be had"
        raise AgainstError(msg)
    try:
        top = git("rev-parse", "--show-toplevel")
    except Failed as error:
        msg = f"git has no older commit of {ROOT}: {error}"
        raise AgainstError(msg) from error
    if Path(top).resolve() != ROOT:
        msg = f"git has no older commit of {ROOT}: it is a folder of the clone {top}"
        raise AgainstError(msg)
    if revision is None:
        return _usual_commit()
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except Failed:
        msg = f"no commit of this clone is called {revision!r}: try REV=HEAD~1, a tag or a branch"
        raise AgainstError(msg) from None


def _usual_commit() -> str:
    """Return where this branch left main; on main itself, the newest tag."""
    head = git("rev-parse", "HEAD")
    for words in (
        ("merge-base", "HEAD", "main"),
        ("merge-base", "HEAD", "origin/main"),
        ("describe", "--tags", "--abbrev=0", "HEAD"),
    ):
        try:
            found = git("rev-parse", f"{git(*words)}^{{commit}}")
        except Failed:
            continue
        if found != head:
            return found
    msg = "this is main, and no earlier commit has a tag: name one, like REV=HEAD~1"
    raise AgainstError(msg)


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out into *folder*, until the end."""
    try:
        git("worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder
    finally:
        if folder.exists():
            git("worktree", "remove", "--force", str(folder))


def copy_of_this_tree(folder: Path) -> Path:
    """Copy what this tree has, changes that are not committed yet too, but nothing ignored."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        # One that was deleted is still listed.
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def plain_build(source: Path, folder: Path) -> Build:
    """
    Make an environment with the package and what it needs.

    Raises:
        AgainstError: it can't be built.
    """
    build = Build(folder / "bin" / "python")
    environment = {**build.environment(), **_temporary(folder)}
    try:
        said_by((sys.executable, "-m", "venv", folder), source, environment)
        said_by((build.python, *_PIP, f"{source}[{EXTRAS}]"), source, environment)
    except Failed as error:
        msg = f"the {source.name} build can't be made: {error}"
        raise AgainstError(msg) from error
    return build


def compiled_build(plain: Build, source: Path, folder: Path) -> Optional[Build]:
    """
    Compile the package into *folder*; None: this commit has no compiled build.

    Raises:
        AgainstError: it can't be compiled.
    """
    environment = {**plain.environment(), **_temporary(folder), "HE_FSM_COMPILE": "1"}
    command = (plain.python, *_PIP, "--no-deps", "--target", folder, source)
    try:
        said_by(command, source, environment)
    except Failed as error:
        msg = f"the {source.name} build can't be compiled: {error}"
        raise AgainstError(msg) from error
    return Build(plain.python, folder) if list(folder.glob("he_fsm/step.*.so")) else None


def _temporary(folder: Path) -> dict[str, str]:
    """Return what makes pip leave its files beside *folder*, to be removed with it."""
    place = folder.parent / "temporary"
    place.mkdir(exist_ok=True)
    return {"TMPDIR": str(place)}
