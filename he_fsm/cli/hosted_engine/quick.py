"""
Where this host's broker listens, for commands that monitoring calls every few seconds.

Two keys of the configuration say it. To judge all others takes longer than the command itself, and
the daemons have done it. Whatever is not as it usually is, is left to the whole reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Optional

import yaml

from he_fsm.document.lossless import SHELL

# As of `Config` and `OvirtConfig`; a test holds them equal.
RUN_DIR: Final = "/run/he-fsm"
SETUP_DIR: Final = "/etc/ovirt-hosted-engine"
SOCKET: Final = "broker.sock"


def socket_of(path: Path) -> Optional[Path]:
    """Return the broker's socket of a host that was deployed; None: the whole reading knows."""
    try:
        plain = yaml.safe_load(path.read_bytes())
        if not isinstance(plain, dict):
            return None
        run_dir = plain.get("run_dir", RUN_DIR)
        if not isinstance(run_dir, str) or not _is_deployed(plain, path.absolute().parent):
            return None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return path.absolute().parent / run_dir / SOCKET


def _is_deployed(plain: dict[str, Any], folder: Path) -> bool:
    """Whether it is certain that the engine was deployed here."""
    ovirt = plain.get("ovirt", {})
    if ovirt is None or ovirt == "none":
        return True
    if not isinstance(ovirt, dict):
        return False
    setup_dir = folder / str(ovirt.get("dir", SETUP_DIR))
    text = (setup_dir / "hosted-engine.conf").read_text(encoding="utf-8")
    return SHELL.get(text, "vmid") not in (None, "", "None")
