"""
A kernel for the guest: the distribution's own, from /boot or from its package.

The package is fetched once, without installing it, into a cache outside of any source tree
(`$XDG_CACHE_HOME/he-fsm`).
"""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError

PACKAGE: Final = "linux-image-cloud-amd64"
# Where a bzImage says how long its first part is, and where in the second one its payload is.
# Source: Documentation/x86/boot.rst of the Linux kernel.
_SETUP_SECTORS: Final = 0x1F1
_PAYLOAD: Final = 0x248
_SECTOR_BYTES: Final = 512
_FETCH_S: Final = 300.0


class GuestError(HeFsmError):
    """The guest can't be built here; the message says what is missing."""


@attrs.frozen
class Kernel:
    """A compressed kernel and the folder of its modules (`lib/modules/VERSION/kernel`)."""

    image: Path
    modules: Path

    @property
    def version(self) -> str:
        """What `uname -r` says under it."""
        return self.modules.parent.name


def cache_folder() -> Path:
    """Give the folder of what is kept from one run to the next; it is made."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "he-fsm"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_kernel() -> Kernel:
    """
    Give a kernel of this machine, else the one that was fetched.

    Raises:
        GuestError: there is none.
    """
    for root in (cache_folder() / "kernel", Path("/")):
        found = _kernel_below(root)
        if found is not None:
            return found
    msg = (
        f"a kernel for the guest is missing: install the package {PACKAGE}, or have it fetched"
        " (27 MB) by python -m he_fsm.rehearse.guest.kernel"
    )
    raise GuestError(msg)


def fetch_kernel() -> Kernel:
    """
    Give a kernel; where there is none, fetch the distribution's package, about 27 MB.

    Raises:
        GuestError: there is no apt, or it can't fetch it.
    """
    try:
        return find_kernel()
    except GuestError:
        pass
    folder = cache_folder() / "kernel"
    folder.mkdir(exist_ok=True)
    for line in _run("apt-cache", "depends", PACKAGE, cwd=folder).splitlines():
        kind, _, package = line.strip().partition(" ")
        if kind == "Depends:":
            _run("apt-get", "download", package, cwd=folder)
    for archive in folder.glob("*.deb"):
        _run("dpkg", "-x", archive.name, ".", cwd=folder)
        archive.unlink()
    return find_kernel()


def unpacked(kernel: Kernel) -> Path:
    """
    Give the kernel without its compression: an emulated processor would take seconds for it.

    Raises:
        GuestError: the image is none, or is compressed in a way that is not known here.
    """
    path = cache_folder() / f"vmlinux-{kernel.version}"
    if path.exists() and path.stat().st_mtime >= kernel.image.stat().st_mtime:
        return path
    data = kernel.image.read_bytes()
    offset, size = struct.unpack_from("<II", data, _PAYLOAD)
    begins_at = (data[_SETUP_SECTORS] + 1) * _SECTOR_BYTES + offset
    # The payload ends with its unpacked size, which is none of the compressed data.
    unpacked_data = _decompress(data[begins_at : begins_at + size - 4])
    if not unpacked_data.startswith(b"\x7fELF"):
        msg = f"{kernel.image} holds no kernel that can be unpacked"
        raise GuestError(msg)
    # Another run may read it at this moment.
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(unpacked_data)
    fresh.replace(path)
    return path


def module(kernel: Kernel, name: str) -> Optional[bytes]:
    """Give a module (`drivers/block/virtio_blk`); None: it is a part of the kernel."""
    path = kernel.modules / f"{name}.ko"
    if path.exists():
        return path.read_bytes()
    path = path.with_suffix(".ko.xz")
    return lzma.decompress(path.read_bytes()) if path.exists() else None


def _kernel_below(root: Path) -> Optional[Kernel]:
    for image in sorted((root / "boot").glob("vmlinuz-*"), reverse=True):
        version = image.name.partition("-")[2]
        modules = root / "lib" / "modules" / version / "kernel"
        if modules.is_dir() and os.access(image, os.R_OK):
            return Kernel(image, modules)
    return None


def _decompress(data: bytes) -> bytes:
    if data.startswith(b"\xfd7zXZ"):
        return lzma.decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompress(data, wbits=31)
    if data.startswith(b"\x02\x21\x4c\x18"):
        return _filtered(data, "lz4")
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return _filtered(data, "zstd")
    return b""


def _filtered(data: bytes, program: str) -> bytes:
    found = shutil.which(program)
    if found is None:
        msg = f"the kernel is compressed by {program}: install the package {program}"
        raise GuestError(msg)
    ended = subprocess.run(  # noqa: S603 - a program of the system, and no words of others
        [found, "-d", "-c", "-q", "-"], input=data, capture_output=True, check=False
    )
    return ended.stdout


def _run(program: str, *arguments: str, cwd: Path) -> str:
    found = shutil.which(program)
    if found is None:
        msg = f"{program} is missing: put a kernel and its modules below {cwd}"
        raise GuestError(msg)
    try:
        return subprocess.run(  # noqa: S603 - programs of the system
            [found, *arguments], cwd=cwd, capture_output=True, text=True, check=True,
            timeout=_FETCH_S,
        ).stdout  # fmt: skip
    except subprocess.SubprocessError as error:
        msg = f"{program} {' '.join(arguments)}: {getattr(error, 'stderr', '') or error}"
        raise GuestError(msg) from error


def main() -> int:
    """Fetch a kernel, as a command; say what is missing."""
    try:
        kernel = fetch_kernel()
    except GuestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{kernel.image}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
