"""The configuration that oVirt's hosts share: one file of it is changed, and all else stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from he_fsm.errors import ConfigError
from he_fsm.runtime.config.ovirt.archive import ARCHIVE_BYTES, MEMBERS, read_archive, with_member

TAR = shutil.which("tar") or "tar"


def made(folder: Path, contents: dict[str, bytes]) -> bytes:
    """Make an archive with the program tar, as oVirt's deployment does."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    words = [TAR, "--create", f"--record-size={ARCHIVE_BYTES}", *contents]
    return subprocess.run(words, cwd=folder, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    contents = {name: f"of {name}\n".encode() for name in MEMBERS}
    return made(tmp_path_factory.mktemp("archive"), contents)


def test_it_is_as_long_as_ovirts(archive: bytes) -> None:
    assert len(archive) == ARCHIVE_BYTES
    assert read_archive(archive)["vm.conf"] == b"of vm.conf\n"
    # The volume is longer.
    assert read_archive(archive + bytes(4096)) == read_archive(archive)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(MEMBERS), content=st.binary(max_size=6000))
def test_one_file_changes_and_all_others_stay(archive: bytes, name: str, content: bytes) -> None:
    changed = with_member(archive, name, content)
    assert len(changed) == ARCHIVE_BYTES
    assert read_archive(changed) == {**read_archive(archive), name: content}
    # Back again it is the same to the byte.
    assert with_member(changed, name, read_archive(archive)[name]) == archive


def test_the_program_tar_reads_what_was_changed(archive: bytes, tmp_path: Path) -> None:
    changed = with_member(archive, "broker.conf", b"[email]\n")
    listed = subprocess.run([TAR, "--list"], input=changed, capture_output=True, check=True)
    assert listed.stdout.decode().split() == list(MEMBERS)
    subprocess.run([TAR, "--extract"], input=changed, cwd=tmp_path, check=True)
    assert (tmp_path / "broker.conf").read_bytes() == b"[email]\n"


@pytest.mark.parametrize("data", [b"", bytes(ARCHIVE_BYTES), b"no tar" * 4000])
def test_what_is_no_archive_is_said(data: bytes) -> None:
    with pytest.raises(ConfigError, match="shared configuration"):
        read_archive(data)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    data = made(tmp_path, {"version": b"2.5", "vm.conf": b""})
    with pytest.raises(ConfigError, match=r"it has no fhanswers\.conf, hosted-engine\.conf"):
        read_archive(data)


def test_a_file_that_does_not_fit_is_refused(archive: bytes) -> None:
    with pytest.raises(ConfigError, match=r"vm\.conf does not fit"):
        with_member(archive, "vm.conf", bytes(ARCHIVE_BYTES))
    with pytest.raises(ConfigError, match=r"has no other\.conf"):
        with_member(archive, "other.conf", b"")
