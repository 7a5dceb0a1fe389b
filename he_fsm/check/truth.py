"""The truth about a cluster, whatever its hosts believe."""

from __future__ import annotations

from typing import Any

from he_fsm.check import layout as at
from he_fsm.check.cluster import Cluster
from he_fsm.check.layout import State, place
from he_fsm.check.properties import Property

# A suspended host executes nothing. When it is resumed, its VM executes until the first pass of its
# agent that can know that another host has the lease. No rule of the machine can prevent that, so
# it is no breach. (In the simulator that pass follows at once; a real agent makes it within a
# loop.) Until such a pass the host is not judged, even if no agent ever makes one.
_KNOWS_NOTHING = at.ASLEEP | at.STRAY


class Truth:
    """Judges states of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        """Take the cluster."""
        self._cluster = cluster
        self._places = [place(host) for host in range(cluster.hosts)]
        self._relations = place(cluster.hosts)
        self._broken: dict[tuple[Any, ...], list[tuple[Property, str]]] = {}

    def broken_by(self, state: State) -> list[tuple[Property, str]]:
        """Judge a state: how many engines execute, and whether each has its lease."""
        end = self._relations
        vms = state[at.HEAD + at.VM : end : at.WIDTH]
        lapses = state[at.HEAD + at.LAPSE : end : at.WIDTH]
        key: tuple[Any, ...] = state[at.OWNER], vms, lapses
        flags = state[at.HEAD + at.FLAGS : end : at.WIDTH]
        # Fast path: no other flags are above these two, and they are seldom set.
        if max(flags) >= at.ASLEEP:
            key = *key, *[each & _KNOWS_NOTHING for each in flags]
        broken = self._broken.get(key)
        if broken is None:
            broken = self._broken[key] = self._judge(state)
        return broken

    def _judge(self, state: State) -> list[tuple[Property, str]]:
        found: list[tuple[Property, str]] = []
        executing: list[int] = []
        for host, p in enumerate(self._places):
            vm = state[p + at.VM]
            if not vm or state[p + at.FLAGS] & _KNOWS_NOTHING:
                continue
            if vm & at.PHASE != at.STARTING and not vm & at.PAUSED:
                executing.append(host + 1)
            owner = state[at.OWNER]
            if vm & at.PAUSED and not self._cluster.pause_keeps_lease:
                # It executes nothing, and gets its lease again before it does.
                continue
            if owner != host + 1:
                holder = f"held by host {owner}" if owner else "free"
                found.append(
                    (Property.LEASE, f"a VM is on host {host + 1} while its lease is {holder}")
                )
            elif state[p + at.LAPSE] > self._cluster.times.expiries[host]:
                text = f"a VM is on host {host + 1} after its lease has run out"
                found.append((Property.LEASE, text))
        if len(executing) > 1:
            names = " and ".join(map(str, executing))
            found.append((Property.TWO_ENGINES, f"engines execute on hosts {names}"))
        return found

    def is_good(self, state: State) -> bool:
        """Return whether an engine executes whose health page is good."""
        return any(
            at.is_good(state[p + at.VM]) and not state[p + at.FLAGS] & at.ASLEEP
            for p in self._places
        )

    def is_able(self, state: State) -> bool:
        """
        Return whether the hosts owe an engine: one can run it, and nothing prevents that.

        An ill VM prevents it if no agent runs on its host, or one that can't read the hypervisor or
        the whiteboard: nobody else may end that VM, which has the lease. A host with an older
        release than another's leaves the engine to the other. A host that went down in order may
        keep the engine for itself (policy `freeze`).
        """
        if state[at.GLOBAL] or self._is_kept(state):
            return False
        wanted = at.POWER | at.AGENT
        looks_away = at.SILENT | at.DEAF
        newer = max(state[p + at.FLAGS] & at.NEWER for p in self._places)
        able = False
        for p in self._places:
            flags, vm = state[p + at.FLAGS], state[p + at.VM]
            is_kept = vm & (at.SICK | at.PAUSED | at.STUCK) or vm & at.PHASE == at.STOPPING
            if is_kept and flags & (wanted | looks_away) != wanted and not flags & at.NOT_RENEWING:
                return False
            if flags & (wanted | at.UNFIT) == wanted and flags & at.NEWER == newer:
                able = True
        return able

    def _is_kept(self, state: State) -> bool:
        """
        Return whether the last record of a host that stopped in order keeps the engine.

        It does so as well if only an old block is read of it now: hosts believe the last record.
        """
        steps = self._cluster.steps
        if steps.policy.on_shutdown != "freeze":
            return False
        records = []
        for p in self._places:
            if state[p + at.SLOT]:
                records.append(steps.numbers.known[state[p + at.SLOT]])
            seen = steps.memory(state[p + at.MEMORY]).sightings.values()
            records += [each.record for each in seen if each.record is not None]
        return any(record.stopped and record.engine.keeps_engine for record in records)
