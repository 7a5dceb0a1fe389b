"""The distribution's kernel package, fetched by apt and unpacked; nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from he_fsm.lab.guest.cache import GuestError

PACKAGE: Final = "linux-image-cloud-amd64"
_FETCH_S: Final = 300.0


@contextmanager
def fetch(folder: Path) -> Iterator[Path]:
    """
    Fetch and unpack the package below *folder*; what is not taken away from there is removed.

    Raises:
        GuestError: there is no apt, or it can't fetch the package.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=folder) as name:
        place = Path(name)
        _download(place)
        root = place / "root"
        for archive in place.glob("*.deb"):
            _run("dpkg", "-x", archive.name, root.name, cwd=place)
        yield root


def _download(place: Path) -> None:
    try:
        _download_by_lists(place)
    except GuestError:
        # This machine's lists of packages are missing, or older than the archive. Lists of one's
        # own need no root.
        own = (f"-oDir::State::lists={place}/lists", f"-oDir::Cache={place}/cache")
        _run("apt-get", *own, "update", cwd=place)
        _download_by_lists(place, *own)


def _download_by_lists(place: Path, *options: str) -> None:
    for line in _run("apt-cache", *options, "depends", PACKAGE, cwd=place).splitlines():
        kind, _, package = line.strip().partition(" ")
        if kind == "Depends:":
            _run("apt-get", *options, "download", package, cwd=place)


def _run(program: str, *arguments: str, cwd: Path) -> str:
    found = shutil.which(program)
    if found is None:
        msg = f"the package {PACKAGE} can't be fetched here: {program} is missing"
        raise GuestError(msg)
    try:
        return subprocess.run(  # noqa: S603 - programs of the system
            [found, *arguments], cwd=cwd, capture_output=True, text=True, check=True,
            timeout=_FETCH_S,
        ).stdout  # fmt: skip
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        msg = f"{program} {' '.join(arguments)}: {said}"
        raise GuestError(msg) from error
