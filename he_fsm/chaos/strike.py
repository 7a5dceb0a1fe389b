"""What a campaign can do to the hosts of a lab, and what an init system does about it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, Optional

import attrs
import psutil

from he_fsm.chaos.sizes import Size
from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.rehearse.backends import EMBEDDED, Backend
from he_fsm.runtime.leases.files.records import (
    EngineRecord,
    host_ids,
    open_engine,
    read_host,
    read_line,
)


@attrs.frozen(kw_only=True)
class ActiveFault:
    """
    What a fault left behind on its host.

    `undo` ends it; None: it was over at once. With the host's next boot it is over as well, unless
    it *outlasts_boot*. `is_unsafe` says whether a watchdog would reset the host when its time has
    come; None: never.
    """

    undo: Optional[Callable[[], None]] = None
    outlasts_boot: bool = False
    is_unsafe: Optional[Callable[[], bool]] = None


@attrs.frozen
class Fault:
    """
    One kind of fault.

    `strike` does it to a host; None: there was nothing to strike. It is undone after
    *lasts_max_s* at most (seconds of the scenario).
    """

    name: str
    strike: Callable[[LabHost], Optional[ActiveFault]]
    lasts_max_s: float = 0.0


@attrs.frozen
class Unit:
    """A daemon that an init system starts again whenever it has ended."""

    name: str
    has_ended: Callable[[LabHost], bool]
    start: Callable[[LabHost], None]


Counted = Callable[[Lab], Iterator[tuple[str, Size]]]


@attrs.frozen(kw_only=True)
class Kit:
    """
    What a back end gives a campaign.

    At most *at_once* faults strike a host together, with up to *pause_max_s* (of the scenario)
    between two strikes. `damage` gives a sentence for each lease that can't be read. `counted`
    gives what daemons use now, by their names; of those named alike, the usual number counts. None:
    that is of no interest.
    """

    backend: Backend
    scenario: str
    faults: tuple[Fault, ...]
    units: tuple[Unit, ...]
    at_once: int
    pause_max_s: float
    damage: Callable[[Lab], Iterator[str]]
    counted: Optional[Counted] = None


def is_over(process: Optional[subprocess.Popen[bytes]]) -> bool:
    """Whether there is no such process, or it has ended."""
    return process is None or process.poll() is not None


BROKER: Final = Unit(
    "broker", lambda host: is_over(host.broker_process), lambda host: host.start_broker()
)
AGENT: Final = Unit(
    "agent", lambda host: is_over(host.agent_process), lambda host: host.start_agent()
)


def pids(host: LabHost, kind: str) -> list[int]:
    """Return the processes of a kind (agent, broker, worker, vm) on a host; none where none is."""
    if kind == "vm":
        record = host.vm()
        return [] if record is None else [record.pid]
    process = host.agent_process if kind == "agent" else host.broker_process
    if process is None or process.poll() is not None:
        return []
    if kind != "worker":
        return [process.pid]
    try:
        return [child.pid for child in psutil.Process(process.pid).children()]
    except psutil.NoSuchProcess:
        return []


def _kill(kind: str, host: LabHost) -> Optional[ActiveFault]:
    blow = None
    for pid in pids(host, kind):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            blow = ActiveFault()
    return blow


KILLS: Final = tuple(
    Fault(kind, partial(_kill, kind)) for kind in ("agent", "broker", "worker", "vm")
)


def _damaged_files(lab: Lab) -> Iterator[str]:
    folder = lab.shared / "leases"
    try:
        for host_id in host_ids(folder):
            read_host(folder, host_id)
        descriptor = open_engine(folder)
        try:
            read_line(descriptor, EngineRecord, folder / "engine")
        finally:
            os.close(descriptor)
    except HeFsmError as error:
        yield str(error)


EMBEDDED_KIT: Final = Kit(
    backend=EMBEDDED,
    scenario="""
scenarios:
  - name: chaos
    policy: {base: talk, block_s: 60, block_max_s: 60, start_timeout_s: 60, start_timeout_max_s: 60}
    world: {io_timeout: 3s, vm_start: 2s, vm_boot: 10s}
    hosts: 3
""",
    faults=KILLS,
    units=(BROKER, AGENT),
    at_once=len(KILLS),
    pause_max_s=30.0,
    damage=_damaged_files,
)
