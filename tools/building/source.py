"""The source as it is here, its wheel and its sdist: the same bytes each time."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What a build leaves in a tree that is no checkout, and what an sdist has beside the source.
_NOT_SOURCE = shutil.ignore_patterns(
    *("PKG-INFO", "setup.cfg"),
    "build",
    "dist",
    "*.egg-info",
    "__pycache__",
    ".*cache",
    ".venv*",
    ".hypothesis",
    ".git",
)
_HOOK = (
    "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
)


class BuildError(Exception):
    """A package can't be built; the message says what is missing."""


def project(root: Path = ROOT) -> dict[str, Any]:
    """Return what pyproject.toml says of the project: its version, and what it depends on."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'(?m)^version = "(.+)"', text)
    if version is None:
        msg = f"{root}/pyproject.toml names no version"
        raise BuildError(msg)
    extras = text.split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    lists = {"": text, **dict(re.findall(r"(?ms)^(\w+) = \[(.*?)\]", extras))}
    lists[""] = re.findall(r"(?ms)^dependencies = \[(.*?)\]", text)[0]
    needs = {name: re.findall(r'"([^"]+)"', found) for name, found in lists.items()}
    return {"version": version[1], "needs": needs}


def epoch(root: Path = ROOT) -> int:
    """Return the time that all files get: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return int(given)
    logged = None
    if (root / ".git").exists():
        logged = subprocess.run(  # noqa: S603 - a list of words
            [found("git"), "-C", str(root), "log", "-1", "--format=%ct"],
            stdout=subprocess.PIPE,
            check=False,
        )
    if logged is None or logged.returncode != 0:
        msg = "this is no checkout: set SOURCE_DATE_EPOCH to the release's time"
        raise BuildError(msg)
    return int(logged.stdout)


def copy(root: Path, target: Path, at: int) -> None:
    """Copy the source, without what is built; modes and times depend on nobody."""
    if (root / ".git").exists():
        words = ["-C", str(root), "ls-files", "-z", "-c", "-o", "--exclude-standard"]
        listed = subprocess.run(  # noqa: S603 - a list of words
            [found("git"), *words], stdout=subprocess.PIPE, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (root / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, target / name, follow_symlinks=False)
                shutil.copymode(root / name, target / name)
    else:
        shutil.copytree(root, target, ignore=_NOT_SOURCE, dirs_exist_ok=True, symlinks=True)
    same_everywhere(target, at)


def same_everywhere(folder: Path, at: int) -> None:
    """Set the usual modes, and one time, for all files of a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink():
            os.utime(path, (at, at), follow_symlinks=False)
            continue
        is_program = path.is_dir() or (os.access(path, os.X_OK) and path.stat().st_mode & 0o111)
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (at, at))


def call(words: list[str], cwd: Path, at: int, **more: str) -> None:
    """Run a tool that builds; its output is shown only if it fails."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(at), "LC_ALL": "C.UTF-8", "TZ": "UTC", **more}
    words = [found(words[0]), *words[1:]]
    done = subprocess.run(  # noqa: S603 - a list of words
        words, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        msg = f"{' '.join(words[:2])} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        raise BuildError(msg)


_PACKAGE_OF: Mapping[str, str] = {
    "dpkg-buildpackage": "dpkg-dev",
    "dh_builddeb": "debhelper",
    "rpmbuild": "rpm (Debian) or rpm-build (Enterprise Linux)",
}


def found(program: str) -> str:
    """Return the path of a program; raises `BuildError` with the package that has it."""
    path = shutil.which(program)
    if path is None:
        where = _PACKAGE_OF.get(program, program)
        msg = f"{program} is missing: install the package {where}"
        raise BuildError(msg)
    return path


def wheel(source: Path, output: Path, at: int) -> Path:
    """Build the wheel of a source; return its path."""
    output.mkdir(parents=True, exist_ok=True)
    call([sys.executable, "-c", _HOOK, "build_wheel", str(output)], source, at)
    shutil.rmtree(source / "build", ignore_errors=True)
    return max(output.glob("he_fsm-*.whl"), key=lambda path: path.stat().st_mtime)


def sdist(source: Path, output: Path, at: int) -> Path:
    """Build the sdist of a source; return its path."""
    output.mkdir(parents=True, exist_ok=True)
    call([sys.executable, "-c", _HOOK, "build_sdist", str(output)], source, at)
    [path] = output.glob(f"he_fsm-{project(source)['version']}.tar.gz")
    _normalise(path, at)
    return path


def _normalise(path: Path, at: int) -> None:
    """Write an archive anew, without what depends on the machine: times, owners, the order."""
    packed = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = at, 0, 0, "", ""
            member.pax_headers = {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=at) as zipped:
        zipped.write(packed.getvalue())
