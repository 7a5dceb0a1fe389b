"""
A kernel for the guest: one that is named, else the distribution's own, from its package or /boot.

`HE_FSM_GUEST_KERNEL` names a folder with `boot/vmlinuz-VERSION` and `lib/modules/VERSION`, or
`usr/lib/modules/VERSION`, where packages from Debian 13 on have it. Where nothing is named, the
package is fetched once, without installing it, into the cache.
"""

from __future__ import annotations

import hashlib
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

from he_fsm.files.whole import replacing
from he_fsm.lab.guest.apt import PACKAGE, fetch
from he_fsm.lab.guest.cache import (
    GuestError,
    cache_folder,
    cache_place,
    forget_old,
)

VARIABLE: Final = "HE_FSM_GUEST_KERNEL"
# Below it are boot and the modules.
_INSTALLED: Final = Path("/")
_MODULES: Final = ("lib/modules", "usr/lib/modules")
# Where a bzImage says how long its first part is, and where in the second one its payload is.
# Source: Documentation/x86/boot.rst of the Linux kernel.
_SETUP_SECTORS: Final = 0x1F1
_PAYLOAD: Final = 0x248
_SECTOR_BYTES: Final = 512
# Each is some 40 MB.
_UNPACKED_KEPT: Final = 3


@attrs.frozen
class Kernel:
    """A compressed kernel and the folder of its modules (`lib/modules/VERSION/kernel`)."""

    image: Path
    modules: Path

    @property
    def version(self) -> str:
        """What `uname -r` says under it."""
        return self.modules.parent.name


def find_kernel() -> Kernel:
    """
    Return the kernel that `HE_FSM_GUEST_KERNEL` names, else one that was fetched, else /boot's.

    Raises:
        GuestError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = _kernel_below(Path(named).absolute())
        if found is None:
            msg = (
                f"{VARIABLE}: below {named} there is no boot/vmlinuz-VERSION that can be read,"
                " with its lib/modules/VERSION/kernel"
            )
            raise GuestError(msg)
        return found
    for root in (cache_place() / "kernel", _INSTALLED):
        found = _kernel_below(root)
        if found is not None:
            return found
    msg = (
        f"a kernel for the guest is missing: install the package {PACKAGE}, have it fetched"
        " (27 MB) by python -m he_fsm.lab.guest.kernel, or let"
        f" {VARIABLE} name a folder with boot/vmlinuz-VERSION and lib/modules/VERSION"
    )
    raise GuestError(msg)


def fetch_kernel() -> Kernel:
    """
    Return a kernel; where there is none, fetch the distribution's package, about 27 MB.

    Raises:
        GuestError: there is no apt, it can't fetch it, or another kernel was named.
    """
    try:
        return find_kernel()
    except GuestError:
        if os.environ.get(VARIABLE):
            raise
    place = cache_folder() / "kernel"
    with fetch(place.parent) as fetched:
        if _kernel_below(place) is None:
            # The folder is left over from a run that was interrupted.
            shutil.rmtree(place, ignore_errors=True)
            fetched.rename(place)
    return find_kernel()


def unpacked(kernel: Kernel) -> Path:
    """
    Return the kernel without its compression: an emulated processor would take seconds for it.

    Raises:
        GuestError: the image is none, or is compressed in a way that is not known here.
    """
    data = kernel.image.read_bytes()
    # A package that is built anew may keep its version.
    digest = hashlib.sha256(data).hexdigest()[:16]
    path = cache_folder() / f"vmlinux-{kernel.version}-{digest}"
    if path.exists():
        # Those that are used are kept.
        path.touch()
        return path
    offset, size = struct.unpack_from("<II", data, _PAYLOAD)
    begins_at = (data[_SETUP_SECTORS] + 1) * _SECTOR_BYTES + offset
    # The payload ends with its unpacked size, which is none of the compressed data.
    unpacked_data = _decompress(data[begins_at : begins_at + size - 4])
    if not unpacked_data.startswith(b"\x7fELF"):
        msg = f"{kernel.image} holds no kernel that can be unpacked"
        raise GuestError(msg)
    with replacing(path, is_durable=False) as fresh:
        fresh.write_bytes(unpacked_data)
    forget_old("vmlinux-*", _UNPACKED_KEPT)
    return path


def module(kernel: Kernel, name: str) -> Optional[bytes]:
    """Return a module (`drivers/block/virtio_blk`); None: it is a part of the kernel."""
    path = kernel.modules / f"{name}.ko"
    if path.exists():
        return path.read_bytes()
    path = path.with_suffix(".ko.xz")
    return lzma.decompress(path.read_bytes()) if path.exists() else None


def _kernel_below(root: Path) -> Optional[Kernel]:
    for image in sorted((root / "boot").glob("vmlinuz-*"), reverse=True):
        version = image.name.partition("-")[2]
        for place in _MODULES:
            modules = root / place / version / "kernel"
            # Either may be another user's.
            if os.access(image, os.R_OK) and os.access(modules, os.R_OK | os.X_OK):
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
