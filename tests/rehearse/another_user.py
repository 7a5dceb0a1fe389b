"""
A user who is nobody, with all that this project needs in a folder of its own.

What such a user can't read is nothing to lean on: root's home, clone, environment, Python and cache
are closed to it on many machines.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import attrs
import pytest
from packaging.requirements import Requirement

NOBODY = 65534
ROOT = Path(__file__).parents[2]
NOT_NEEDED = ("site-packages", "test", "__pycache__", "config-*", "idlelib", "tkinter", "ensurepip")
# What the daemons of a rehearsal are started by has to be there for the user, too.
TRIAL = """
import subprocess, sys
import he_fsm.lab.sanlock.lab, he_fsm.cli.main, rich
subprocess.run([sys.executable, "-c", ""], check=True)
"""


@attrs.define
class AnotherUser:
    """Runs this project's Python; what it writes may be in `labs` and `cache`."""

    folder: Path
    python: str = os.path.realpath(sys.executable)
    # Of the process; nothing of this one's is taken over.
    environment: dict[str, str] = attrs.field(factory=dict)

    @property
    def labs(self) -> Path:
        """Return the folder for temporary files."""
        return self.folder / "labs"

    def set_up(self, *extras: str) -> None:
        """Copy what the user needs; the test is skipped where nobody else can be had."""
        if os.geteuid() == 0 and shutil.which("setpriv") is None:
            pytest.skip("setpriv is missing: install the package util-linux")
        packages = self.folder / "packages"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "he_fsm", packages / "he_fsm", ignore=ignored)
        for each in needed("he-fsm", *extras):
            copy_files(each, packages)
        for name in ("home", "cache", "labs"):
            (self.folder / name).mkdir()
            if os.geteuid() == 0:
                os.chown(self.folder / name, NOBODY, NOBODY)
        self.environment |= {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "TMPDIR": str(self.labs),
            "PYTHONPATH": str(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.open()
        if self.tried():
            self._copy_python()
            assert self.tried() == ""

    def tried(self) -> str:
        """Say why the user can't run this project; nothing where it can."""
        try:
            return self.run(TRIAL).stderr
        except OSError as error:
            return str(error)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Python's, the first word, with the others for its arguments."""
        as_other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return subprocess.run(
            [*(as_other if os.geteuid() == 0 else []), self.python, "-c", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def open(self) -> None:
        """Make a folder readable for the user, whatever the umask or the source's modes are."""
        for path in (self.folder, *self.folder.rglob("*")):
            if not path.is_symlink():
                may_enter = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(path.stat().st_mode | (0o555 if may_enter else 0o444))

    def _copy_python(self) -> None:
        """Copy this Python: it is in a place that is closed to others."""
        copy = self.folder / "python"
        library = Path(sysconfig.get_path("stdlib"))
        ignored = shutil.ignore_patterns(*NOT_NEEDED)
        shutil.copytree(library, copy / "lib" / library.name, ignore=ignored)
        for shared in library.parent.glob("libpython*"):
            shutil.copy(shared, copy / "lib")
        (copy / "bin").mkdir()
        self.python = shutil.copy(self.python, copy / "bin")
        self.environment["LD_LIBRARY_PATH"] = str(copy / "lib")
        self.open()


def needed(name: str, *extras: str) -> Iterator[Distribution]:
    """Return what a distribution needs with *extras*, and what that needs, each once."""
    found: dict[str, Distribution] = {}
    open_ones = [(name, frozenset(extras))]
    seen = set(open_ones)
    while open_ones:
        name, asked = open_ones.pop()
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*asked, "")):
                word = re.sub(r"[-_.]+", "-", requirement.name).lower()
                found[word] = distribution(word)
                key = (word, frozenset(requirement.extras))
                if key not in seen:
                    seen.add(key)
                    open_ones.append(key)
    return iter(found.values())


def copy_files(each: Distribution, folder: Path) -> None:
    """Copy the modules of a distribution, but not its commands."""
    for file in each.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            copy = folder / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), copy)
