"""
The embedded engine VM: a process of this machine that keeps a VM's rules.

It is started as the command that a `LeaseHolder` wraps, so it has the engine's lease from the
beginning, or by another such process as the receiving side of a migration (`engine_migration`).

What it does: runs after its start time; serves the health page after its boot time; tells of
itself in `vm.json` (`vm_file`); executes under the eyes of the `witness`. That its lease is kept is
its own business: a `LeaseKeeper` ends it when its host's renewals stop.

What it obeys:

    SIGTERM            the power button: the guest shuts down; exit status 0
    SIGABRT            the guest panics, and says so before it ends
    SIGUSR1, SIGUSR2   the health page goes bad, and is good again
    SIGSTOP, SIGCONT   paused, as by an I/O error; runs again
    SIGKILL            powered off
    vm.orders          a named pipe in the run folder, one JSON object a line: {"migrate": host id},
                       {"cancel": true} for the migration under way

Signals and orders are for a VM that runs, as `vm.json` says; one that is only starting ends by
them. Its exit status is 1 where it did not come up, died, or lost its lease.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors.event_loop import EventLoop
from he_fsm.runtime.hypervisors.process.faults import FAIL, HANG, Faults
from he_fsm.runtime.hypervisors.process.vm.lease import VmLease
from he_fsm.runtime.hypervisors.process.vm.migration import Channel, ChannelClosedError, Departure
from he_fsm.runtime.hypervisors.process.vm.options import ORDERS, VmOptions, parse_options
from he_fsm.runtime.hypervisors.process.vm.page import HealthPage
from he_fsm.runtime.hypervisors.process.vm.witness import Witness
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord, started_ticks

_log = logging.getLogger("he_fsm.vm")
EXIT_OK, EXIT_FAILED = 0, 1
# How often something is tried again that another process is about to let go (seconds).
_AGAIN_S = 0.02
_CHUNK = 4096


@attrs.define(kw_only=True)
class GuestMemory:
    """
    What moves with the VM in a migration; times are on the machine's monotonic clock.

    `boots_at` None: the health page never comes. `dies_at` None: it lives.
    """

    boots_at: Optional[float] = None
    dies_at: Optional[float] = None
    is_sick: bool = False


class Guest:
    """The VM in this process."""

    def __init__(self, options: VmOptions, record: VmRecord) -> None:
        """Make the VM that *record* describes; it does not execute yet."""
        self._options = options
        self._record = record
        self._lease: Optional[VmLease] = None
        self._memory = GuestMemory()
        self._file = VmFile(options.state)
        self._witness = Witness(options.witness, options.host_id)
        self._page = HealthPage(options.port)
        self._departure: Optional[Departure] = None
        self._loop = EventLoop()
        self._loop.on_signal(signal.SIGTERM, self._press_power)
        self._loop.on_signal(signal.SIGABRT, self._panic)
        self._loop.on_signal(signal.SIGUSR1, lambda: self._set_sick(is_sick=True))
        self._loop.on_signal(signal.SIGUSR2, lambda: self._set_sick(is_sick=False))
        # safety: whoever leaves its terminal or its agent must not end a VM.
        self._loop.on_signal(signal.SIGHUP, lambda: None)
        self._loop.on_signal(signal.SIGINT, lambda: None)

    # Begin.

    def come_up(self, lease: VmLease) -> None:
        """Run after the start time."""
        self._lease = lease
        begins = self._fail if self._options.fail else self._begin
        self._loop.at("start", self._options.ordered_at + self._options.start_s, begins)

    def take_over(self, lease: VmLease, memory: GuestMemory) -> None:
        """Become what the source of a migration was; it does not execute yet."""
        self._lease = lease
        self._memory = memory
        self._accept_orders()
        self._tell(phase=Phase.RUNNING)

    def resume(self) -> None:
        """Execute, from a paused moment on."""
        self._witness.executes("resume")
        self._go_on()

    def run(self) -> int:
        """Go on until the end; give the exit status."""
        status = self._loop.run()
        self._page.close()
        self._witness.close()
        return status

    def _begin(self) -> None:
        options, now = self._options, time.monotonic()
        self._memory = GuestMemory(
            boots_at=None if options.boot_s is None else now + options.boot_s,
            dies_at=None if options.die_after_s is None else now + options.die_after_s,
        )
        self._accept_orders()
        self._tell(phase=Phase.RUNNING)
        self._witness.executes("start")
        self._go_on()

    def _fail(self) -> None:
        _log.error("this start fails, as it was told to")
        self._loop.end(EXIT_FAILED)

    def _go_on(self) -> None:
        memory = self._memory
        self._page.is_sick = memory.is_sick
        if memory.boots_at is not None:
            self._loop.at("boot", memory.boots_at, self._open_page)
        if memory.dies_at is not None:
            self._loop.at("death", memory.dies_at, self._die)

    # The guest.

    def _open_page(self) -> None:
        if self._page.open():
            self._loop.when_readable(self._page, self._page.answer)
        else:
            self._loop.at("boot", time.monotonic() + _AGAIN_S, self._open_page)

    def _close_page(self) -> None:
        self._loop.forget("boot", "death")
        if self._page.is_open:
            self._loop.ignore(self._page)
            self._page.close()

    def _set_sick(self, *, is_sick: bool) -> None:
        self._memory.is_sick = self._page.is_sick = is_sick

    def _die(self) -> None:
        self._witness.rests("die")
        self._loop.end(EXIT_FAILED)

    def _panic(self) -> None:
        self._tell(ending="the guest has panicked")
        self._die()

    def _press_power(self) -> None:
        if self._record.phase is Phase.STOPPING:
            return
        if self._departure is not None:
            self._give_up("the VM shuts down")
        self._loop.forget("start")
        self._close_page()
        self._tell(phase=Phase.STOPPING)
        self._loop.at("down", time.monotonic() + self._options.shutdown_s, self._is_down)

    def _is_down(self) -> None:
        self._witness.rests("stop")
        self._loop.end(EXIT_OK)

    # Moving away.

    def _accept_orders(self) -> None:
        path = self._options.state.with_name(ORDERS)
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o660)
        # Open for writing as well: else it could be read, empty, whenever a writer goes.
        orders = path.open("r+b", buffering=0)
        os.set_blocking(orders.fileno(), False)
        self._loop.when_readable(orders, lambda: self._take_orders(orders.read(_CHUNK) or b""))

    def _take_orders(self, data: bytes) -> None:
        for line in data.splitlines():
            try:
                order = json.loads(line)
                target = order.get("migrate")
            except (ValueError, AttributeError):
                _log.warning("no order: %r", line)
                continue
            if target is not None:
                self._depart(int(target))
            elif order.get("cancel") and self._departure is not None:
                self._give_up("cancelled")

    def _depart(self, target: int) -> None:
        if self._record.phase is not Phase.RUNNING or self._departure is not None:
            return
        now = time.monotonic()
        switch_at = now + self._options.migration_s
        trial = Faults(self._options.state.parent).take("migrations")
        try:
            self._departure = Departure.begin(self._options, target, trial)
        except OSError as error:
            self._give_up(str(error))
            return
        self._tell(leaving_to=target, leaving_since=now, leaving_until=switch_at)
        self._loop.when_readable(self._departure.channel, self._hear)
        if trial != HANG:
            self._loop.at("switch", switch_at, self._switch)

    def _hear(self) -> None:
        departure = self._departure
        if departure is None:
            return
        try:
            departure.hear()
        except ChannelClosedError as error:
            self._give_up(str(error))

    def _switch(self) -> None:
        departure, lease = self._departure, self._lease
        if departure is None or lease is None:
            return
        now = time.monotonic()
        if departure.trial == FAIL:
            self._give_up("it was refused")
        elif departure.is_ready:
            self._hand_over(departure, lease)
        elif now < departure.ready_until:
            self._loop.at("switch", now + _AGAIN_S, self._switch)
        else:
            self._give_up(f"host {departure.target} was not ready in time")

    def _hand_over(self, departure: Departure, lease: VmLease) -> None:
        """Pause, and let the target's process be the VM; or go on here."""
        self._close_page()
        self._witness.rests("leave")
        # safety: from here on nothing executes until somebody has the lease.
        why = self._pass_on(departure, lease)
        if why is None:
            departure.let_go()
            self._tell(phase=Phase.MIGRATED)
            self._loop.end(EXIT_OK)
            return
        try:
            lease.take_back()
        except LockspaceError:
            _log.exception("%s, and the lease is lost", why)
            self._loop.end(EXIT_FAILED)
            return
        self.resume()
        self._give_up(why)

    def _pass_on(self, departure: Departure, lease: VmLease) -> Optional[str]:
        """Return the lease and the memory away; or say why not."""
        try:
            lease.put_down(departure.target)
        except LockspaceError as error:
            return str(error)
        return departure.hand_over(attrs.asdict(self._memory))

    def _give_up(self, why: str) -> None:
        """Go on here."""
        _log.warning("the migration failed: %s", why)
        self._loop.forget("switch")
        if self._departure is not None:
            self._loop.ignore(self._departure.channel)
            self._departure.end()
            self._departure = None
        self._tell(
            leaving_to=None,
            leaving_since=None,
            leaving_until=None,
            failed_migrations=self._record.failed_migrations + 1,
            failure=why,
        )

    def _tell(self, **changes: Any) -> None:
        if "phase" in changes:
            changes["since"] = time.monotonic()
        self._record = attrs.evolve(self._record, **changes)
        self._file.write(self._record)


