"""The wheel in an empty environment: its daemons run there, are upgraded, and leave nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from he_fsm import __version__
from he_fsm.testing.waiting import until
from tests.project.packages.building import BEFORE, build, release_before
from tests.runtime.cluster import AGENT, BROKER, Cluster, ClusterHost

pytestmark = [pytest.mark.processes, pytest.mark.long]


class Environment:
    """A virtual environment, and the daemons of one host that run from there."""

    def __init__(self, folder: Path, host: ClusterHost) -> None:
        self.folder = folder
        self.host = host
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def call(self, name: str, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [str(self.folder / "bin" / name), *words],
            # Nothing of the tests' own environment is found from there.
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            cwd=str(self.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    def pip(self, *words: str) -> None:
        settings = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        subprocess.run(
            [str(self.folder / "bin/python"), "-m", "pip", "--quiet", *words],
            env={**settings, "PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            check=True,
        )

    def start(self) -> None:
        for daemon in (BROKER, AGENT):
            program = str(self.folder / "bin" / f"he-fsm-{daemon}")
            with self.host.log_path(daemon).open("ab") as log:
                self.running[daemon] = subprocess.Popen(
                    [program, "--config", str(self.host.path)],
                    env={"PATH": "/usr/bin:/bin"},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def stop(self) -> list[int]:
        stopped = []
        for daemon in (AGENT, BROKER):
            process = self.running.pop(daemon)
            process.send_signal(signal.SIGTERM)
            stopped.append(process.wait(30))
        return stopped

    def status(self) -> dict[str, Any]:
        words = ("status", "--json", "--config", str(self.host.path))
        done = subprocess.run(
            [str(self.folder / "bin/he-fsm"), *words], env={}, capture_output=True, check=False
        )
        found: dict[str, Any] = json.loads(done.stdout)["verdict"]
        return found

    def is_good(self) -> bool:
        return self.status().get("engine") == "good"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    before = release_before(folder / "before")
    return {
        __version__: build(folder / "now")["he_fsm.whl"],
        BEFORE: build(folder / "old", root=before)["he_fsm.whl"],
    }


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHost]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), ids=(1,))
    yield cluster.hosts[1]
    cluster.tear_down()


def environment(
    tmp_path_factory: pytest.TempPathFactory, host: ClusterHost, wheel: Path
) -> Iterator[Environment]:
    made = Environment(tmp_path_factory.mktemp("environment"), host)
    made.pip("install", f"{wheel}[daemon]")
    yield made
    if made.running:
        made.stop()


@pytest.fixture(scope="module")
def old(
    tmp_path_factory: pytest.TempPathFactory, host: ClusterHost, wheels: dict[str, Path]
) -> Iterator[Environment]:
    yield from environment(tmp_path_factory, host, wheels[BEFORE])


@pytest.fixture(scope="module")
def new(
    tmp_path_factory: pytest.TempPathFactory, host: ClusterHost, wheels: dict[str, Path]
) -> Iterator[Environment]:
    yield from environment(tmp_path_factory, host, wheels[__version__])


def test_the_daemons_run_from_there(old: Environment) -> None:
    assert old.call("he-fsm", "--version") == f"he-fsm, version {BEFORE}\n"
    old.start()
    until(old.is_good, within_s=30)
    vm = old.host.vm()
    assert vm is not None
    python = Path(f"/proc/{vm.pid}/cmdline").read_text(encoding="utf-8").split("\0")[0]
    assert python.startswith(f"{old.folder}/bin/")


def test_the_vm_outlives_an_upgrade_as_the_page_says(old: Environment, new: Environment) -> None:
    vm = old.host.vm()
    assert old.stop() == [0, 0]
    new.start()
    assert new.call("he-fsm", "--version") == f"he-fsm, version {__version__}\n"
    until(new.is_good, within_s=30)
    assert new.host.vm() == vm


def test_nothing_of_it_is_left_when_it_is_removed(new: Environment) -> None:
    config = str(new.host.path)
    new.call("he-fsm", "maintenance", "global", "--config", config)
    until(lambda: new.host.state == "GlobalMaintenance")
    new.call("he-fsm", "vm", "poweroff", "--yes", "--config", config)
    until(lambda: new.host.vm() is None)
    assert new.stop() == [0, 0]
    new.pip("uninstall", "--yes", "he-fsm")
    cache = new.folder / ".cache"
    found = [each for each in new.folder.rglob("*he[-_]fsm*") if cache not in each.parents]
    assert found == []
    assert shutil.which("he-fsm", path=str(new.folder / "bin")) is None


def test_the_sdist_makes_the_same_wheel_and_the_same_sdist(tmp_path: Path) -> None:
    made = build(tmp_path / "first")
    with tarfile.open(made["he_fsm.gz"]) as sdist:
        sdist.extractall(tmp_path / "tree", filter="data")
    again = build(tmp_path / "second", root=tmp_path / "tree" / f"he_fsm-{__version__}")
    for name in ("he_fsm.whl", "he_fsm.gz"):
        assert again[name].read_bytes() == made[name].read_bytes(), name
