"""What is wrong with a domain for a VM that is kept highly available: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Optional
from xml.sax.saxutils import escape, quoteattr

import attrs

from he_fsm.runtime.hypervisors.libvirt.definition.reading import Definition, Disk, Lease
from he_fsm.runtime.ports import Finding, LeasePlace

# What a domain may do by itself at these events, and what is better, with the reason. All else is
# in the agent's way. Source: libvirt, formatdomain.html, "Events configuration".
_EVENTS: Final = {
    "on_poweroff": (("destroy",), "a guest that powers itself off would not be seen to have ended"),
    "on_reboot": (("restart",), "the guest's own reboot would count as a death of the VM"),
    "on_crash": (
        ("destroy", "coredump-destroy"),
        "libvirt would keep or restart a crashed guest, and the agent could not",
    ),
}
# What libvirt's sanlock plug-in refuses at the start of a domain (libvirt 9.0 and 11.3).
_REFUSED_LOCK_FAILURES: Final = ("restart", "ignore")
# A copy of the disk in the host's memory is not there where the VM goes to.
_SAFE_CACHES: Final = ("none", "directsync")


@attrs.frozen(kw_only=True)
class Circumstances:
    """
    What a domain is judged by, besides its definition.

    `place` is the engine's lease in the configuration. `moves`: the domain moves to other hosts
    while it runs. `is_autostarted` and `has_saved_state` are libvirt's to know. `local_to` says of
    a path what makes it this host's alone, as in "a file system of this host alone, ext4"; None:
    nothing is known to. `is_plugin`: libvirt's plug-in takes the lease; else a holder of he_fsm's.
    """

    place: LeasePlace
    moves: bool = False
    is_autostarted: bool = False
    has_saved_state: bool = False
    local_to: Callable[[str], Optional[str]] = lambda _: None
    is_plugin: bool = True


def findings(definition: Definition, around: Circumstances) -> tuple[Finding, ...]:
    """Return what is wrong with a domain, each as one sentence with what mends it."""
    return (
        *lease_findings(definition, around.place, is_plugin=around.is_plugin),
        *_by_itself(definition, around),
        *_reactions(definition),
        *_disks(definition, around),
        *_host_only(definition, around),
    )


def lease_findings(
    definition: Definition, place: LeasePlace, *, is_plugin: bool = True
) -> tuple[Finding, ...]:
    """
    Return what is wrong with the domain's lease.

    Empty: libvirt takes the engine's lease for it, or it leaves the lease to the holder.

    safety: nothing starts a domain of which this finds anything fatal.
    """
    return tuple(_leases(definition, place) if is_plugin else _second_way(definition, place))


def mended_by(found: Iterable[Finding], name: str, how: str) -> tuple[Finding, ...]:
    """Return findings about a definition that is changed otherwise than by `virsh edit`."""
    return tuple(
        attrs.evolve(each, mend=each.mend.replace(f"virsh edit {name}", how)) for each in found
    )


def _leases(definition: Definition, place: LeasePlace) -> Iterator[Finding]:
    name, wanted = definition.name, _wanted(place)
    add = f"virsh edit {name}, and write in <devices>: {lease_xml(place)}"
    if not definition.leases:
        yield Finding(
            what=f"the domain {name} has no <lease>: libvirt would start it without the engine's "
            "lease, and a second one could run on another host",
            mend=add,
        )
    elif wanted not in definition.leases:
        yield Finding(
            what=f"the domain {name} has another lease than the configuration: "
            f"{'; '.join(_difference(lease, wanted) for lease in definition.leases)}",
            mend=f"{add} in place of its <lease>",
        )
    elif len(definition.leases) > 1:
        yield Finding(
            what=f"the domain {name} has {len(definition.leases)} leases: it is not started where "
            "another than the engine's is held",
            mend=f"virsh edit {name}, and keep only: {lease_xml(place)}",
            is_fatal=False,
        )
    if definition.on_lockfailure in _REFUSED_LOCK_FAILURES:
        yield Finding(
            what=f"the domain {name} has <on_lockfailure>{definition.on_lockfailure}, with which "
            "libvirt's sanlock plug-in starts no domain",
            mend=f"virsh edit {name}, and remove <on_lockfailure>",
        )
    elif definition.on_lockfailure == "pause":
        yield Finding(
            what=f"the domain {name} has <on_lockfailure>pause: a VM whose lease is lost stays, "
            "paused and without the lease, until its agent ends it",
            mend=f"virsh edit {name}, and remove <on_lockfailure>",
            is_fatal=False,
        )


def _second_way(definition: Definition, place: LeasePlace) -> Iterator[Finding]:
    """Find a lease that libvirt would take beside the holder: each would refuse the other's."""
    name = definition.name
    # sanlock knows a lease by its names, whatever path leads to it, and by its place.
    named, placed = (place.lockspace, place.resource), (place.path, place.offset)
    if any(
        (lease.lockspace, lease.key) == named or (lease.path, lease.offset) == placed
        for lease in definition.leases
    ):
        yield Finding(
            what=f"the domain {name} has the engine's <lease>, and lease: holder has a holder take "
            "it: each of the two would refuse the other",
            mend=f"virsh edit {name}, and remove {lease_xml(place)}; or write lease: plugin",
        )
    yield Finding(
        what=f"with lease: holder, libvirt refuses nobody who starts, resumes or restores the "
        f"domain {name} by hand: the agent ends it when it sees that",
        mend="use lease: plugin where libvirt's sanlock plug-in can be had",
        is_fatal=False,
    )