def main() -> int:
    """Be the VM that the command line describes; give the exit status."""
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
    options = parse_options()
    try:
        guest = _arrive(options) if options.receive is not None else _start(options)
    except LockspaceError:
        _log.exception("this VM does not run")
        return EXIT_FAILED
    return EXIT_OK if guest is None else guest.run()


def _start(options: VmOptions) -> Guest:
    lease = VmLease.inherited(options)
    guest = Guest(options, _record(options, Phase.STARTING))
    guest.come_up(lease)
    return guest


def _arrive(options: VmOptions) -> Optional[Guest]:
    """Receive a migration; None: it did not come to that."""
    channel = Channel(socket.socket(fileno=options.receive))
    record = _record(options, Phase.ARRIVING)
    file = VmFile(options.state)
    try:
        if not file.claim(record):
            channel.send(refused=f"host {options.host_id} has the VM already")
            return None
        guest = Guest(options, record)
        channel.send(ready=True)
        message = channel.receive() or {}
    except ChannelClosedError:
        file.clear(record)
        return None
    try:
        lease = VmLease.handed_over(options)
    except LockspaceError as error:
        with suppress(ChannelClosedError):
            channel.send(refused=str(error))
        file.clear(record)
        return None
    guest.take_over(lease, GuestMemory(**message["take"]))
    # A source that has ended meanwhile is not needed any more.
    with suppress(ChannelClosedError):
        channel.send(taken=True)
    channel.close()
    guest.resume()
    return guest


def _record(options: VmOptions, phase: Phase) -> VmRecord:
    return VmRecord(
        pid=os.getpid(),
        started_ticks=started_ticks(os.getpid()),
        phase=phase,
        port=options.port,
        since=time.monotonic(),
    )


if __name__ == "__main__":
    sys.exit(main())
