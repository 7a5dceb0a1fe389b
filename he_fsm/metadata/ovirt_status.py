"""
The cluster as `hosted-engine --vm-status` prints it, for scripts that read that: pure functions.

Source: ovirt-hosted-engine-setup 2.7; `tests/metadata/test_ovirt_status.py` holds the texts against
golden ones of its own code.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from he_fsm.metadata.engine import engine_from_text
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.ovirt_fields import Field, fields_of

_LABELS: Final = {
    "host-id": "Host ID",
    "host-ts": "Host timestamp",
    "score": "Score",
    "engine-status": "Engine status",
    "hostname": "Hostname",
    "maintenance": "Local maintenance",
    "live-data": "Status up-to-date",
    "extra": "Extra metadata (valid at timestamp)",
}
_WIDTH: Final = 35
_STALE: Final = "unknown stale-data"
_GLOBAL: Final = "\n\n!! Cluster is in GLOBAL MAINTENANCE mode !!\n\n"

# The fields of each host, by its id.
Hosts = Mapping[int, Mapping[str, Field]]


def hosts_of(whiteboard: bytes, alive: Collection[int]) -> Hosts:
    """Return the hosts whose slots can be believed; `live-data` says whether they are *alive*."""
    found = {}
    for host_id in range(1, -(-len(whiteboard) // SLOT_BYTES)):
        block = whiteboard[host_id * SLOT_BYTES : (host_id + 1) * SLOT_BYTES]
        fields = fields_of(host_id, block)
        if fields:
            found[host_id] = {**fields, "live-data": host_id in alive}
    return found


def status_text(hosts: Hosts, *, is_global: bool) -> str:
    """Return the text for people."""
    around = _GLOBAL if is_global else ""
    return around + "".join(_host_text(fields) for fields in hosts.values()) + around


def _host_text(fields: Mapping[str, Field]) -> str:
    lines = ["", "", f"--== Host {fields['hostname']} (id: {fields['host-id']}) status ==--", ""]
    for name, value in fields.items():
        if name == "extra":
            continue
        is_stale = name == "engine-status" and not fields["live-data"]
        shown = _STALE if is_stale else value
        lines.append(f"{_LABELS.get(name, name):{_WIDTH}}: {shown}")
    if "extra" in fields:
        lines.append(f"{_LABELS['extra']:{_WIDTH}}:")
        lines += [f"\t{line}" for line in str(fields["extra"]).splitlines()]
    return "\n".join(lines) + "\n"


def status_json(hosts: Hosts, *, is_global: bool) -> str:
    """Return one line of JSON: an object for each host, and whether hands are kept off."""
    found: dict[str, Any] = {str(host_id): _plain(fields) for host_id, fields in hosts.items()}
    found["global_maintenance"] = is_global
    return json.dumps(found)


def _plain(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {
        name: _engine(str(value)) if name == "engine-status" else value
        for name, value in fields.items()
    }


def _engine(text: str) -> Any:
    """Decode an engine status; the words of 2013 become an object as well."""
    try:
        return json.loads(text)
    except ValueError:
        status = engine_from_text(text)
        return {"vm": status.vm, "health": status.health, "detail": status.detail}
