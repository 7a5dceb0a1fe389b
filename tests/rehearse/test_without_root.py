"""The sanlock back end as an ordinary user: real daemons and VMs, no mounts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from he_fsm.rehearse.sanlock_needs import missing
from tests.rehearse.scenes import file_of

SPEED = "10"
WHY_NOT = "; ".join(missing(float(SPEED)))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Another user may not see this one's Python; the system's is for everybody.
PYTHONS = (sys.executable, "/usr/bin/python3")
# What the daemons of a rehearsal are started by has to be there for the user, too.
TRIAL = """
import subprocess, sys
import he_fsm.rehearse.sanlock_lab, he_fsm.cli.main, rich
subprocess.run([sys.executable, "-c", ""], check=True)
"""
COMMAND = "from he_fsm.cli.main import main; main()"
SCENE = """
    world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 5s, engine: kill}
      - {at: 30s, host: 1, power: off}
    until: 150s
    expect:
      - {after: 5s, by: 28s, engine_on: 1, engine: good}
      - {from: 35s, to: 95s, engine: down, lease: 1}
      - {after: 97s, by: 140s, engine_on: 2, engine: good}
      - {total: {starts: 2, failed_starts: 0}}
    """
CUT = """
    hosts: 2
    until: 60s
    timeline:
      - {at: 5s, host: 1, storage: cut}
    """

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place(labs: Path) -> Iterator[Path]:
    """Give a folder with what the other user needs."""
    with tempfile.TemporaryDirectory(prefix="nobody-") as name:
        folder = Path(name)
        shutil.copytree(
            ROOT / "he_fsm", folder / "source/he_fsm", ignore=shutil.ignore_patterns("__pycache__")
        )
        for each in ("cache", "labs"):
            (folder / each).mkdir()
        if os.geteuid() == 0:
            for each in (labs, folder):
                # Others shall look in.
                each.chmod(0o755)
            for each in ("cache", "labs"):
                os.chown(folder / each, NOBODY, NOBODY)
        yield folder
        assert list((folder / "labs").iterdir()) == []


@pytest.fixture
def run(place: Path) -> Run:
    """Give what runs Python as the other user."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{place / 'source'}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(place / "cache"),
        "TMPDIR": str(place / "labs"),
    }
    as_other = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is missing: install the package util-linux")
        as_other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

    def run(python: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*as_other, python, "-c", *words],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def he_fsm(run: Run) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give the command as the other user has it."""
    said = ""
    for python in PYTHONS:
        tried = run(python, TRIAL)
        if tried.returncode == 0:
            return lambda *words: run(python, COMMAND, *words)
        said = tried.stderr.strip().rpartition("\n")[2]
    pytest.skip(f"another user can't run this Python: {said}")


def test_an_ordinary_user_rehearses_on_real_daemons_and_vms(place: Path, he_fsm: Run):
    path = place / "scene.yaml"
    path.write_text(file_of(SCENE), encoding="utf-8")
    done = he_fsm("rehearse", str(path), "--backend", "sanlock", "--speed", SPEED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_needs_root_is_said_with_its_place_before_anything_is_started(
    place: Path, he_fsm: Run
):
    path = place / "scene.yaml"
    path.write_text(file_of(CUT), encoding="utf-8")
    done = he_fsm("rehearse", str(path), "--backend", "sanlock", "--speed", SPEED)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}:6:" in done.stderr
    assert "only root can break one host's storage" in done.stderr
    assert done.stderr.count("\n") == 1
