"""The Python packages that a system lacks: which releases, and how they get into a package."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
import tempfile
from pathlib import Path

from building.source import ROOT, BuildError, call, project
from building.targets import EXTRAS, Target

_FOLDER = ROOT / "packaging" / "bundled"
# For Python 3.10 and older. pip 23.2 judges by the Python that runs it whether they are needed.
_OLD_PYTHON = ("exceptiongroup", "async-timeout")
_GLIBC = ("manylinux_2_28", "manylinux2014", "manylinux2010", "manylinux1")


def needed(target: Target, root: Path = ROOT) -> list[str]:
    """Return what is bundled for a target, as pyproject.toml asks for it."""
    needs = project(root)["needs"]
    wanted = [each for extra in ("", *EXTRAS) for each in needs[extra]]
    bundled = [each for each in wanted if name_of(each) not in target.depends]
    if not target.is_pure and target.python in ("3.9", "3.10"):
        bundled += _OLD_PYTHON
    return bundled


def name_of(requirement: str) -> str:
    """Return the name that a requirement begins with."""
    return re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]


def locked(target: Target) -> dict[str, str]:
    """Return the releases that are bundled for a target, by name."""
    path = _FOLDER / f"{target.name}.txt"
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8")))


def lock(target: Target) -> Path:
    """Write the newest releases that fit, with their checksums; return the file."""
    lines = [f"# Bundled for {target.name}; written by tools/packages --lock."]
    with tempfile.TemporaryDirectory() as folder:
        # Not `pip install --dry-run`: in pip 23.2 it asks for releases for the Python that runs it.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder]
        deps = ["--no-deps"] if target.is_pure else []
        call([*pip, *_platform(target), *deps, *needed(target)], ROOT, 0)
        for wheel in sorted(Path(folder).iterdir(), key=lambda each: each.name.lower()):
            name, version, _ = wheel.name.split("-", 2)
            checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
            lines.append(f"{name}=={version} --hash=sha256:{checksum}")
    path = _FOLDER / f"{target.name}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def install(target: Target, wheel: Path, site: Path, at: int) -> None:
    """Put he_fsm and what is bundled with it into a folder."""
    lock_file = _FOLDER / f"{target.name}.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--target", str(site), *_platform(target)]
    try:
        call([*pip, "--require-hashes", "-r", str(lock_file)], ROOT, at)
    except BuildError as error:
        if platform.machine() != "x86_64" and not target.is_pure:
            msg = f"{lock_file} is for x86_64; use --lock first: {error}"
            raise BuildError(msg) from error
        raise
    call([*pip, "--no-index", str(wheel)], ROOT, at)
    for path in site.rglob("direct_url.json"):
        # It names a folder of the machine on which this was built.
        _forget(path)


def _forget(path: Path) -> None:
    path.unlink()
    record = path.parent / "RECORD"
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("".join(line for line in lines if path.name not in line), encoding="utf-8")


def _platform(target: Target) -> list[str]:
    platforms = [f"{glibc}_{platform.machine()}" for glibc in _GLIBC]
    words = ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    for each in platforms:
        words += ["--platform", each]
    return words
