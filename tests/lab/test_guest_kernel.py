"""The kernel is found, fetched and unpacked whatever earlier runs have left, and said if not."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest

from he_fsm.lab.guest import kernel as module_of_kernel
from he_fsm.lab.guest.cache import GuestError, cache_folder, forget_old
from he_fsm.lab.guest.kernel import VARIABLE, Kernel, fetch_kernel, find_kernel, unpacked
from he_fsm.lab.sanlock import needs

ELF = b"\x7fELF"
# What stands in for apt: without lists of packages it knows none, as on a new machine.
APT_CACHE = """#!/bin/sh
case "$*" in *lists*) echo '  Depends: linux-image-9.9-cloud' ;; *) exit 100 ;; esac
"""
APT_GET = """#!/bin/sh
case "$*" in *download*) touch linux-image.deb ;; esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/boot" "$3/lib/modules/9.9-cloud/kernel" && touch "$3/boot/vmlinuz-9.9-cloud"
"""
NO_ARCHIVE = """#!/bin/sh
echo 'E: no network' >&2; exit 100
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the user a new one: an empty home, no cache, nothing configured."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    return home


def kernel_below(root: Path, version: str = "9.9-cloud") -> Kernel:
    image = root / "boot" / f"vmlinuz-{version}"
    modules = root / "lib" / "modules" / version / "kernel"
    image.parent.mkdir(parents=True, exist_ok=True)
    modules.mkdir(parents=True)
    image.write_bytes(image_of(ELF))
    return Kernel(image, modules)


def image_of(content: bytes) -> bytes:
    """Return a bzImage whose payload is *content*, after two sectors without code."""
    payload = gzip.compress(content) + struct.pack("<I", len(content))
    head = bytearray(1024)
    head[0x1F1] = 1
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    return bytes(head) + payload


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Make only these programs available, besides the shell's own."""
    folder.mkdir()
    for name, text in texts.items():
        path = folder / name.replace("_", "-")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


# Finding.


def test_the_kernel_that_is_named_is_taken_before_all_others(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    kernel_below(home / ".cache" / "he-fsm" / "kernel", "9.8-fetched")
    named = kernel_below(tmp_path / "named")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    assert find_kernel() == named


def test_modules_may_lie_below_usr_as_from_debian_13_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kernel_below(tmp_path)
    (tmp_path / "usr").mkdir()
    (tmp_path / "lib").rename(tmp_path / "usr" / "lib")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = find_kernel()
    assert found.modules == tmp_path / "usr" / "lib" / "modules" / "9.9-cloud" / "kernel"
    assert found.version == "9.9-cloud"


def test_a_name_that_leads_to_no_kernel_is_said_and_nothing_else_is_taken(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    kernel_below(home / ".cache" / "he-fsm" / "kernel")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    for give in (find_kernel, fetch_kernel):
        with pytest.raises(GuestError, match=rf"{VARIABLE}: below .*nowhere there is no boot/"):
            give()


def test_looking_for_a_kernel_makes_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    no_kernel_installed(monkeypatch, tmp_path)
    with pytest.raises(GuestError, match=f"or let {VARIABLE} name a folder with boot/"):
        find_kernel()
    assert list(home.iterdir()) == []


def test_a_cache_that_can_not_be_made_is_said_beforehand(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    (said,) = (each for each in needs.missing(1.0) if "XDG_CACHE_HOME" in each)
    assert said.startswith("nothing can be kept in /proc/nowhere/he-fsm: No such file")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(GuestError, match="no home for a cache: let XDG_CACHE_HOME name a folder"):
        cache_folder()


# Fetching.


def test_a_machine_without_lists_of_packages_fetches_by_its_own(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    no_kernel_installed(monkeypatch, tmp_path)
    programs(tmp_path / "bin", monkeypatch, apt_cache=APT_CACHE, apt_get=APT_GET, dpkg=DPKG)
    assert fetch_kernel().version == "9.9-cloud"
    # What it took for that is gone.
    assert names_in(home / ".cache" / "he-fsm") == ["kernel"]


def test_what_an_interrupted_run_left_is_fetched_anew(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    no_kernel_installed(monkeypatch, tmp_path)
    half = home / ".cache" / "he-fsm" / "kernel" / "boot" / "vmlinuz-9.7-cloud"
    half.parent.mkdir(parents=True)
    half.touch()
    programs(tmp_path / "bin", monkeypatch, apt_cache=APT_CACHE, apt_get=APT_GET, dpkg=DPKG)
    assert fetch_kernel().version == "9.9-cloud"
    assert not half.exists()


def test_what_can_not_be_fetched_is_said_and_leaves_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
):
    no_kernel_installed(monkeypatch, tmp_path)
    programs(tmp_path / "bin", monkeypatch, apt_cache=APT_CACHE, apt_get=NO_ARCHIVE, dpkg=DPKG)
    with pytest.raises(GuestError, match=r"apt-get .* update: E: no network$"):
        fetch_kernel()
    assert names_in(home / ".cache" / "he-fsm") == []


def no_kernel_installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Use an empty folder as this machine's root."""
    monkeypatch.setattr(module_of_kernel, "_INSTALLED", folder / "root")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What is kept.


def test_a_kernel_is_unpacked_once(tmp_path: Path):
    kernel = kernel_below(tmp_path)
    path = unpacked(kernel)
    assert path.read_bytes() == ELF
    before = path.stat().st_ino
    assert unpacked(kernel).stat().st_ino == before


def test_a_kernel_that_was_built_anew_is_unpacked_anew(tmp_path: Path):
    kernel = kernel_below(tmp_path)
    unpacked(kernel)
    # A package's files are as old as the package, whenever it comes.
    kernel.image.write_bytes(image_of(ELF + b"fixed"))
    os.utime(kernel.image, (0, 0))
    assert unpacked(kernel).read_bytes() == ELF + b"fixed"


def test_the_newest_files_are_kept():
    folder = cache_folder()
    for age in range(5):
        path = folder / f"state-{age}"
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    forget_old("state-*", 2)
    assert names_in(folder) == ["state-0", "state-1"]
