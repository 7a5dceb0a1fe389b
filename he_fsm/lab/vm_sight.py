"""What one host's VM does, seen from outside: QEMU's own word for it, and its health page."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Mapping
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.lab import netns
from he_fsm.lab.guest.saved import LOCAL, page, say
from he_fsm.runtime.hypervisors.qemu.command import SECOND_MONITOR
from he_fsm.runtime.hypervisors.qemu.monitor import Monitor
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord

# A page of an emulated guest takes 20 ms of a processor.
_PAGE_PERIOD_S: Final = 0.08
_PAGE_S: Final = 0.5
_LOOK_S: Final = 0.02
_ORDER_S: Final = 2.0
# QEMU's words for a VM that does not execute; the others are on the way to executing.
_HALTED: Final = {
    *("paused", "postmigrate", "finish-migrate", "io-error", "internal-error", "guest-panicked"),
    *("save-vm", "shutdown", "suspended", "watchdog"),
}
_STOPPED: Final = "T"


@attrs.frozen
class PagesAt:
    """Where one host reaches the pages of its VM; *namespace* None: in this machine's network."""

    port: int
    address: str = LOCAL
    namespace: Optional[str] = None

    def health(self) -> Optional[int]:
        """Return the health page's status; None: nobody answers."""
        with netns.inside(self.namespace):
            return page(self.port, timeout_s=_PAGE_S, address=self.address)

    def say(self, word: str) -> Optional[str]:
        """Send a word to the page of faults; return its answer, or None."""
        with netns.inside(self.namespace):
            return say(self.port, word, address=self.address)


class VmSight:
    """
    Looks at the VM of one run folder, in two threads of its own.

    It also gives each VM's witness its name: VMs that were resumed from one state have none.
    """

    def __init__(
        self, run_dir: Path, record: Callable[[], Optional[VmRecord]], pages: PagesAt, name: str
    ) -> None:
        """
        Begin to look at *pages* and at QEMU.

        *record* returns what is known of the last VM here, and *name* is what this host's VMs are
        called.
        """
        self.has_named = False
        self._path = run_dir / SECOND_MONITOR
        self._last_record = record
        self._pages = pages
        self._name = name
        self._runstate = ""
        self._monitor: Optional[Monitor] = None
        # When the page was last asked, if it was good then.
        self._good_at: Optional[float] = None
        self._ends = threading.Event()
        # Somebody else has the monitor, and tells what QEMU says.
        self._is_lent = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._threads = [
            threading.Thread(target=target, name="vm-sight", daemon=True)
            for target in (self._run_loop, self._watch_page)
        ]
        for thread in self._threads:
            thread.start()

    def executes(self, record: VmRecord) -> bool:
        """Whether the VM of a record executes."""
        return record.process_state != _STOPPED and self._runstate not in _HALTED

    def page_is_good(self, record: VmRecord) -> bool:
        """Whether the page was good when it was last asked, and that was this VM's."""
        asked_at = self._good_at
        return asked_at is not None and asked_at >= record.since

    def order(self, word: str) -> None:
        """Send QEMU an order by the monitor for people; a QEMU that is not there is no error."""
        monitor = self._monitor
        if monitor is not None:
            order = asyncio.run_coroutine_threadsafe(self._order(monitor, word), self._loop)
            with suppress(HypervisorError, futures.TimeoutError):
                order.result(_ORDER_S)

    async def _order(self, monitor: Monitor, word: str) -> None:
        await monitor.execute(word)
        # The next observation has to show what the order did at once.
        await self._ask(monitor)

    def lend(self) -> None:
        """Disconnect from the monitor, which serves one client at a time."""
        self._is_lent.set()

    def hear(self, runstate: str) -> None:
        """Note the VM's state, as the process reports it that has the monitor now."""
        if self._is_lent.is_set():
            self._runstate = runstate

    def take_back(self) -> None:
        """Connect to the monitor again."""
        self._is_lent.clear()

    def say(self, word: str) -> None:
        """Send a word to the guest's page of faults."""
        self._pages.say(word)

    def close(self) -> None:
        """Stop observing."""
        self._ends.set()
        for thread in self._threads:
            thread.join()
        self._loop.close()

    # QEMU's own word.

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._follow())

    async def _follow(self) -> None:
        while not self._ends.is_set():
            if self._is_lent.is_set() or not self._is_there():
                await asyncio.sleep(_LOOK_S)
                continue
            self._monitor = await Monitor.connect(self._path, self._is_there)
            if self._monitor is not None:
                await self._listen(self._monitor)

    def _is_there(self) -> bool:
        """Whether there is a QEMU to connect to: a socket alone may be what one has left."""
        if self._ends.is_set() or not self._path.exists():
            return False
        record = self._last_record()
        return record is not None and record.process_state is not None

    async def _listen(self, monitor: Monitor) -> None:
        listening = asyncio.ensure_future(self._take_events(monitor))
        while not (listening.done() or self._ends.is_set() or self._is_lent.is_set()):
            await asyncio.wait({listening}, timeout=_LOOK_S)
        listening.cancel()
        with suppress(asyncio.CancelledError, HypervisorError):
            await listening
        self._monitor = None
        self._runstate = ""
        await monitor.close()

    async def _take_events(self, monitor: Monitor) -> None:
        await self._ask(monitor)
        async for event, data in monitor.events():
            self.heard(event, data)
            await self._ask(monitor)

    async def _ask(self, monitor: Monitor) -> None:
        self._runstate = str((await monitor.execute("query-status"))["status"])
        self.was_asked(self._runstate)

    def heard(self, event: str, data: Mapping[str, Any]) -> None:
        """Note an event of QEMU's, in the thread that listens."""

    def was_asked(self, runstate: str) -> None:
        """Note what QEMU says how its VM is, in the same thread."""

    # The page.

    def _watch_page(self) -> None:
        named: Optional[int] = None
        while not self._ends.wait(_PAGE_PERIOD_S):
            record = self._served()
            if record is None:
                self._good_at = None
                continue
            asked_at = time.monotonic()
            is_good = self._pages.health() == http.client.OK
            # A guest that was started anew lacks its name, which is sent again after an outage.
            if is_good and self._good_at is None:
                named = None
            self._good_at = asked_at if is_good else None
            if record.pid != named and self._pages.say(f"witness={self._name}-{record.pid}"):
                named = record.pid
                self.has_named = True

    def _served(self) -> Optional[VmRecord]:
        """Return the VM that may have a page: others would accept, and never answer."""
        record = self._last_record()
        is_served = (
            record is not None
            and record.is_here
            and record.phase in (Phase.RUNNING, Phase.STOPPING)
            and self.executes(record)
        )
        return record if is_served else None
