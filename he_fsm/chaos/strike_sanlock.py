"""What a campaign does to real sanlock daemons, real VMs and whole hosts."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Final, Optional, cast

import psutil

from he_fsm.chaos.strike import AGENT, BROKER, KILLS, ActiveFault, Fault, Kit, Unit, is_over
from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.mount import can_mount
from he_fsm.lab.sanlock.host import SanlockHost
from he_fsm.rehearse.backends import SANLOCK

# How long what lasts may last, in seconds of the scenario: a lease that nobody renews is
# another's after 76 s of it, so that some outages are over before that, and some are not.
LASTS_MAX_S: Final = 120.0


def _of(host: LabHost) -> SanlockHost:
    return cast("SanlockHost", host)


def _sanlock_process(host: LabHost) -> Optional[subprocess.Popen[bytes]]:
    daemon = _of(host).daemon
    return None if daemon is None else daemon.process


def _kill_sanlock(host: LabHost) -> Optional[ActiveFault]:
    daemon = _of(host).daemon
    if daemon is None or daemon.process.poll() is not None:
        return None
    vm = host.vm()
    _of(host).kill_sanlock()
    # The new daemon knows nothing of it, and the old one's watchdog is never pleased again.
    return ActiveFault(is_unsafe=lambda: vm is not None and vm.is_here)


def _stop_sanlock(host: LabHost) -> Optional[ActiveFault]:
    daemon = _of(host).daemon
    if daemon is None or daemon.process.poll() is not None:
        return None
    daemon.stop()
    return ActiveFault(undo=daemon.go_on, is_unsafe=lambda: _is_stopped(daemon.process))


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    try:
        return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _freeze_agent(host: LabHost) -> Optional[ActiveFault]:
    process = host.agent_process
    if process is None or process.poll() is not None:
        return None
    process.send_signal(signal.SIGSTOP)
    return ActiveFault(undo=lambda: process.send_signal(signal.SIGCONT))


def _power_off(host: LabHost) -> Optional[ActiveFault]:
    host.power_off()
    return ActiveFault(undo=host.power_on)


def _freeze(host: LabHost) -> Optional[ActiveFault]:
    host.is_frozen = True
    host.stop_all()

    def thaw() -> None:
        host.is_frozen = False
        host.go_on()

    return ActiveFault(undo=thaw, is_unsafe=lambda: host.is_frozen)


def _lead_storage(word: str) -> Callable[[LabHost], Optional[ActiveFault]]:
    def strike(host: LabHost) -> Optional[ActiveFault]:
        host.lead_storage(word)
        return ActiveFault(undo=lambda: host.lead_storage("restore"))

    return strike


def _tell_guest(word: str) -> Callable[[LabHost], Optional[ActiveFault]]:
    def strike(host: LabHost) -> Optional[ActiveFault]:
        if host.vm() is None:
            return None
        host.order_engine(word)
        return ActiveFault(undo=(lambda: host.order_engine("heal")) if word == "hang" else None)

    return strike


def _lose_gateway(host: LabHost) -> Optional[ActiveFault]:
    def come_back() -> None:
        host.write_monitors(gateway=1.0)

    host.write_monitors(gateway=0.0)
    return ActiveFault(undo=come_back, outlasts_boot=True)


def _damage(lab: Lab) -> Iterator[str]:
    try:
        lab.lease_owner()
    except HeFsmError as error:
        yield str(error)


_STORAGE: Final = tuple(
    Fault(f"storage-{word}", _lead_storage(word), LASTS_MAX_S) for word in ("cut", "hang")
)
_SANLOCK: Final = Unit(
    "sanlock",
    lambda host: is_over(_sanlock_process(host)),
    lambda host: _of(host).start_sanlock(),
)
SANLOCK_KIT: Final = Kit(
    backend=SANLOCK,
    # A guest that hangs is started anew within a minute, and one that hangs while it boots within
    # two, so that a campaign sees it happen.
    scenario="""
scenarios:
  - name: chaos
    policy:
      base: talk
      block_s: 60
      block_max_s: 60
      bad_health_s: 60
      start_timeout_s: 120
      start_timeout_max_s: 120
    world: {io_timeout: 2s, vm_start: 5s, vm_boot: 10s, vm_shutdown: 5s, migration: 10s}
    hosts: 3
""",
    faults=(
        *KILLS,
        Fault("sanlock", _kill_sanlock),
        Fault("sanlock-stopped", _stop_sanlock, LASTS_MAX_S),
        Fault("agent-frozen", _freeze_agent, LASTS_MAX_S),
        Fault("host-off", _power_off, LASTS_MAX_S),
        Fault("host-frozen", _freeze, LASTS_MAX_S),
        *(_STORAGE if can_mount() else ()),
        Fault("guest-hang", _tell_guest("hang"), LASTS_MAX_S),
        Fault("guest-crash", _tell_guest("crash")),
        Fault("guest-panic", _tell_guest("panic")),
        Fault("gateway-lost", _lose_gateway, LASTS_MAX_S),
    ),
    units=(_SANLOCK, BROKER, AGENT),
    at_once=2,
    pause_max_s=60.0,
    damage=_damage,
)
