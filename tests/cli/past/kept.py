"""Hosts whose simulated agents have kept their looks: configuration, state folder, ring."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import yaml

from tests.history.recordings import TAKEOVER, recorded, ring_of


def configured(folder: Path, host_id: int = 2, **sections: Any) -> Path:
    """Make the folders of a host without daemons; return its configuration."""
    for name in ("run", "state", "shared"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    plain = {
        "host": {"id": host_id, "hostname": f"host{host_id}"},
        "run_dir": str(folder / "run"),
        "state_dir": str(folder / "state"),
        "group": None,
        "ovirt": None,
        "storage": {"path": str(folder / "shared")},
        "hypervisor": {"port": 54321},
        "monitors": {"network": {"address": "192.0.2.1"}},
        **sections,
    }
    path = folder / "he-fsm.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    return path


def keeping(
    folder: Path,
    host_id: int = 2,
    *,
    timeline: str = TAKEOVER,
    until: str = "10m",
    begins: Optional[tuple[str, str]] = None,
    **sections: Any,
) -> Path:
    """
    Make such a host, with the ring of a simulated agent; return its configuration.

    *begins*: the scenario's hosts and engine; None: three hosts, and the engine on host 1.
    """
    path = configured(folder, host_id, **sections)
    ring = folder / "state" / "history"
    ring.mkdir()
    keys = {} if begins is None else {"hosts": begins[0], "engine": begins[1]}
    looks = recorded(timeline, until, **keys)[str(host_id)]
    (ring / "000000000001.ring").write_bytes(ring_of(looks))
    return path