def lease_xml(place: LeasePlace) -> str:
    """Return the element by which libvirt takes the engine's lease."""
    return (
        f"<lease><lockspace>{escape(place.lockspace)}</lockspace>"
        f"<key>{escape(place.resource)}</key>"
        f"<target path={quoteattr(place.path)} offset={quoteattr(str(place.offset))}/></lease>"
    )


def _wanted(place: LeasePlace) -> Lease:
    return Lease(
        lockspace=place.lockspace, key=place.resource, path=place.path, offset=place.offset
    )


def _difference(lease: Lease, wanted: Lease) -> str:
    """Say in what a lease is another one."""
    pairs = (
        ("lockspace", lease.lockspace, wanted.lockspace),
        ("key", lease.key, wanted.key),
        ("path", lease.path, wanted.path),
        ("offset", lease.offset, wanted.offset),
    )
    return ", ".join(f"{what} {has}, not {wants}" for what, has, wants in pairs if has != wants)


def _by_itself(definition: Definition, around: Circumstances) -> Iterator[Finding]:
    """Find what makes libvirt start the domain without being asked, or with an old memory."""
    name = definition.name
    if around.is_autostarted:
        yield autostart_finding(name, is_plugin=around.is_plugin)
    if around.has_saved_state:
        yield Finding(
            what=f"the domain {name} has a saved state: its memory may be older than its disk; "
            "the agent's start discards it",
            mend=f"virsh managedsave-remove {name}; for libvirt-guests, set ON_SHUTDOWN=shutdown",
            is_fatal=False,
        )


def autostart_finding(name: str, *, is_plugin: bool) -> Finding:
    """Say what a domain means that libvirt starts when the host boots."""
    beside = "beside the agent" if is_plugin else "without the engine's lease"
    return Finding(
        what=f"libvirt starts the domain {name} by itself (autostart), {beside}",
        mend=f"virsh autostart --disable {name}",
        is_fatal=not is_plugin,
    )


def _reactions(definition: Definition) -> Iterator[Finding]:
    for key, (good, why) in _EVENTS.items():
        has = getattr(definition, key)
        if has not in good:
            yield Finding(
                what=f"the domain {definition.name} has <{key}>{has}: {why}",
                mend=f"virsh edit {definition.name}, and write <{key}>{good[0]}</{key}>",
                is_fatal=False,
            )
    if not definition.reports_panics:
        yield Finding(
            what=f"the domain {definition.name} has no <panic>: a guest whose kernel panics is "
            "restarted only when its health page has been bad for minutes",
            mend=f"virsh edit {definition.name}, and write in <devices>: <panic/>",
            is_fatal=False,
        )


def _disks(definition: Definition, around: Circumstances) -> Iterator[Finding]:
    for disk in definition.disks:
        if around.moves and disk.is_writable and disk.cache not in _SAFE_CACHES:
            cache = disk.cache or "libvirt's own choice"
            yield Finding(
                what=f"the disk {disk.target} of the domain {definition.name} has the cache "
                f"{cache}: what a host has in its memory is missing where the VM goes to",
                mend=f"virsh edit {definition.name}, and write cache='none' in its <driver>",
                is_fatal=False,
            )


def _host_only(definition: Definition, around: Circumstances) -> Iterator[Finding]:
    """Find what no other host has, so that the domain can't run there."""
    name = definition.name
    for disk in definition.disks:
        yield from _local(name, f"the disk {disk.target}", _path_of(disk), around)
    for path in definition.files:
        yield from _local(name, "the file", path, around)
    if definition.host_devices:
        yield Finding(
            what=f"the domain {name} has devices of this host (<hostdev>): it does not move while "
            "it runs, and starts only where the same devices are",
            mend=f"virsh edit {name}, and remove <hostdev>",
            is_fatal=False,
        )


def _local(name: str, what: str, path: str, around: Circumstances) -> Iterator[Finding]:
    reason = around.local_to(path) if path else None
    if reason is not None:
        yield Finding(
            what=f"{what} {path} of the domain {name} is on {reason}: no other host can run the VM",
            mend="move it to storage that all hosts share, and change the path by "
            f"virsh edit {name}",
            is_fatal=False,
        )


def _path_of(disk: Disk) -> str:
    # A block device may be one of all hosts; networks' own are.
    return disk.source if disk.source_kind == "file" else ""
