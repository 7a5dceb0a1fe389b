"""Who may join a cluster, and with which host id: judged by values alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Optional

import attrs

from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.errors import DeployError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.words import several

# Hosts whose wall clocks differ by more confuse everybody who reads logs and certificates; leases
# and decisions never compare them (seconds).
CLOCK_MAX_S: Final = 10.0
# What the host itself needs besides the VM. Source: ovirt-hosted-engine-setup's reserve (MiB).
_RESERVE_MB: Final = 512


@attrs.frozen(kw_only=True)
class Applicant:
    """
    A host that wants to join.

    `clock_off_s`: how far its wall clock is from that of the hosts that are there; None: nobody is
    there to compare with.
    """

    fitness: Fitness
    clock_off_s: Optional[float] = None


@attrs.frozen(kw_only=True)
class HostIds:
    """
    The host ids of a cluster, and who has them.

    An id is taken while its slot is written, its lease is held, or it is on the list. `room`: the
    highest id that has a slot.
    """

    board: Whiteboard
    told: Told
    held: Collection[int] = ()
    room: int

    def next(self) -> int:
        """
        Return the lowest one that nobody has.

        Raises:
            DeployError: they are all taken.
        """
        taken = {*self.board.records, *self.board.problems, *self.told.hosts, *self.held}
        for number in range(1, self.room + 1):
            if number not in taken:
                return number
        msg = (
            f"all {several(self.room, 'host id')} of the whiteboard are taken: remove a host"
            " (he-fsm undeploy, he-fsm storage clear-slot), or make the whiteboard longer"
            " (he-fsm storage init --hosts N says how)"
        )
        raise DeployError(msg)

    def why_not_named(self, hostname: str, host_id: int) -> str:
        """Return why a host can't be called so: another one is, and people would mix them up."""
        for number, each in self.told.hosts.items():
            if number != host_id and each.hostname == hostname:
                return (
                    f"host {number} is called {hostname}, too: give --hostname another name, by"
                    " which the other hosts reach this one"
                )
        return ""

    def why_not(self, wanted: int, hostname: str) -> str:
        """Return why a host of this name can't have an id; empty: it can."""
        record, listed = self.board.records.get(wanted), self.told.hosts.get(wanted)
        name = record.hostname if record is not None else "" if listed is None else listed.hostname
        if wanted > self.room:
            return f"host id {wanted} has no slot on the whiteboard, which has room for {self.room}"
        if wanted in self.held:
            return f"host id {wanted} is held by {name or 'another host'}, which runs"
        if name and name != hostname:
            return (
                f"host id {wanted} is taken by {name}: remove that host first (he-fsm storage"
                f" clear-slot {wanted}), or take another id"
            )
        return ""


def refusals(values: Values, applicant: Applicant, others: Mapping[int, Fitness]) -> Iterator[str]:
    """
    Yield why a host may not join, each as a sentence with what mends it.

    *others*: what the hosts that are there can run, by their host ids.
    """
    off_s = applicant.clock_off_s
    if off_s is not None and abs(off_s) > CLOCK_MAX_S:
        yield (
            f"the clock of this host is {'ahead of' if off_s > 0 else 'behind'} the other hosts' by"
            f" {abs(off_s):.0f} s, and at most {CLOCK_MAX_S:.0f} s is accepted: enable chrony or"
            " systemd-timesyncd here"
        )
    yield from _misfits(values, applicant.fitness, common([*others.values(), applicant.fitness]))


def _misfits(values: Values, fitness: Fitness, everywhere: Fitness) -> Iterator[str]:
    model, machine = str(values.get("cpu_model", "")), str(values.get("emulated", ""))
    if model and fitness.cpus and model not in fitness.cpus:
        yield (
            f"the CPU of this host can't run the VM's CPU model {model};"
            f" {_change('hypervisor.vm.cpu', everywhere.cpus)}"
        )
    if machine and fitness.machines and machine not in fitness.machines:
        yield (
            f"QEMU on this host has no machine type {machine}; install the release of the other"
            f" hosts, or {_change('hypervisor.vm.machine', everywhere.machines)}"
        )
    needed = int(values.get("memory_mb", 0)) + _RESERVE_MB
    has_vm = values.get("hypervisor") in ("qemu", "libvirt")
    if has_vm and fitness.memory_mb and fitness.memory_mb < needed:
        yield (
            f"this host has {fitness.memory_mb} MiB of memory, and the VM needs"
            f" {values['memory_mb']} MiB beside the {_RESERVE_MB} MiB of the host's own"
        )


def _change(key: str, names: tuple[str, ...]) -> str:
    if not names:
        return f"there is no {key} that all hosts can run"
    return (
        f"all hosts can run {names[0]}: set {key} to that on every host, start the VM anew, and"
        " join then"
    )


def common(known: Sequence[Fitness]) -> Fitness:
    """Return what all hosts can run, in the first one's order; who is unknown does not count."""

    def shared(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
        lists = [each for each in lists if each]
        if not lists:
            return ()
        return tuple(name for name in lists[0] if all(name in each for each in lists))

    return Fitness(
        cpus=shared([each.cpus for each in known]),
        machines=shared([each.machines for each in known]),
    )
