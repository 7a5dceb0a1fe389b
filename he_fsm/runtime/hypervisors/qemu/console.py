"""The VM's screen: a password that is given out, is good for one connection, and not for long."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.qemu.command import SECOND_MONITOR
from he_fsm.runtime.hypervisors.qemu.monitor import Monitor

# QEMU's event when somebody has got in with the password, and the screen's protocol.
SCREENS: Final = {"VNC_INITIALIZED": "vnc", "SPICE_INITIALIZED": "spice"}
# VNC takes no notice of more than 8 characters (RFC 6143, 7.2.2): 6 bytes in base 64.
_PASSWORD_BYTES: Final = 6
_CONNECTED_WITHIN_S: Final = 5.0


def give_out(run_dir: Path, protocol: str, valid_s: int, password: Optional[str] = None) -> str:
    """
    Return a new password for the screen of the VM of a run folder; the last one is void then.

    *password*: one that somebody has chosen; None: one is made.

    Connections have to begin within *valid_s* seconds. The host's agent makes the password void as
    soon as somebody has got in with it.

    Raises:
        HypervisorError: there is no VM, it does not answer, or this user may not ask it.
    """
    path = run_dir / SECOND_MONITOR
    if not path.exists():
        msg = f"the VM is not on this host: there is no {path}"
        raise HypervisorError(msg)
    if not os.access(path, os.R_OK | os.W_OK):
        msg = f"this user may not use {path}"
        raise HypervisorError(msg)
    chosen = password or secrets.token_urlsafe(_PASSWORD_BYTES)
    asyncio.run(_set(path, protocol, valid_s, chosen))
    return chosen


async def _set(path: Path, protocol: str, valid_s: int, password: str) -> None:
    ends_at = time.monotonic() + _CONNECTED_WITHIN_S
    monitor = await Monitor.connect(path, lambda: time.monotonic() < ends_at)
    if monitor is None:
        msg = f"QEMU does not answer at {path}; somebody else may use this monitor"
        raise HypervisorError(msg)
    try:
        # In this order: there is no moment at which it is good for ever.
        await monitor.execute("expire_password", protocol=protocol, time=f"+{valid_s}")
        await monitor.execute("set_password", protocol=protocol, password=password)
    finally:
        await monitor.close()


async def void_password(monitor: Monitor, protocol: str) -> None:
    """Void the password; who is connected stays. Raises `HypervisorError`."""
    await monitor.execute("expire_password", protocol=protocol, time="now")
