"""A scenario that is under way in a lab: its time, what is planned, and what has befallen hosts."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.rehearse.observe import Observer
from he_fsm.rehearse.shutdowns import Shutdowns
from he_fsm.scenario.judging.judge import Judge
from he_fsm.scenario.model import Scenario

AGENT: Final = "agent"
BROKER: Final = "broker"
# As the simulator has it: a watchdog's last pet may be this share of its time old.
_WATCHDOG_SHARE: Final = 5 / 6


class Stage:
    """What faults act on; made at the scenario's time 0."""

    def __init__(self, scenario: Scenario, lab: Lab, judge: Judge, observer: Observer) -> None:
        """Begin with nothing planned."""
        self.scenario = scenario
        self.lab = lab
        self.judge = judge
        self.observer = observer
        observer.on_write = self._written
        self.shutdowns = Shutdowns(self.boot)
        # Blocks that the scenario keeps, by slot, to write them again later.
        self.copies: dict[int, bytes] = {}
        self._torn: dict[int, int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        # The time of what happens right now by plan.
        self._due: Optional[float] = None

    def at(self, t: float, action: Callable[[], None]) -> None:
        """Schedule an action for a time of the scenario."""
        heapq.heappush(self._queue, (t, next(self._sequence), action))

    def act(self) -> Optional[float]:
        """Carry out everything that is due; return the planned time of the last of it."""
        acted = None
        now = self.observer.time()
        while self._queue and self._queue[0][0] <= now:
            acted, _, action = heapq.heappop(self._queue)
            self._due = acted
            action()
        self._due = None
        return acted

    def now(self) -> float:
        """Return the scenario's time: that of the plan for what happens by it."""
        return self.observer.time() if self._due is None else self._due

    def note(self, host: Optional[LabHost], text: str) -> None:
        """Write a fault down."""
        name = None if host is None else host.name
        self.observer.note(self.now(), name, "fault", text)

    # Hosts.

    def boot(self, host: LabHost) -> None:
        """Boot a host: its daemons run when the reboot's time is over."""
        boot = host.boot

        def booted() -> None:
            if host.boot == boot and not host.is_powered:
                host.power_on()

        self.at(self.now() + self.scenario.world.reboot_s, booted)

    def freeze(self, host: LabHost) -> None:
        """Stop everything on a host; its watchdog, or else the stage, resets it in time."""
        if not host.is_powered or host.is_frozen:
            return
        host.is_frozen = True
        host.stop_all()
        self.reset_in_time(host, lambda: host.is_frozen)

    def reset_in_time(self, host: LabHost, is_due: Callable[[], bool]) -> None:
        """Reset a host whose leases are renewed no more, if that is due then; a watchdog does."""
        if not host.spec.has_watchdog or host.has_watchdog:
            return
        policy = self.scenario.policy
        fires_s = policy.lease_kill_s + policy.watchdog_s * _WATCHDOG_SHARE
        boot = host.boot
        # The last renewal is not older than a renewal's period.
        fires_s -= 2 * policy.io_timeout_s

        def fires() -> None:
            if host.boot == boot and is_due():
                self.reset(host)

        self.at(self.now() + fires_s, fires)

    def reset(self, host: LabHost) -> None:
        """Do what follows when a watchdog resets a host."""
        self.judge.count(self.observer.time(), "resets", host.name)
        self.note(host, "the watchdog resets the host")
        host.power_off()
        self.boot(host)

    def thaw(self, host: LabHost) -> None:
        """Thaw a host: everything on it continues."""
        if host.is_frozen:
            host.is_frozen = False
            host.go_on()
            start_again(host, self.now())

    def set_local(self, host: LabHost, *, is_set: bool, until: Optional[int] = None) -> None:
        """Set a host's local flag by its broker; in a thread, for storage may hang."""

        def ask() -> None:
            try:
                host.client.maintenance(local=is_set, until=until)
            except HeFsmError:
                return

        if host.is_powered and host.broker_process is not None:
            threading.Thread(target=ask, daemon=True).start()
        else:
            host.set_local_flag(is_set=is_set, until=until)

    # Damage that lasts.

    def tear_next(self, slot: int, arriving_bytes: int) -> None:
        """Tear the slot's next write: only its first bytes arrive."""
        self._torn[slot] = arriving_bytes

    def _written(self, slot: int, before: bytes, block: bytes) -> None:
        count = self._torn.pop(slot, None)
        if count is not None:
            old = before.ljust(SLOT_BYTES, b"\0")
            self.lab.write_block(slot, block[:count] + old[count:])


def start_again(host: LabHost, now: float) -> None:
    """Start the daemons that have died and whose time has come; not on a host that stands still."""
    if host.is_frozen:
        return
    for name in [name for name, starts_at in host.restarts_at.items() if starts_at <= now]:
        del host.restarts_at[name]
        if name == AGENT:
            host.start_agent()
        else:
            host.start_broker()
