"""
Start the execution of a domain for which a holder of he_fsm keeps the lease, and nobody else does.

The domain is paused: its process is there and executes nothing. A holder takes the lease, and QEMU
gets a copy of the descriptor by which that lives, so that nobody else can have the lease while QEMU
is there, whatever becomes of the holder. Only then is the domain resumed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import attrs
import libvirt_qemu

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.libvirt.connection import Connection
from he_fsm.runtime.hypervisors.libvirt.here import Here, Underway
from he_fsm.runtime.hypervisors.libvirt.holder.begun import Holder, Wanted
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import VmIdentity

# What QEMU's monitor calls the descriptor.
_FD_NAME: Final = "he-fsm-lease"
# An agent that ends waits so long for a lease that is about to be taken (seconds).
_CLOSING_S: Final = 5.0
# libvirt resumes a domain in milliseconds (seconds).
_RESUMED_S: Final = 10.0


@contextmanager
def begun(here: Here, underway: Underway, vm: VmIdentity) -> Iterator[Holder]:
    """
    Yield a holder that the lease manager knows, for the domain's process *vm*.

    Raises:
        LockspaceError: the lease manager does not run.
        HypervisorError: no holder can be begun.
    """
    settings = here.settings.holder
    assert settings is not None  # noqa: S101 - whoever calls this has looked
    try:
        holder = Holder(
            attrs.evolve(settings, pid=vm.pid, ticks=int(vm.incarnation)), here.settings.run_dir
        )
    except OSError as error:
        msg = f"no holder of the lease can be begun: {error}"
        raise HypervisorError(msg) from error
    with closing(holder):
        holder.await_ready(_unwanted(here, underway))
        yield holder


def let_execute(
    here: Here, underway: Underway, holder: Holder, vm: VmIdentity, wanted: Wanted
) -> None:
    """
    Have *holder* take the lease, and let the domain execute.

    Where this raises, the domain has to be ended.

    Raises:
        LockspaceError: there is no lease for the domain.
        HypervisorError: libvirt, QEMU or the holder refuse, or it is not wanted any more.
    """
    # From here on the domain ends with its holder, and the next agent has to know that.
    here.known.note(vm, holder_pid=holder.pid, holder_ticks=holder.ticks)
    if here.known.unwritten:
        raise HypervisorError(here.known.unwritten)
    taken = holder.take(wanted, _unwanted(here, underway))
    try:
        connection = here.usable()
        domain = here.domain(connection)
        _give(connection, domain, taken.descriptor)
    finally:
        os.close(taken.descriptor)
    # safety: sanlock's word, and not only the holder's.
    if holder.pid not in here.sight.seen().holders:
        msg = f"sanlock says that the holder, process {holder.pid}, does not have the lease"
        raise HypervisorError(msg)
    here.known.note(vm, lease_version=taken.version)
    holder.keep()
    underway.may_execute = True
    connection.call("resume the domain", domain.resume, _RESUMED_S)
    here.known.note(vm, phase=Phase.RUNNING, is_paused=False)


def _give(connection: Connection, domain: Any, descriptor: int) -> None:
    """
    Hand QEMU a copy of the lease's descriptor.

    safety: holder and warden may be killed at one time. The lease is QEMU's then, until whoever
    sees that has ended QEMU.
    """
    command = {"execute": "getfd", "arguments": {"fdname": _FD_NAME}}
    text = json.dumps(command)

    def give() -> str:
        answer, _ = libvirt_qemu.qemuMonitorCommandWithFiles(domain, text, [descriptor], 0)
        return str(answer)

    answer = json.loads(connection.call("give QEMU the lease's descriptor", give))
    if "return" not in answer:
        msg = f"QEMU does not take the lease's descriptor: {answer.get('error', answer)}"
        raise HypervisorError(msg)


def _unwanted(here: Here, underway: Underway) -> Callable[[], bool]:
    """Return what says that nobody waits for the lease any more."""
    gives_up_at = time.monotonic() + _CLOSING_S

    def is_unwanted() -> bool:
        is_late = here.closing.is_set() and time.monotonic() > gives_up_at
        return underway.is_unwanted or is_late

    return is_unwanted
