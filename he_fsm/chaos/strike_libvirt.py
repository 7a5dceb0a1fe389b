"""What a campaign does to hosts with libvirt: all that it does to those with sanlock, and more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Optional, cast

import attrs
import psutil

from he_fsm.chaos.sizes import Size, size_of
from he_fsm.chaos.strike import ActiveFault, Fault, Unit
from he_fsm.chaos.strike_sanlock import LASTS_MAX_S, SANLOCK_KIT
from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.libvirt.host import LibvirtHost
from he_fsm.rehearse.backends import LIBVIRT


def _of(host: LabHost) -> LibvirtHost:
    return cast("LibvirtHost", host)


def _has_ended(host: LabHost) -> bool:
    return _of(host).libvirt.pid is None


def _kill(host: LabHost) -> Optional[ActiveFault]:
    if _has_ended(host):
        return None
    _of(host).kill_libvirt()
    return ActiveFault()


def _freeze(host: LabHost) -> Optional[ActiveFault]:
    if _has_ended(host):
        return None
    _of(host).freeze_libvirt()
    return ActiveFault(undo=_of(host).thaw_libvirt)


def _damage(lab: Lab) -> Iterator[str]:
    """Return a sentence for each lease that can't be read, and for domains too many or too few."""
    yield from SANLOCK_KIT.damage(lab)
    found = []
    for host in lab.hosts.values():
        try:
            found += [(host.name, name) for name in _of(host).domains()]
        except HeFsmError as error:
            yield f"host {host.name}: {error}"
    if len(found) != 1:
        yield f"the hosts' libvirt has the domains {found}, and not one"


def _counted(lab: Lab) -> Iterator[tuple[str, Size]]:
    """
    Return what each agent and each libvirt daemon uses now, by its name.

    One that looks after a VM uses more than one that does not, wherever that is.
    """
    for host in lab.hosts.values():
        role = "without a VM" if host.vm() is None else "with the VM"
        agent = host.agent_process
        pids = {"agent": None if agent is None else agent.pid, "libvirtd": _of(host).libvirt.pid}
        for name, pid in pids.items():
            # It is being started again.
            with suppress(psutil.NoSuchProcess):
                if pid is not None:
                    yield f"{name} {role}", size_of(psutil.Process(pid))


LIBVIRT_KIT: Final = attrs.evolve(
    SANLOCK_KIT,
    backend=LIBVIRT,
    # The guest is not resumed from a saved state: it boots, emulated.
    scenario=SANLOCK_KIT.scenario.replace("vm_boot: 10s", "vm_boot: 40s"),
    faults=(
        *SANLOCK_KIT.faults,
        Fault("libvirtd", _kill),
        Fault("libvirtd-frozen", _freeze, LASTS_MAX_S),
    ),
    units=(
        Unit("libvirtd", _has_ended, lambda host: _of(host).start_hypervisor()),
        *SANLOCK_KIT.units,
    ),
    damage=_damage,
    counted=_counted,
)
