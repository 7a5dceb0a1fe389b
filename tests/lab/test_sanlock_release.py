"""Which sanlock a lab's daemons are: the machine's own, or one that is unpacked in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.errors import HeFsmError
from he_fsm.lab.sanlock import release


def test_where_nothing_is_named_it_is_the_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(release.VARIABLE, raising=False)
    assert release.daemon_words() == [str(release.program())]


@pytest.mark.parametrize(("version", "can"), [("3.8.5", False), ("3.9.5", True), ("4.0.1", True)])
def test_a_release_in_a_folder_is_started_by_its_own_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, can: bool
) -> None:
    loader = tmp_path / "lib64" / "ld-linux-x86-64.so.2"
    libraries = tmp_path / "usr" / "lib" / "x86_64-linux-gnu"
    daemon = tmp_path / "usr" / "sbin" / "sanlock"
    for path in (loader, libraries / "libc.so.6", daemon):
        path.parent.mkdir(parents=True)
        path.touch()
    # It stands for the loader, and says what the daemon would.
    loader.write_text(f"#!/bin/sh\n[ $4 = version ] && echo {version}\n")
    loader.chmod(0o755)
    monkeypatch.setenv(release.VARIABLE, str(tmp_path))
    words = [str(loader), "--library-path", str(libraries), str(daemon)]
    assert release.daemon_words() == words
    if release.program() is not None:
        assert release.can_set_watchdog() is can


def test_a_folder_without_a_release_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(release.VARIABLE, str(tmp_path))
    with pytest.raises(HeFsmError, match="there is no usr/sbin/sanlock with its loader"):
        release.daemon_words()
