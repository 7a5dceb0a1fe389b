"""Runs on a real Dask cluster: a scheduler and workers as processes, one of which is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.campaign.builds import QUESTION, build_here, why_unlike
from he_fsm.campaign.cluster import player_at
from he_fsm.campaign.play import play
from he_fsm.campaign.run import run_campaign
from he_fsm.campaign.store import open_results
from he_fsm.errors import CampaignError, MissingExtraError
from tests.campaign.campaigns import campaign
from tests.cli.conftest import environment

FAULTS = "{cause: vm, mtbf: 1d}\n{cause: host, mtbf: 3d, repair: 20m}"
MORE = "horizon: 5d\nruns: 40\nvary: {world.vm_boot: [55s, 90s]}"
WORKERS = 3
WAIT_S = 60


class Dask:
    """A scheduler and some workers."""

    def __init__(self, folder: Path, **without: Path) -> None:
        """
        Start them.

        *without*: by `scheduler` or `worker`, a folder with a he_fsm that these import first.
        """
        self._without = without
        self.file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.workers = [
            self._start(
                *("worker", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1"),
                *("--local-directory", str(folder)),
            )
            for _ in range(WORKERS)
        ]

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        file = ("--scheduler-file", str(self.file))
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"distributed.cli.dask_{what}",
                *file,
                "--no-dashboard",
                *options,
            ],
            env=self._environment(what),
            # With -m, Python looks for packages in this folder before all others.
            cwd=self.file.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _environment(self, what: str) -> dict[str, str]:
        found = environment({})
        if what in self._without:
            found["PYTHONPATH"] = os.pathsep.join([str(self._without[what]), found["PYTHONPATH"]])
        return found

    def address(self) -> str:
        """Return the scheduler's address, when all workers are there."""
        from distributed import Client

        with Client(scheduler_file=str(self.file), timeout=WAIT_S, set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=WAIT_S)
            return str(client.scheduler.address)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(WAIT_S)


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    pytest.importorskip("distributed")
    cluster = Dask(tmp_path)
    yield cluster
    cluster.close()


@pytest.mark.processes
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_a_worker_is_killed_and_nothing_is_lost_and_nothing_counts_twice(
    dask: Dask, tmp_path: Path
) -> None:
    asked, path = campaign(tmp_path, FAULTS, MORE), tmp_path / "r"
    came = 0
    with open_results(path, asked) as results, player_at(dask.address()) as player:
        for count in run_campaign(asked, player, results):
            if not came:
                dask.workers[0].send_signal(signal.SIGKILL)
            came += count
        found = results.of(asked)
    assert dask.workers[0].wait(WAIT_S) == -signal.SIGKILL
    assert came == len(found) == path.read_bytes().count(b"\n") == 80
    # What came from the cluster is what is played here.
    design = asked.designs[1]
    here = play(design, 7)
    assert here in found


@pytest.mark.processes
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_a_scheduler_that_is_lost_is_one_sentence_and_what_came_is_kept(
    dask: Dask, tmp_path: Path
) -> None:
    asked, path = campaign(tmp_path, FAULTS, MORE), tmp_path / "r"
    address = dask.address()
    with open_results(path, asked) as results, player_at(address) as player:
        runs = run_campaign(asked, player, results)
        came = next(runs)
        dask.scheduler.kill()
        with pytest.raises(CampaignError, match=f"the Dask scheduler at {address} is lost"):
            came += sum(runs)
        assert len(results.of(asked)) >= came > 0


@pytest.mark.filterwarnings("default::ResourceWarning")
def test_an_address_at_which_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("he_fsm.campaign.cluster._ANSWERS_WITHIN_S", 0.5)
    said = "no Dask scheduler answers at tcp://127.0.0.1:9"
    with pytest.raises(CampaignError, match=said), player_at("tcp://127.0.0.1:9"):
        pass


@pytest.mark.parametrize("address", ["scheduler", "tcp://10.0.0.1", "foo://x:1", "no:such:x", ""])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    pytest.importorskip("distributed")
    said = f"--scheduler {address}: expected an address like tcp://scheduler:8786: "
    with pytest.raises(CampaignError, match=re.escape(said)), player_at(address):
        pass


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = r"pip install 'he-fsm\[dask\]'"
    with pytest.raises(MissingExtraError, match=said), player_at("tcp://127.0.0.1:9"):
        pass


ANOTHER = "__version__ = '9.9.9'\n"


@pytest.mark.processes
@pytest.mark.filterwarnings("default::ResourceWarning")
@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_another_release_is_found_out_before_anything_is_sent(part: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    other = tmp_path / "other" / "he_fsm"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text(ANOTHER)
    (other / "step.py").write_text("")
    dask = Dask(tmp_path, **{part: other.parent})
    try:
        address = dask.address()
        asked = campaign(tmp_path, FAULTS, MORE)
        with open_results(tmp_path / "r", asked) as results, player_at(address) as player:
            with pytest.raises(CampaignError) as caught:
                next(run_campaign(asked, player, results))
            assert not results.of(asked)
    finally:
        dask.close()
    said = str(caught.value)
    assert said.startswith(f"the {part}")
    assert f"of {address} can't play: it has he_fsm 9.9.9, and this machine " in said
    assert said.endswith(": install the same release")


def test_what_is_unlike_is_one_sentence() -> None:
    mine = ["1.2.0", False, "3.11"]
    for found, says in [
        (None, "it has no he_fsm: install he-fsm 1.2.0"),
        (["1.1.0", False, "3.11"], "it has he_fsm 1.1.0, and this machine 1.2.0"),
        (["1.2.0", True, "3.11"], "its he_fsm is compiled, and that of this machine not compiled"),
        (["1.2.0", False, "3.9"], "it runs Python 3.9, and this machine 3.11"),
        (ValueError("x"), "it can't say which he_fsm it has: ValueError: x"),
    ]:
        assert (why_unlike(found, mine) or "").startswith(says)
    assert why_unlike(mine, mine) is None
    assert why_unlike(build_here(), build_here()) is None


def test_a_python_without_he_fsm_can_be_asked(tmp_path: Path) -> None:
    code = f"print(eval({QUESTION!r}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )
    assert done.stdout == "None\n"
