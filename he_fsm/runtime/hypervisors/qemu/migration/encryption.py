"""
TLS for the memory of a VM that moves, as QEMU has it: x509 credentials, verified on both sides.

A folder has QEMU's own names: `ca-cert.pem` on both sides, `server-cert.pem` and `server-key.pem`
where a VM arrives, `client-cert.pem` and `client-key.pem` where it leaves. The server's certificate
must be valid for the address in `peers`. Source: QEMU's manual, "TLS setup for network services".
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final, Optional

from he_fsm.runtime.hypervisors.qemu.machine import Machine
from he_fsm.runtime.hypervisors.qemu.monitor import RefusedError

CREDENTIALS: Final = (
    *("ca-cert.pem", "server-cert.pem", "server-key.pem"),
    *("client-cert.pem", "client-key.pem"),
)
SERVER: Final = "server"
CLIENT: Final = "client"
_ID: Final = "he-fsm-move"


async def encrypt(machine: Machine, folder: Optional[Path], endpoint: str) -> None:
    """
    Order a QEMU to use TLS for the migration that follows; None: it uses none.

    Raises:
        HypervisorError: QEMU can't use what is in the folder.
    """
    monitor = machine.monitor
    # An earlier migration may have left them, and they may have been renewed since.
    await monitor.execute("migrate-set-parameters", tls_creds="")
    with suppress(RefusedError):
        await monitor.execute("object-del", id=_ID)
    if folder is None:
        return
    await monitor.execute(
        "object-add",
        qom_type="tls-creds-x509",
        id=_ID,
        dir=str(folder),
        endpoint=endpoint,
        verify_peer=True,
    )
    await monitor.execute("migrate-set-parameters", tls_creds=_ID)
