"""What a lab with libvirt needs of a machine; nothing is started for it, and no extra imported."""

from __future__ import annotations

from importlib.util import find_spec

from he_fsm.errors import MissingExtraError
from he_fsm.lab import netns, watchdog
from he_fsm.lab.libvirt import daemon
from he_fsm.lab.sanlock import needs


def missing(speed: float) -> list[str]:
    """Return what this machine lacks, and which package has it."""
    reasons = needs.missing(speed)
    if find_spec("libvirt") is None:
        reasons.append(str(MissingExtraError.of("libvirt", "libvirt", "a domain of libvirt")))
    reasons.extend(daemon.missing())
    # A domain's card is plugged into a bridge, and each daemon finds its own files.
    whys = {"namespaces": netns.why_not(), "mounts of their own": watchdog.why_not()}
    reasons.extend(f"hosts with libvirt have {what}: {why}" for what, why in whys.items() if why)
    return reasons
