"""Very many loops of real daemons: whether they grow, and whether their agent keeps its time."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import attrs
import psutil

from he_fsm.chaos.looks import Lateness, Looks
from he_fsm.chaos.readers import Readers
from he_fsm.chaos.sizes import Growth, Size, size_of, summed_up
from he_fsm.errors import HeFsmError
from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.slow_mount import SlowMount, why_not
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.runtime.leases.files.records import ENGINE_FILE
from he_fsm.scenario import parse_scenarios

# One loop follows the other; nothing else is faster, so that a busy machine is no dead host.
_SCENARIO = """
scenarios:
  - name: soak
    world: {{loop: {loop_ms}ms, vm_start: 0s, vm_boot: 1s}}
    hosts: 2
"""
# Until caches are full and every way has been gone once.
WARM_UP_LOOPS = 150
# Until the broker has made the threads and buffers that its readers need.
_READERS_WARM_UP_LOOPS = 50
_SAMPLE_S = 0.2
# How often the agent's report is read: several times in the shortest loop.
_LOOK_S = 0.01
# As long as a configuration may have it: a late answer costs a worker, which is another test.
_DEADLINE_SHARE = 0.9
_LOOP_AT_WORST_S = 1.0
WHITEBOARD = "whiteboard"
_WORKER = "he_fsm.runtime.storage.worker"


@attrs.frozen(kw_only=True)
class Load:
    """
    What the daemons have to bear.

    `latency_s` is how long each reading or writing of the whiteboard takes; 0: as long as this
    machine's disk needs. `slow_leases`: each reading of the engine's lease takes as long. `readers`
    ask the broker of host 1 all the time, each with `pause_s` between an answer and the next
    question.
    """

    loop_s: float = 0.05
    latency_s: float = 0.0
    slow_leases: bool = False
    readers: int = 0
    pause_s: float = 0.0


@attrs.frozen(kw_only=True)
class Soaked:
    """What a soak showed of host 1: its daemons, its agent's loops, what the readers were told."""

    growths: tuple[Growth, ...]
    lateness: Lateness
    answers: Counter[str]
    # A storage worker that was replaced has another process id.
    workers: int
    # By how much the soak's own short sleeps were longer than asked for, at most: a machine that
    # has other things to do makes agents late as well.
    machine_late_s: float

    def lines(self) -> Iterator[str]:
        """Return it for people."""
        for growth in self.growths:
            yield f"{growth}{'' if growth.is_small else ': GROWS'}"
        yield f"{self.lateness}{'' if self.lateness.is_small else ': MISSED'}"
        yield f"this machine: a sleep was up to {self.machine_late_s * 1000:.0f} ms too long"
        if self.workers > 1:
            yield f"storage worker: {self.workers} processes, one after the other: REPLACED"
        for what, count in sorted(self.answers.items()):
            yield f"{what}: {count} answers"

    @property
    def is_well(self) -> bool:
        """Whether nothing grows, no loop was missed, and the storage worker was never late."""
        return (
            all(growth.is_small for growth in self.growths)
            and self.lateness.is_small
            and self.workers == 1
        )


def soak(loops: int, load: Load) -> Soaked:
    """
    Run the daemons of two hosts for as long as so many loops take, and measure those of host 1.

    Raises:
        HeFsmError: they do not come up, end, or this machine lacks something for a slow storage.
    """
    reason = why_not() if load.latency_s else None
    if reason is not None:
        raise HeFsmError(reason)
    text = _SCENARIO.format(loop_ms=round(load.loop_s * 1000))
    (scenario,) = parse_scenarios(text, "soak")
    folder = Path(tempfile.mkdtemp(prefix="he-fsm-soak-"))
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        lab = EmbeddedLab(spec_of(scenario, 1.0), folder)
        if load.latency_s:
            # Unmounted when the lab is closed: what has files open there has ended by then.
            for host in lab.hosts.values():
                ends.callback(_slowed(lab, host, load).unmount)
        ends.callback(lab.close)
        for host in lab.hosts.values():
            host.deadline_s = lab.policy.loop_s * _DEADLINE_SHARE
        lab.start()
        return _Soak(lab.hosts["1"], load).run(loops)


