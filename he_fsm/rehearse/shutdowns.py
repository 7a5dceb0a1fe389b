"""
Hosts of a lab that are shut down or rebooted in order.

Each host's own logind announces that and waits for the agent. Then the agent is asked to end, as
systemd does with its unit; a VM that is still there is killed; and the host is powered off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Optional

import attrs

from he_fsm.lab.host import LabHost

# An agent has ended by then, or its host does not wait any longer (real seconds).
_ENDS_WITHIN_S: Final = 10.0
# So long after its VM was killed a host has released the VM's lease (real seconds).
_RELEASED_S: Final = 1.0


@attrs.define
class _UnderWay:
    """A shutdown: whether the host boots again, and until when it waits, once it goes down."""

    boot: int
    reboots: bool
    until: Optional[float] = None
    has_killed_vm: bool = False


class Shutdowns:
    """The shutdowns that are under way, by the host's name."""

    def __init__(self, boot: Callable[[LabHost], None]) -> None:
        """Take what boots a host."""
        self._boot = boot
        self._under_way: dict[str, _UnderWay] = {}

    def order(self, host: LabHost, word: str) -> None:
        """Order a `shutdown` or a `reboot`, or that the host is to `stay`."""
        if word == "stay":
            going = self._under_way.get(host.name)
            if going is not None and going.until is None and host.bus is not None:
                del self._under_way[host.name]
                host.bus.ask("CancelShutdown")
            return
        if not host.is_powered or host.is_frozen or host.name in self._under_way:
            return
        self._under_way[host.name] = _UnderWay(host.boot, word == "reboot")
        if host.bus is not None and host.bus.is_up:
            host.bus.ask("Reboot" if word == "reboot" else "PowerOff")

    def boots_again(self, host: LabHost) -> bool:
        """Have a host that goes down boot as soon as it is off; return whether it goes down."""
        going = self._under_way.get(host.name)
        if going is None:
            return False
        going.reboots = True
        return True

    def look(self, host: LabHost) -> None:
        """See what becomes of a host's shutdown; called again and again."""
        going = self._under_way.get(host.name)
        if going is None:
            return
        if going.boot != host.boot:
            # It lost its power before.
            del self._under_way[host.name]
        elif going.until is None:
            if host.bus is None or not host.bus.is_up:
                host.stop_agent()
                going.until = time.monotonic() + _ENDS_WITHIN_S
        elif self._has_ended(host, going):
            del self._under_way[host.name]
            host.power_off()
            if going.reboots:
                self._boot(host)

    def _has_ended(self, host: LabHost, going: _UnderWay) -> bool:
        """Return whether all that runs on a host has ended, as far as the host waits for it."""
        now, agent = time.monotonic(), host.agent_process
        is_late = going.until is not None and now >= going.until
        if agent is not None and agent.poll() is None and not is_late:
            return False
        if host.vm() is not None and not going.has_killed_vm:
            host.kill_vm()
            going.has_killed_vm, going.until = True, now + _RELEASED_S
            return False
        return is_late or not going.has_killed_vm
