"""Whether the management bridge is up, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

import attrs

from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.files import read_text

_SYS_CLASS_NET = Path("/sys/class/net")
_DEADLINE_S = 5.0
# Source: linux/if.h.
_IFF_UP = 0x1


@attrs.frozen
class MgmtBridge:
    """The network interface *name*: 1.0 up, 0.0 down or not there."""

    name: str
    sys_class_net: Path = _SYS_CLASS_NET
    deadline_s: float = _DEADLINE_S

    def measure(self) -> float:
        """
        Read the interface's state.

        Raises:
            MonitorError: the kernel's files can't be read, or hold something else.
        """
        folder = self.sys_class_net / self.name
        if not folder.exists():
            return 0.0
        state = read_text(folder / "operstate").strip()
        if state == "unknown":
            # A driver that does not tell: the interface counts as up where it is switched on.
            # Source: Documentation/networking/operstates.rst of the kernel, IF_OPER_UNKNOWN.
            return 1.0 if is_switched_on(read_text(folder / "flags")) else 0.0
        # Dormant, lowerlayerdown, notpresent and testing carry no traffic either.
        return 1.0 if state == "up" else 0.0


def is_switched_on(flags: str) -> bool:
    """
    Say whether an administrator switched the interface on, from the kernel's flags in hexadecimal.

    Raises:
        MonitorError: it is no such number.
    """
    try:
        return bool(int(flags.strip(), 16) & _IFF_UP)
    except ValueError as error:
        msg = f"interface flags are expected, found {flags[:40]!r}"
        raise MonitorError(msg) from error
