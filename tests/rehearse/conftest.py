"""Every lab has a folder of its own; no folder, mount or process may be left of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.rehearse.lab import processes_about


@pytest.fixture(autouse=True)
def labs(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    # Made now, and not within the labs' folder.
    tmp_path_factory.getbasetemp()
    # A socket's path may have 107 characters: pytest's own folders are too deep.
    before = dying_children()
    with tempfile.TemporaryDirectory(prefix="labs-") as name:
        folder = Path(name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder
        assert name not in Path("/proc/self/mounts").read_text(encoding="utf-8")
        assert list(folder.iterdir()) == []
        assert list(processes_about(folder)) == []
        assert dying_children() <= before


def dying_children() -> set[psutil.Process]:
    children = psutil.Process().children()
    return {each for each in children if each.status() == psutil.STATUS_ZOMBIE}
