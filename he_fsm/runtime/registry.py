"""
Kinds by name: he_fsm's own, and those that other packages register by entry points.

A kind is an object of `he_fsm.runtime.kinds`. A package registers it under its name in one of the
groups below. he_fsm's own kinds stand here in the same form, so that they are known where the
package runs from its source and is not installed. Nothing is imported before it is named.
"""

from __future__ import annotations

import functools
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from he_fsm.errors import ConfigError

HYPERVISORS: Final = "he_fsm.hypervisors"
LEASES: Final = "he_fsm.leases"
MONITORS: Final = "he_fsm.monitors"
NOTIFIERS: Final = "he_fsm.notifiers"
REHEARSALS: Final = "he_fsm.rehearsals"

_OWN: Final = {
    HYPERVISORS: {
        "command": "he_fsm.runtime.hypervisors.command.kind:KIND",
        "embedded": "he_fsm.runtime.hypervisors.process.kind:KIND",
        "libvirt": "he_fsm.runtime.hypervisors.libvirt.kind:KIND",
        "qemu": "he_fsm.runtime.hypervisors.qemu.kind:KIND",
        "systemd": "he_fsm.runtime.hypervisors.systemd.kind:KIND",
        "vdsm": "he_fsm.runtime.hypervisors.vdsm.kind:KIND",
    },
    LEASES: {
        "embedded": "he_fsm.runtime.leases.files.kind:KIND",
        "sanlock": "he_fsm.runtime.leases.sanlock.kind:KIND",
        "vdsm": "he_fsm.runtime.leases.vdsm.kind:KIND",
    },
    MONITORS: {
        "ping": "he_fsm.runtime.monitors.kinds:PING",
        "dns": "he_fsm.runtime.monitors.kinds:DNS",
        "tcp": "he_fsm.runtime.monitors.kinds:TCP",
        "none": "he_fsm.runtime.monitors.kinds:NONE",
        "file": "he_fsm.runtime.monitors.kinds:FILE",
    },
    NOTIFIERS: {
        "smtp": "he_fsm.runtime.notify.kinds:SMTP",
        "hook": "he_fsm.runtime.notify.kinds:HOOK",
    },
    REHEARSALS: {
        "embedded": "he_fsm.rehearse.backends:EMBEDDED",
        "libvirt": "he_fsm.rehearse.backends:LIBVIRT",
        "sanlock": "he_fsm.rehearse.backends:SANLOCK",
        "vdsm": "he_fsm.rehearse.backends:VDSM",
    },
}


def names(group: str) -> tuple[str, ...]:
    """Return the names of the kinds that are installed, in the order of the alphabet."""
    return tuple(sorted(_found(group)))


def load(group: str, name: str) -> Any:
    """
    Return the kind of a name.

    Raises:
        ConfigError: there is none, or the package that brings it can't be imported.
    """
    found = _found(group)
    if name not in found:
        msg = f"unknown kind '{name}' of {group}; there are {', '.join(names(group))}"
        raise ConfigError(msg)
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        msg = f"the kind '{name}' of {group} can't be used: {error}"
        raise ConfigError(msg) from error


@functools.cache
def _found(group: str) -> dict[str, EntryPoint]:
    if sys.version_info >= (3, 10):
        points = tuple(entry_points(group=group))
    else:
        points = tuple(entry_points().get(group, ()))
    own = {name: EntryPoint(name, value, group) for name, value in _OWN.get(group, {}).items()}
    # Of two of one name the first one on the path counts, as it does for modules; ours come first.
    return {**{point.name: point for point in reversed(points)}, **own}
