"""A scratch cluster: several hosts on one machine, and the storage that they share."""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Optional

import psutil

from he_fsm.lab.host import ENDS_WITHIN_S, LabHost
from he_fsm.lab.masks import Mask
from he_fsm.lab.processes import not_ended, processes_about
from he_fsm.lab.site import Site
from he_fsm.lab.spec import HostSpec, LabSpec
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create

_MOUNTS: Final = Path("/proc/self/mounts")


class Lab(ABC):
    """The whole cluster; `set_up` begins, `close` leaves no process behind."""

    def __init__(self, spec: LabSpec, site: Site) -> None:
        """Make whiteboard and hosts; nothing runs yet."""
        self.speed = site.speed
        self.policy = site.policy
        self.folder = site.folder
        self.shared = site.shared
        create(self.shared / "whiteboard", max(host.host_id for host in spec.hosts))
        self.whiteboard = WhiteboardFile(self.shared / "whiteboard")
        self._masks: dict[int, Mask] = {}
        self.hosts: Mapping[str, LabHost] = {host.name: self.make_host(host) for host in spec.hosts}

    @abstractmethod
    def make_host(self, spec: HostSpec) -> LabHost:
        """Make one host; it runs nothing yet."""

    def set_up(self) -> None:  # noqa: B027 - a back end may need nothing
        """Prepare what hosts share; called once, before anything of theirs runs."""

    @abstractmethod
    def start_engine(self, host: LabHost) -> None:
        """Start the engine's VM on a host, as somebody did before the scenario begins."""

    def name_of(self, host_id: int) -> str:
        """Return the name of the host with an id."""
        return next(host.name for host in self.hosts.values() if host.host_id == host_id)

    @abstractmethod
    def lease_owner(self) -> Optional[int]:
        """
        Return the id of who has the engine's lease; None: it can be had.

        Raises:
            HeFsmError: it can't be seen now.
        """

    @abstractmethod
    def doubles(self) -> list[str]:
        """Return a sentence for each double that the engine's own witness saw."""

    def release(self) -> None:  # noqa: B027 - a back end may need nothing
        """Release what `set_up` and `start_engine` left; all processes of hosts have ended."""

    def own_pids(self) -> set[int]:
        """Return the processes that are the lab's, and no host's."""
        return set()

    def start(self) -> None:
        """Start all daemons of all hosts, as a cluster comes up."""
        self.write_global(maintenance=False)
        for host in self.hosts.values():
            host.write_config()
            host.write_monitors()
            host.power_on()

    def write_global(self, *, maintenance: bool, until: Optional[int] = None) -> None:
        """Write slot 0, as the maintenance command does."""
        self.whiteboard.write_global(maintenance, until)

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
        """Return a sentence for each thing of the lab that is still there when it was closed."""
        yield from not_ended(self.left_over())
        if f"{self.folder}/" in _MOUNTS.read_text(encoding="utf-8"):
            yield f"something is still mounted below {self.folder}"

    def left_over(self) -> list[psutil.Process]:
        """Return every living process that works in this lab's folder or was told of it."""
        return list(processes_about(self.folder))
