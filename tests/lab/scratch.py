"""Every lab has a folder of its own; nothing of it may be left, on the disk or in the kernel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.lab.processes import processes_about
from he_fsm.testing.waiting import until


@pytest.fixture(autouse=True)
def labs(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    # Made now, and not within the labs' folder.
    tmp_path_factory.getbasetemp()
    # A socket's path may have 107 characters: pytest's own folders are too deep.
    before, links, shared = dying_children(), network_links(), shared_memory()
    with tempfile.TemporaryDirectory(prefix="labs-") as name:
        folder = Path(name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder
        assert name not in Path("/proc/self/mounts").read_text(encoding="utf-8")
        assert list(folder.iterdir()) == []
        assert list(processes_about(folder)) == []
        assert dying_children() <= before
        assert list(Path("/run/netns").glob(f"he-fsm-{os.getpid()}-*")) == []
        assert network_links() <= links
        # Other tests' daemons have some, which are gone in a moment.
        until(lambda: shared_memory() <= shared)


def dying_children() -> set[psutil.Process]:
    children = psutil.Process().children()
    return {each for each in children if each.status() == psutil.STATUS_ZOMBIE}


def network_links() -> set[str]:
    """Return the interfaces of this machine's own network."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def shared_memory() -> set[str]:
    """Return what libfaketime has left of processes that have ended."""
    found = Path("/dev/shm").glob("*faketime*")  # noqa: S108 - that is its place
    return {path.name for path in found if not psutil.pid_exists(int(path.name.split("_")[-1]))}
