"""
Quiet times: nothing has changed since sanlock's command was last asked, and all hosts renew.

The command tells when the daemon last saw each host renew, and the module does not. While all renew
nothing depends on that time, so it is enough to see that timestamps go on. That takes no process,
and it can be done every second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Optional

import attrs

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import DaemonStatus, Leader, SeenHost
from he_fsm.runtime.leases.sanlock.daemon.errors import question_to
from he_fsm.runtime.leases.sanlock.daemon.module import call
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.view import OVERDUE, JoinedView
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.runtime.storage.direct_file import BLOCK_BYTES, DirectFile

# In I/O timeouts: after so long the command is asked again, whatever is seen.
_AGAIN: Final = 6
# A host renews within two I/O timeouts and a second. A daemon looks at the others when it renews
# its own id, and sees its own timestamp only then, so the age of one that goes on is up to twice
# that; one more second may pass between two glances. All on the daemon's clock.
_RENEWALS: Final = 2
_SECONDS: Final = 3


def fresh_s(io_timeout: int) -> int:
    """Return how old the timestamp of a host that renews may be, in the daemon's seconds."""
    return _RENEWALS * 2 * io_timeout + _SECONDS


class Glance(NamedTuple):
    """
    What is seen without the command.

    `leader` is what stands where the engine's lease is. `hosts` are their generations, timestamps
    (on their own clocks) and I/O timeouts, by host id.
    """

    leader: bytes
    hosts: Mapping[int, tuple[int, int, int]]

    def same(self) -> Any:
        """Return what does not change in quiet times."""
        hosts = {
            host_id: (generation, timestamp == 0, io_timeout)
            for host_id, (generation, timestamp, io_timeout) in self.hosts.items()
        }
        return self.leader, hosts


class Known(NamedTuple):
    """What the command said last: the view of the hosts, the engine's lease, and the daemon."""

    view: JoinedView
    lease: Leader
    daemon: DaemonStatus

    def status(self) -> LeaseStatus:
        """Judge the engine's lease."""
        return self.view.status(self.lease)


class QuietTime:
    """Follows the lockspace of one host from glance to glance."""

    def __init__(self, settings: SanlockSettings, host_id: int, rules: Rules) -> None:
        self._settings = settings
        self._host_id = host_id
        # A daemon that is slow is asked by the command as well, and both have to end in time.
        self._asking = question_to(settings.run_dir, settings.wait_s / 4)
        self._leader = DirectFile(settings.resource_path, settings.resource_offset)
        self._again_s = _AGAIN * rules.io_timeout_s
        self._known: Optional[Known] = None
        self._same: Any = None
        self._dead: frozenset[int] = frozenset()
        self._until = -math.inf

    def glance(self) -> Glance:
        """
        Look at the lockspace, within a part of `settings.wait_s` where the storage does not hang.

        Raises:
            LockspaceError: the daemon can't be asked, or has not this lockspace.
            StorageError: the lease can't be read.
        """
        found = self._asking.ask(self._hosts)
        hosts = {
            host["host_id"]: (host["generation"], host["timestamp"], host["io_timeout"])
            for host in found
        }
        return Glance(self._leader.read_beginning(BLOCK_BYTES), hosts)

    def _hosts(self) -> list[dict[str, int]]:
        at = self._settings
        what = f"ask sanlock for the hosts of {at.lockspace}"
        # A daemon that has left or lost the lockspace refuses.
        hosts: list[dict[str, int]] = call(
            at.run_dir, "get_hosts", at.lockspace.encode(), what=what
        )
        return hosts

    def begin(self, glance: Glance, known: Known) -> None:
        """Take in what the command has said just after a glance."""
        hosts = known.view.hosts
        if self._host_id not in hosts or hosts.keys() != glance.hosts.keys():
            # It has just joined.
            self.end()
            return
        self._known, self._same = known, glance.same()
        self._dead = known.status().view.dead_hosts
        self._until = time.monotonic() + self._again_s

    def end(self) -> None:
        """Forget all: the command has to be asked."""
        self._known = None

    def known(self, glance: Glance) -> Optional[Known]:
        """Return what is known now by a glance; None: the command has to be asked."""
        known, now = self._known, time.monotonic()
        if known is None or now >= self._until or glance.same() != self._same:
            return None
        before = known.view
        steps = max(0, math.floor((now - before.now) * before.clock_rate))
        hosts = {
            host_id: self._seen(seen, glance.hosts[host_id][1], before.then)
            for host_id, seen in before.hosts.items()
        }
        # Its own timestamp is on the daemon's own clock.
        renewed_at = max(before.space.renewed_at, hosts[self._host_id].timestamp)
        view = attrs.evolve(
            before,
            hosts=hosts,
            space=attrs.evolve(before.space, renewed_at=renewed_at),
            then=before.then + steps,
            now=before.now + steps / before.clock_rate,
        )
        self._known = known._replace(view=view)
        return self._known if self._is_quiet(before, view) else None

    def _seen(self, seen: SeenHost, timestamp: int, then: int) -> SeenHost:
        """Return a host as it is seen now; *then*: when it was looked at before."""
        if timestamp == seen.timestamp:
            return seen
        # The daemon has seen it change since then.
        return attrs.evolve(seen, timestamp=timestamp, last_live=max(seen.last_live, then))

    def _is_quiet(self, before: JoinedView, view: JoinedView) -> bool:
        if view.then - view.space.renewed_at > fresh_s(view.space.io_timeout):
            return False
        for host_id, host in view.hosts.items():
            if host_id in self._dead:
                if host.timestamp != before.hosts[host_id].timestamp:
                    return False
            elif host_id != self._host_id:
                limit = min(fresh_s(host.io_timeout), OVERDUE * host.io_timeout)
                if view.then - host.last_live > limit:
                    return False
        return True
