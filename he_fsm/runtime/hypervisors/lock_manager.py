"""Who takes leases for libvirt's domains: what the configuration of its QEMU driver says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from he_fsm.runtime.ports import Finding

_LOCK_MANAGER: Final = re.compile(r'^\s*lock_manager\s*=\s*"([^"]*)"', re.MULTILINE)
_WANTED: Final = "sanlock"
_MEND: Final = (
    'install libvirt-sanlock, write lock_manager = "sanlock" in {conf}, and restart libvirtd'
)
# The daemons' own group; libvirt's file is root's alone as it is installed.
_READ: Final = "setfacl -m g:he-fsm:r {conf}"


def lock_manager_of(text: str) -> str:
    """Return the lock manager that a qemu.conf sets; empty: none, which is libvirt's own choice."""
    found = _LOCK_MANAGER.findall(text)
    return str(found[-1]) if found else ""


def driver_findings(
    conf: Path, *, is_plugin: bool = True, starts_paused: bool = True
) -> tuple[Finding, ...]:
    """
    Return what is wrong with libvirt's lock manager, as far as its file tells.

    Where a holder takes the lease, the plug-in is not needed, and in the way of a domain without a
    lease.

    libvirt's interface does not tell it. Who may not read the file learns it at the first start:
    the agent lets no domain execute whose process sanlock does not know. Where the domain is not
    *started paused*, it would execute by then, and so the file has to be readable.
    """
    try:
        manager = lock_manager_of(conf.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        manager = ""
    except OSError as error:
        if not is_plugin:
            return ()
        if not starts_paused:
            what = (
                f"{conf} can't be read ({error.strerror}): whether libvirt takes leases is not "
                "known, and without that no VM is started"
            )
            return (Finding(what=what, mend=_READ.format(conf=conf), path=conf),)
        what = (
            f"{conf} can't be read ({error.strerror}): whether libvirt takes leases shows at the "
            "first start, which ends at once where it does not"
        )
        return (Finding(what=what, mend=_MEND.format(conf=conf), is_fatal=False),)
    if not is_plugin:
        return (_in_the_way(conf),) if manager == _WANTED else ()
    if manager == _WANTED:
        return ()
    has = f'has lock_manager = "{manager}"' if manager else "sets no lock_manager"
    what = f"{conf} {has}: libvirt would start the domain without the engine's lease"
    return (Finding(what=what, mend=_MEND.format(conf=conf)),)


def _in_the_way(conf: Path) -> Finding:
    what = (
        f'{conf} has lock_manager = "{_WANTED}", though a holder takes the lease: libvirt starts '
        "no domain with a writable disk and no <lease>, unless require_lease_for_disks = 0 is set"
    )
    mend = f"remove lock_manager from {conf} and restart libvirtd; or write lease: plugin"
    return Finding(what=what, mend=mend, is_fatal=False)
