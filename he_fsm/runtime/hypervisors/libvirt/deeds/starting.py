"""
Start the domain, so that it never executes without the engine's lease.

libvirt starts a domain without a lease where its definition has none, or where its lock manager is
off, and its interface does not tell the latter. So the domain is started *paused*: its process is
there and executes nothing. Where the plug-in takes the lease, the domain is resumed only when
sanlock knows the process, and the definition by which it runs has the engine's lease; by that
libvirt takes the lease, or refuses. Where a holder takes it, see `holding`.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Optional

import libvirt

from he_fsm.errors import HeFsmError, HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.libvirt.connection import Connection, LibvirtSilentError
from he_fsm.runtime.hypervisors.libvirt.deeds.holding import begun, let_execute
from he_fsm.runtime.hypervisors.libvirt.definition.findings import (
    autostart_finding,
    lease_findings,
)
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.hypervisors.libvirt.here import Here, Starting
from he_fsm.runtime.hypervisors.libvirt.holder.begun import UnwantedError, Wanted
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import LeaseSeen, VmIdentity
from he_fsm.snapshot import Outcome, VmState

_log = logging.getLogger(__name__)

# From the order until QEMU's process is there and its disks are open, on a machine that is busy.
_CREATED_S: Final = 60.0
# Beyond what a dying owner's lease takes (seconds).
_SLACK_S: Final = 30.0
_POWERED_OFF: Final = "powered off before it executed"
# FORCE_BOOT: a saved state is older than the disk as soon as another host has run the VM.
_PAUSED: Final = libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_FORCE_BOOT


class _NoStartError(Exception):
    """The start has come to nothing, with an outcome."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def start(here: Here) -> None:
    """
    Order a start, unless a domain is here or is being started.

    Raises:
        HypervisorError: libvirt does not answer; an order that nobody gets is not kept for later.
    """
    with here.guard:
        if here.state is VmState.ARRIVING:
            here.tell(Outcome.START_REFUSED, "the VM arrives here by a migration")
            return
        if here.state is VmState.UNKNOWN:
            msg = f"the domain is not started: {here.observed.detail}"
            raise HypervisorError(msg)
        if here.starting is not None or here.state is not VmState.ABSENT:
            return
        starting = here.starting = Starting()
        here.publish(VmState.STARTING)
    here.begin("libvirt-start", lambda: _carry_out(here, starting, None))


def go_on(here: Here, vm: VmIdentity) -> None:
    """Bring to its end what the last agent has begun: the process *vm* has not executed yet."""
    with here.guard:
        if here.starting is not None:
            return
        starting = here.starting = Starting()
        here.publish(VmState.STARTING, "begun by the last agent")
    here.begin("libvirt-start", lambda: _carry_out(here, starting, vm))


def _carry_out(here: Here, starting: Starting, vm: Optional[VmIdentity]) -> None:
    try:
        connection = here.usable()
        if vm is None:
            _define(here, connection)
        domain = here.domain(connection)
        if vm is None:
            vm = _create(here, connection, domain)
        # Where the agent ends meanwhile, the next one finds the domain paused, and goes on.
        if not here.closing.is_set():
            # safety: the process executes nothing, and nothing before it is known who takes the
            # engine's lease for it, by the definition it runs by.
            _check_definition(here, connection.xml(domain, is_live=True))
            if here.settings.holder is None:
                _let_execute(here, starting, connection, domain, vm)
            else:
                _have_held(here, starting, vm)
    except _NoStartError as error:
        _give_up(here, vm, error.outcome, str(error))
    except LockspaceError as error:
        _give_up(here, vm, Outcome.START_REFUSED, f"no lease: {error}")
    except HypervisorError as error:
        _give_up(here, vm, Outcome.START_FAILED, str(error))
    finally:
        here.starting = None
        here.stir()


def _give_up(here: Here, vm: Optional[VmIdentity], outcome: Outcome, detail: str) -> None:
    """End the process that was made for this start, and tell why."""
    _log.warning("the domain is not started: %s", detail)
    here.owe(outcome, detail)
    if vm is None:
        return
    try:
        # safety: what is left could be resumed by anybody.
        here.end(vm, "its start has come to nothing")
        here.await_absence()
    except HypervisorError as error:
        _log.error("%s", error)


def _define(here: Here, connection: Connection) -> None:
    """Define the domain as all hosts do, by the definition on the storage or its copy here."""
    if here.definition is None:
        return
    document = here.definition.renew()
    if document is None:
        msg = (
            f"{here.settings.config.definition} holds no definition of the domain: "
            f"he-fsm vm define --from-domain {here.name}"
        )
        raise HypervisorError(msg)
    found = read(document.text)
    if found.name != here.name:
        msg = f"the definition on the storage is that of the domain {found.name}, not {here.name}"
        raise HypervisorError(msg)
    connection.define(document.text)