def _slowed(lab: Lab, host: LabHost, load: Load) -> SlowMount:
    """
    Put the whiteboard behind a slow mount of this host's, and the engine's lease where asked.

    Two hosts do not wait for each other's writes of the whiteboard, as they would in one mount; but
    they lock the engine's lease in the mount of the first one, for a lock of one mount is not seen
    in another. The files of the host ids stay: they stand for the memory of a sanlock daemon.
    """
    mount = SlowMount(_disk(lab), host.folder / "slow", load.latency_s)
    mount.mount()
    engine = lab.shared / "leases" / ENGINE_FILE
    if load.slow_leases and not engine.is_symlink():
        engine.rename(_disk(lab) / ENGINE_FILE)
        engine.symlink_to(host.folder / "slow" / ENGINE_FILE)
    host.storage.unlink()
    host.storage.mkdir()
    (host.storage / WHITEBOARD).symlink_to(host.folder / "slow" / WHITEBOARD)
    (host.storage / "leases").symlink_to(lab.shared / "leases")
    return mount


def _disk(lab: Lab) -> Path:
    """Return the folder of what is slow."""
    disk = lab.folder / "disk"
    if not disk.is_dir():
        disk.mkdir()
        (lab.shared / WHITEBOARD).rename(disk / WHITEBOARD)
        (lab.shared / WHITEBOARD).symlink_to(disk / WHITEBOARD)
    return disk


class _Soak:
    """One run with one host."""

    def __init__(self, host: LabHost, load: Load) -> None:
        self._host = host
        self._load = load
        self._looks = Looks(load.loop_s)
        self._workers: set[int] = set()
        self._machine_late_s = 0.0

    def run(self, loops: int) -> Soaked:
        self._warm_up()
        load, host = self._load, self._host
        readers = Readers(host.run_dir / "broker.sock", load.readers, load.pause_s, host.folder)
        try:
            window_s = max(1, loops // 4) * load.loop_s
            self._measure_for(_READERS_WARM_UP_LOOPS * load.loop_s)
            self._looks = Looks(load.loop_s)
            self._workers.clear()
            self._machine_late_s = 0.0
            writes = self._slot_writes()
            first = self._measure_for(window_s)
            self._measure_for(loops * load.loop_s - 2 * window_s)
            last = self._measure_for(window_s)
            writes = self._slot_writes() - writes
        finally:
            answers = readers.close()
        return Soaked(
            growths=tuple(Growth(name, first[name], last[name]) for name in first),
            lateness=self._looks.lateness(writes),
            answers=answers,
            workers=len(self._workers),
            machine_late_s=self._machine_late_s,
        )

    def _warm_up(self) -> None:
        """Wait until the agent has looked so often; the engine is up by then."""
        patience_s = 20.0 + WARM_UP_LOOPS * _LOOP_AT_WORST_S
        until = time.monotonic() + patience_s
        while True:
            self._host.check_daemons()
            with contextlib.suppress(HeFsmError):
                if self._slot_writes() >= WARM_UP_LOOPS:
                    return
            if time.monotonic() > until:
                msg = f"host 1 has not looked {WARM_UP_LOOPS} times after {patience_s:.0f} s"
                raise HeFsmError(msg)
            time.sleep(_SAMPLE_S)

    def _slot_writes(self) -> int:
        """Return the number of looks: each writes the slot once."""
        return int(self._host.client.status()["counts"].get("slot_writes", 0))

    def _measure_for(self, seconds: float) -> dict[str, Size]:
        """See all looks of so many seconds, and sum up what each daemon uses meanwhile."""
        found: dict[str, list[Size]] = {}
        client = self._host.client
        now = sample_at = time.monotonic()
        until = now + seconds
        while now < until:
            self._looks.take(client.last_report())
            if now >= sample_at:
                sample_at = now + _SAMPLE_S
                self._host.check_daemons()
                for name, size in self._sizes().items():
                    found.setdefault(name, []).append(size)
            asleep_at = time.monotonic()
            time.sleep(_LOOK_S)
            now = time.monotonic()
            self._machine_late_s = max(self._machine_late_s, now - asleep_at - _LOOK_S)
        return {name: summed_up(sizes) for name, sizes in found.items()}

    def _sizes(self) -> dict[str, Size]:
        host = self._host
        sizes = {}
        for name, process in (("agent", host.agent_process), ("broker", host.broker_process)):
            if process is not None:
                sizes[name] = size_of(psutil.Process(process.pid))
        worker = _worker(host)
        if worker is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                sizes["storage worker"] = size_of(worker)
                self._workers.add(worker.pid)
        return sizes


def _worker(host: LabHost) -> Optional[psutil.Process]:
    """Return the process that serves the broker's storage; None: it is being replaced."""
    if host.broker_process is None:
        return None
    for child in psutil.Process(host.broker_process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if _WORKER in child.cmdline():
                return child
    return None
