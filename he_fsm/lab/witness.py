"""The witness's verdict: whether two engine VMs ever executed at once."""

from __future__ import annotations

from pathlib import Path

from he_fsm.runtime.hypervisors.process.kind import WITNESS
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE, log_of, read_log


def doubles(shared: Path) -> list[str]:
    """Return a sentence for each double that the engine's own processes saw."""
    log = log_of(shared / WITNESS)
    if not log.exists():
        return []
    return [
        f"the witness saw two engine VMs execute: host {line.host_id}, process {line.pid}"
        for line in read_log(shared / WITNESS)
        if line.word == DOUBLE
    ]
