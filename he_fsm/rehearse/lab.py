"""A scratch cluster: several hosts on one machine, and the storage that they share."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Optional

import attrs
import psutil

from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.policy import Policy
from he_fsm.rehearse.host import ENDS_WITHIN_S, LabHost
from he_fsm.rehearse.masks import Mask
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create
from he_fsm.scenario.model import Host, Scenario

# Whoever looks at a lab starts processes that end by themselves; by then they have (seconds).
_ENDS_BY_ITSELF_S: Final = 1.0
_MOUNTS: Final = Path("/proc/self/mounts")


def scaled(policy: Policy, speed: float) -> Policy:
    """Give the policy with all its times shorter by *speed*."""
    times = {
        field.name: getattr(policy, field.name) / speed
        for field in attrs.fields(Policy)
        if field.name.endswith("_s")
    }
    return attrs.evolve(policy, **times)


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_about(folder: Path) -> Iterator[psutil.Process]:
    """Give the living processes, but this one, that work in *folder* or have it as an argument."""
    for process in psutil.process_iter():
        try:
            is_about = (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and (
                    folder in (Path(process.cwd()), *Path(process.cwd()).parents)
                    or any(f"{folder}/" in argument for argument in process.cmdline())
                )
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if is_about:
            yield process


def not_ended(processes: list[psutil.Process]) -> Iterator[str]:
    """Give a sentence for each of these that does not end by itself within a moment."""
    _, living = psutil.wait_procs(processes, timeout=_ENDS_BY_ITSELF_S)
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"left over: {' '.join(process.cmdline())}"


class Lab(ABC):
    """The whole cluster; `set_up` begins, `close` leaves no process behind."""

    def __init__(self, scenario: Scenario, speed: float, folder: Path) -> None:
        """Make the folders; nothing runs yet."""
        self.scenario = scenario
        self.speed = speed
        self.folder = folder
        self.policy = scaled(scenario.policy, speed)
        self.shared = folder / "shared"
        self.shared.mkdir()
        (folder / "hosts").mkdir()
        (folder / "by-id").mkdir()
        highest = max(host.id for host in scenario.hosts)
        create(self.shared / "whiteboard", highest)
        self.whiteboard = WhiteboardFile(self.shared / "whiteboard")
        self._masks: dict[int, Mask] = {}
        self.hosts: Mapping[str, LabHost] = {
            host.name: self.make_host(host) for host in scenario.hosts
        }

    @abstractmethod
    def make_host(self, config: Host) -> LabHost:
        """Make one host; it runs nothing yet."""

    def set_up(self) -> None:  # noqa: B027 - a back end may need nothing
        """Prepare what hosts share; called once, before anything of theirs runs."""

    @abstractmethod
    def start_engine(self, host: LabHost) -> None:
        """Start the engine's VM on a host, as somebody did before the scenario begins."""

    @abstractmethod
    def lease_owner(self) -> Optional[int]:
        """
        Give the id of who has the engine's lease; None: it can be had.

        Raises:
            HeFsmError: it can't be seen now.
        """

    @abstractmethod
    def doubles(self) -> list[str]:
        """Give a sentence for each double that the engine's own witness saw."""

    def release(self) -> None:  # noqa: B027 - a back end may need nothing
        """Let go of what `set_up` and `start_engine` left; all processes of hosts have ended."""

    def own_pids(self) -> set[int]:
        """Give the processes that are the lab's, and no host's."""
        return set()

    def start(self) -> None:
        """Start all daemons of all hosts, as a cluster comes up."""
        self.write_global(maintenance=False)
        for host in self.hosts.values():
            host.write_config()
            host.write_monitors()
            host.power_on()

    def write_global(self, *, maintenance: bool) -> None:
        """Write slot 0, as the maintenance command does."""
        self.whiteboard.write_global(maintenance)

    def mask(self, slot: int, block: bytes, for_s: float) -> None:
        """Show every reader a block in place of a slot for so many real seconds."""
        if slot in self._masks:
            self._masks[slot].close()
        path, until = self.shared / "whiteboard", time.monotonic() + for_s
        self._masks[slot] = Mask(path, slot, block, until)

    def read_whiteboard(self) -> bytes:
        """
        Read all slots as they were last written, whatever readers are shown.

        Raises:
            HeFsmError: they can't be read.
        """
        data = bytearray(self.whiteboard.read())
        for slot, mask in self._masks.items():
            if not mask.is_over:
                begin = slot * SLOT_BYTES
                data[begin : begin + SLOT_BYTES] = mask.written
        return bytes(data)

    def write_block(self, slot: int, block: bytes) -> None:
        """Overwrite a slot behind everybody's back: damage."""
        with (self.shared / "whiteboard").open("r+b") as file:
            file.seek(slot * SLOT_BYTES)
            file.write(block.ljust(SLOT_BYTES, b"\0"))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """End every process of every host, and what they had just begun to start."""
        with contextlib.ExitStack() as ends:
            # From the last to the first, each of them even where another fails.
            ends.callback(self.release)
            ends.callback(self._end_left_over)
            for mask in self._masks.values():
                ends.callback(mask.close)
            for host in self.hosts.values():
                ends.callback(host.power_off)

    def _end_left_over(self) -> None:
        while left := self.left_over():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=ENDS_WITHIN_S)

    def left_behind(self) -> Iterator[str]:
        """Give a sentence for each thing of the lab that is still there when it was closed."""
        yield from not_ended(self.left_over())
        if f"{self.folder}/" in _MOUNTS.read_text(encoding="utf-8"):
            yield f"something is still mounted below {self.folder}"

    def left_over(self) -> list[psutil.Process]:
        """Give every living process that works in this lab's folder or was told of it."""
        return list(processes_about(self.folder))
