from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from he_fsm.lab.guest import cpio
from he_fsm.lab.guest.build import DISK_BYTES, build, double_on, make_disk
from he_fsm.lab.guest.cache import GuestError
from he_fsm.lab.guest.cpio import Entry
from he_fsm.lab.guest.kernel import Kernel, unpacked
from tests.lab.guest import kernel_or_skip, skipped_without_packages

# `make real` has fetched a kernel; what runs before it can't count on one.
with_kernel = pytest.mark.qemu


@pytest.fixture
def kernel() -> Kernel:
    return kernel_or_skip()


def test_the_program_cpio_reads_what_is_written_here(tmp_path: Path) -> None:
    program = shutil.which("cpio")
    if program is None:
        pytest.skip("cpio is not installed")
    entries = [
        Entry.folder("bin"),
        Entry.file("bin/tool", b"odd", is_program=True),
        Entry.link("bin/sh", "tool"),
        Entry.file("empty", b""),
    ]
    data = gzip.decompress(cpio.archive(entries))
    subprocess.run([program, "-i", "--quiet"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "bin" / "tool").read_bytes() == b"odd"
    assert (tmp_path / "bin" / "tool").stat().st_mode & 0o111
    assert (tmp_path / "bin" / "sh").readlink() == Path("tool")
    assert (tmp_path / "empty").read_bytes() == b""


@with_kernel
def test_the_same_guest_is_the_same_bytes(tmp_path: Path, kernel: Kernel) -> None:
    """A saved state belongs to one guest, however often that is built."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with skipped_without_packages():
        first, second = (build(folder, kernel).initrd.read_bytes() for folder in folders)
    assert first == second


@with_kernel
def test_the_kernel_is_unpacked(kernel: Kernel) -> None:
    with skipped_without_packages():
        path = unpacked(kernel)
    assert path.read_bytes()[:4] == b"\x7fELF"


def test_what_is_no_kernel_is_said(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    image.write_bytes(bytes(4096))
    nothing = Kernel(image, tmp_path / "lib" / "modules" / "none" / "kernel")
    with pytest.raises(GuestError, match="no kernel"):
        unpacked(nothing)


def test_a_new_disk_tells_of_no_double(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    make_disk(disk)
    assert disk.stat().st_size == DISK_BYTES
    assert double_on(disk) is None
    data = bytearray(disk.read_bytes())
    data[512:530] = b"DOUBLE a 1 and b 2"
    disk.write_bytes(data)
    assert double_on(disk) == "DOUBLE a 1 and b 2"
