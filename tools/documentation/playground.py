"""
The files of the playground: Pyodide, he_fsm's own wheel and the wheels that it needs.

Pyodide comes from the npm registry and the wheels from PyPI, by npm and pip as they are configured.
Each has its version and checksum in pins.json and wheels.txt. What was fetched once is kept below
build/, and its checksum is looked at again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.building import source
from tools.documentation.errors import SiteError

ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
PINS = _HERE / "pins.json"
_WHEELS = _HERE / "wheels.txt"
# What a page loads of Pyodide's package; the rest is for Node.js and for TypeScript.
_LOADED = ("pyodide.mjs", "python_stdlib.zip", "pyodide-lock.json", "package.json", "README.md")
_LOADED_BY_PATTERN = re.compile(r"pyodide\.asm\.(mjs|js|wasm)")
# Compiled for one kind of machine; without them a package uses its Python code.
_COMPILED = (".so", ".pyd", ".dylib")
SCENARIOS = ROOT / "examples" / "talk.yaml"
ALL = "all of the talk"


def build(target: Path, cache: Path) -> None:
    """
    Write the playground's files into a folder, which is made anew.

    Raises:
        SiteError: something can't be fetched, or is not what the pins say.
    """
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(_HERE / "in_browser", target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "wheels").mkdir()
    _unpack_pyodide(fetched_pyodide(cache), target / "pyodide")
    wheels = [
        *(without_compiled(path, target / "wheels") for path in fetched_wheels(cache)),
        _own_wheel(target / "wheels"),
    ]
    text = SCENARIOS.read_text(encoding="utf-8")
    about = {"wheels": [path.name for path in wheels], "scenarios": list(scenarios(text))}
    (target / "playground.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def scenarios(text: str) -> Iterator[dict[str, str]]:
    """Yield the scenarios of a file, each as a file of its own with its comments; then all."""
    head, *items = re.split(r"(?m)^(?=  - name: )", text)
    for item in items:
        yield {
            "name": item.split("\n")[0].partition("name: ")[2],
            "text": f"scenarios:\n{item.rstrip()}\n",
        }
    yield {"name": ALL, "text": head + "".join(items)}


def fetched_pyodide(cache: Path) -> Path:
    """
    Return Pyodide's package as npm packs it.

    Raises:
        SiteError: it can't be fetched, or has another checksum.
    """
    pin = json.loads(PINS.read_text(encoding="utf-8"))["pyodide"]
    path = cache / f"pyodide-{pin['version']}.tgz"
    if not path.is_file():
        words = ["npm", "pack", "--silent", f"pyodide@{pin['version']}"]
        _run([*words, "--pack-destination", str(cache)], "npm (package npm)")
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if f"sha512-{found}" != pin["integrity"]:
        path.unlink()
        msg = f"{path.name} is not the file of {PINS}: its checksum is sha512-{found}"
        raise SiteError(msg)
    return path


def _unpack_pyodide(package: Path, target: Path) -> None:
    target.mkdir()
    with tarfile.open(package) as archive:
        for member in archive:
            name = Path(member.name).name
            content = archive.extractfile(member) if member.isfile() else None
            if content and (name in _LOADED or _LOADED_BY_PATTERN.fullmatch(name)):
                (target / name).write_bytes(content.read())
    if not (target / "pyodide.mjs").is_file():
        msg = f"{package.name} has no pyodide.mjs: Pyodide's package has another form now"
        raise SiteError(msg)


def fetched_wheels(cache: Path) -> list[Path]:
    """
    Return the wheels that he_fsm needs in the browser; pip looks at their checksums.

    Raises:
        SiteError: pip can't fetch one, or it has another checksum.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    # One kind of machine, whatever machine this is: the same files everywhere.
    machine = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11"]
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        words = [*pip, "--no-deps", "--only-binary=:all:", *machine, "--require-hashes"]
        words += ["--find-links", str(cache), "--dest", folder, "-r", str(_WHEELS)]
        _run(words, "pip")
        paths = sorted(Path(folder).glob("*.whl"))
        return [path.replace(cache / path.name) for path in paths]


def without_compiled(wheel: Path, target: Path) -> Path:
    """Write a wheel without its compiled modules, which no browser can load; return its path."""
    tags = wheel.stem.split("-")
    path = target / ("-".join([*tags[:2], "py3", "none", "any"]) + ".whl")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            if not member.filename.endswith(_COMPILED):
                new.writestr(member, old.read(member), zipfile.ZIP_DEFLATED)
    return path


def _own_wheel(target: Path) -> Path:
    """Build he_fsm's own wheel from the source as it is here."""
    at = source.epoch()
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "source"
        copied.mkdir()
        source.copy(ROOT, copied, at)
        return source.wheel(copied, target, at)


def _run(words: list[str], what: str) -> None:
    """Run a client of a registry; what it prints is shown only if it fails."""
    program = shutil.which(words[0])
    if program is None:
        msg = f"the playground needs {what}; without it: make docs PLAYGROUND=no"
        raise SiteError(msg)
    done: Any = subprocess.run(  # noqa: S603 - a list of words
        [program, *words[1:]], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr[-2000:]
        msg = f"{what} failed; to build without network: make docs PLAYGROUND=no\n{said}"
        raise SiteError(msg)
