"""What a machine lacks for a sanlock lab is found before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from he_fsm.lab.sanlock import needs


def test_that_folders_can_be_mounted_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(needs, "_FUSE", tmp_path)
    bindfs = tmp_path / "bindfs"
    bindfs.write_text("#!/bin/sh\necho mount failed: Operation not permitted >&2\nexit 1\n")
    bindfs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    why = "bindfs can't mount a folder here: mount failed: Operation not permitted"
    assert why in needs.missing(10.0)


def test_without_root_nothing_is_needed_for_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = "\n".join(needs.missing(10.0))
    assert "qemu-system-x86" in said
    assert "bindfs" not in said
    assert "root" not in said


def test_a_user_without_a_name_can_have_no_daemon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    assert any("names" in reason for reason in needs.missing(10.0))