def _create(here: Here, connection: Connection, domain: Any) -> VmIdentity:
    """Have libvirt make the process, which executes nothing yet."""
    if here.access.identity() is None:
        # A process that has just ended: libvirt may not have noticed yet.
        here.await_absence()
    if connection.is_active(domain):
        raise _NoStartError(Outcome.START_REFUSED, "the domain is here already")
    _check_definition(here, connection.xml(domain, is_live=False))
    config = here.settings.config
    for finding in driver_findings(config.driver_conf, is_plugin=config.is_plugin):
        if finding.is_fatal:
            raise HypervisorError(str(finding))
    if not config.is_plugin and connection.call("ask for autostart", domain.autostart):
        raise HypervisorError(str(autostart_finding(here.name, is_plugin=False)))
    _check_lease(here, here.sight.seen())
    try:
        connection.call("start the domain", lambda: domain.createWithFlags(_PAUSED), _CREATED_S)
    except LibvirtSilentError:
        # It may come yet, paused: whoever sees it then ends it.
        here.has_lost_start = True
        raise
    vm = here.access.identity()
    if vm is None:
        msg = (
            f"the domain's process is not found by {here.settings.config.pid_file}; set "
            "hypervisor.pid_dir to the daemon's folder"
        )
        connection.destroy(domain, _CREATED_S)
        raise HypervisorError(msg)
    here.known.note(vm, phase=Phase.STARTING, is_paused=True)
    return vm


def _check_definition(here: Here, xml: str) -> None:
    is_plugin = here.settings.config.is_plugin
    for finding in lease_findings(read(xml), here.sight.place, is_plugin=is_plugin):
        if finding.is_fatal:
            raise HypervisorError(str(finding))


def _check_lease(here: Here, seen: LeaseSeen) -> None:
    """Refuse where libvirt would: in milliseconds, and before the disks are opened."""
    if not seen.is_joined:
        detail = f"no lease: host {here.settings.host_id} has not joined the lockspace"
        raise _NoStartError(Outcome.START_REFUSED, detail)
    now = time.monotonic()
    is_expired = seen.free_at is not None and now >= seen.free_at
    if seen.owner is not None and not is_expired:
        raise _NoStartError(Outcome.START_REFUSED, _held_by(seen, now))


def _held_by(seen: LeaseSeen, now: float) -> str:
    when = "" if seen.free_at is None else f", free in {max(0.0, seen.free_at - now):.0f} s"
    return f"the lease is held by host {seen.owner}{when}"


def _let_execute(
    here: Here, starting: Starting, connection: Connection, domain: Any, vm: VmIdentity
) -> None:
    """Have libvirt take the lease and let the domain execute."""
    # safety: that libvirt takes it is known because sanlock knows the process.
    if vm.pid not in here.sight.seen().clients:
        msg = (
            "libvirt has not registered the domain with sanlock: its lock manager is off, or "
            "another sanlock daemon's; see lock_manager in qemu.conf"
        )
        raise HypervisorError(msg)
    # From here on a power-off ends the process itself: libvirt may wait for the lease.
    starting.takes_lease = True
    if starting.is_unwanted:
        raise _NoStartError(Outcome.START_FAILED, _POWERED_OFF)
    wait_s = here.settings.lease_wait_s + _SLACK_S
    try:
        connection.call("take the lease and resume the domain", domain.resume, wait_s)
    except HypervisorError as error:
        raise _why_not_resumed(here, vm, error, is_unwanted=starting.is_unwanted) from error
    seen = here.sight.seen()
    if vm.pid not in seen.holders and vm.is_process_of(here.access.identity()):
        msg = "the domain executes, and sanlock says that it has no lease"
        raise HypervisorError(msg)
    here.known.note(vm, phase=Phase.RUNNING, is_paused=False, lease_version=seen.version)


def _have_held(here: Here, starting: Starting, vm: VmIdentity) -> None:
    """Have a holder take the lease, and let the domain execute."""
    # From here on a power-off ends the process itself: the lease may have to be waited for.
    starting.takes_lease = True
    wanted = Wanted(is_moved=False, within_s=here.settings.lease_wait_s + _SLACK_S)
    try:
        with begun(here, starting, vm) as holder:
            let_execute(here, starting, holder, vm, wanted)
    except UnwantedError as error:
        raise _NoStartError(Outcome.START_FAILED, _POWERED_OFF) from error
    except LockspaceError as error:
        raise _why_no_lease(here, error) from error


def _why_not_resumed(
    here: Here, vm: VmIdentity, error: HypervisorError, *, is_unwanted: bool
) -> _NoStartError:
    """Say whether the lease was in the way. libvirt's own numbers do not tell: sanlock does."""
    if is_unwanted:
        return _NoStartError(Outcome.START_FAILED, _POWERED_OFF)
    if not vm.is_process_of(here.access.identity()):
        return _NoStartError(Outcome.START_FAILED, "the domain's process ended before it executed")
    return _why_no_lease(here, error)


def _why_no_lease(here: Here, error: HeFsmError) -> _NoStartError:
    """Say who has the lease, where it was in the way."""
    try:
        seen = here.sight.seen()
    except LockspaceError as unknown:
        return _NoStartError(Outcome.START_REFUSED, f"no lease: {unknown}")
    if seen.owner is not None:
        return _NoStartError(Outcome.START_REFUSED, _held_by(seen, time.monotonic()))
    return _NoStartError(Outcome.START_REFUSED, f"no lease: {error}")
