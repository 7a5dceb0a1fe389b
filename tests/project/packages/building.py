"""Packages for tests: those of this tree, and those of the release before."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from he_fsm import __version__

ROOT = Path(__file__).parents[3]
BEFORE = "0.0.9"
# The release's time, as a distribution sets it.
EPOCH = 1_764_547_200


def build(output: Path, *targets: str, root: Path = ROOT) -> dict[str, Path]:
    """Build as `make packages` does; return the files by their names without versions."""
    words = [word for target in targets for word in ("--target", target)] or ["--only-source"]
    done = subprocess.run(
        [sys.executable, str(root / "tools" / "packages"), "--output", str(output), *words],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        re.split(r"[_-]\d", Path(line).name)[0] + Path(line).suffix: Path(line)
        for line in done.stdout.splitlines()
    }


def release_before(folder: Path) -> Path:
    """Make a tree of the release before: this one, with a lower version."""
    files = subprocess.run(
        [
            str(shutil.which("git")),
            "-C",
            str(ROOT),
            *("ls-files", "-z", "-c", "-o", "--exclude-standard"),
        ],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        if path.is_file() and not name.startswith(("tests/", "benchmarks/", "findings/")):
            copied = folder / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
            copied.chmod(path.stat().st_mode)
    for name in ("pyproject.toml", "he_fsm/__init__.py", "packaging/hosted-engine/pyproject.toml"):
        text = (folder / name).read_text(encoding="utf-8")
        assert f'"{__version__}"' in text
        changed = text.replace(f'"{__version__}"', f'"{BEFORE}"')
        (folder / name).write_text(changed, encoding="utf-8")
    return folder


def field(deb: Path, name: str) -> str:
    """Return a field of a .deb's control data."""
    return subprocess.run(
        [str(shutil.which("dpkg-deb")), "-f", str(deb), name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
