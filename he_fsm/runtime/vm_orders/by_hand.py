"""
What the agent does because people order it.

The agent decides nothing about it, and remembers it no longer than until the next order: what comes
of an order is seen by the next observation, as with anything that somebody does to the VM.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Optional

from he_fsm import tick
from he_fsm.errors import HypervisorError
from he_fsm.policy import Policy
from he_fsm.runtime.ports import Hypervisor, StartsPaused
from he_fsm.runtime.vm_orders.order import VmOrder, Wanted
from he_fsm.snapshot import LeaseView, Outcome, Result, VmState
from he_fsm.watchdogs import why_unlike

_log = logging.getLogger(__name__)
# How many orders are remembered: more than people give within the seconds for which they wait.
_KEPT: Final = 8
# How a start ends that came to nothing.
_NO_START: Final = (Outcome.START_REFUSED, Outcome.START_FAILED)


class ByHand:
    """Carries orders out with the agent's own adapter, and knows what came of the last ones."""

    def __init__(self, hypervisor: Hypervisor, host_id: int) -> None:
        """Begin with no order."""
        self._hypervisor = hypervisor
        self._host_id = host_id
        # What the status shows of each, as plain objects.
        self._done: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def take_results(self, results: Sequence[Result]) -> None:
        """Note how deeds have ended, for whoever waits for the last order."""
        for result in results:
            if result.outcome in _NO_START and self._done:
                self._done[-1] |= {"result": result.outcome.value, "detail": result.detail}

    def carry_out(
        self, order: VmOrder, facts: tick.Facts, policy: Policy, names: Mapping[int, str]
    ) -> None:
        """
        Do what is ordered, or refuse it.

        Args:
            order: what somebody wants.
            facts: what this pass has found.
            policy: by its times the other hosts know when a lease can be taken.
            names: the hosts' names by their ids, as far as they are known.
        """
        _log.warning("ordered by hand (user id %d): %s", order.by, order.wanted.value)
        refusal = why_not(order.wanted, facts, self._host_id, policy)
        owner = None if facts.leases is None else facts.leases.owner
        if refusal and owner is not None and names.get(owner):
            refusal = refusal.replace(f"host {owner} ", f"host {owner} ({names[owner]}) ", 1)
        if not refusal:
            try:
                self._order(order.wanted)
            except HypervisorError as error:
                refusal = str(error)
        if refusal:
            _log.warning("not done: %s", refusal)
        self._done.append({**order.to_json(), "refused": refusal, "result": None, "detail": ""})

    def report(self) -> dict[str, Any]:
        """Return the last orders and what came of them, for the agent's report; empty: none."""
        return {"by_hand": list(self._done)} if self._done else {}

    def _order(self, wanted: Wanted) -> None:
        hypervisor = self._hypervisor
        if wanted is Wanted.START:
            hypervisor.start()
        elif wanted is Wanted.SHUT_DOWN:
            hypervisor.shut_down()
        elif wanted is Wanted.POWER_OFF:
            hypervisor.power_off()
        elif isinstance(hypervisor, StartsPaused):
            hypervisor.start_paused()
        else:
            msg = "this kind of hypervisor can't start the VM paused"
            raise HypervisorError(msg)


def why_not(wanted: Wanted, facts: tick.Facts, host_id: int, policy: Policy) -> str:
    """Return why an order is not carried out, by what is known at this moment; empty: it is."""
    state = facts.vm.state
    if wanted in (Wanted.START, Wanted.START_PAUSED):
        if state is VmState.UNKNOWN:
            return "it is not known whether a VM runs here: the hypervisor does not answer"
        if state is not VmState.ABSENT:
            return f"the VM is on this host already: {state.value}"
        return why_no_lease(facts.leases, facts.now, host_id, policy)
    if state is VmState.ABSENT:
        owner = None if facts.leases is None else facts.leases.owner
        elsewhere = f"; host {owner} holds its lease" if owner not in (None, host_id) else ""
        return f"Virtual machine does not exist: it is not on this host{elsewhere}"
    if state is VmState.ARRIVING:
        return "the VM only arrives here by a migration, and still runs on the other host"
    return ""


def why_no_lease(leases: Optional[LeaseView], now: float, host_id: int, policy: Policy) -> str:
    """
    Return why this host can't take the engine's lease now; empty: nothing is in the way.

    The lease itself is what refuses a second VM. This says so sooner, and names the host.
    """
    if leases is None:
        return "the lease manager does not answer, so that nobody knows who has the engine's lease"
    if not leases.joined:
        other = ", which another host holds" if leases.held_by_other else ""
        return f"this host does not hold its host id {host_id}{other}: without it there is no lease"
    if leases.doomed_until is not None:
        return f"this host is about to be reset, or to lose its host id: {leases.doom}"
    # safety: the other hosts count on the times that the policy has.
    unlike = why_unlike(leases, policy)
    if unlike:
        return unlike
    if leases.owner in (None, host_id):
        return ""
    if leases.free_at is None:
        return f"host {leases.owner} holds the engine's lease: the VM runs there"
    left_s = leases.free_at - now
    if left_s > 0:
        return (
            f"host {leases.owner} holds the engine's lease and has fallen silent: the VM may still"
            f" run there; the lease can be taken in {left_s:.0f} s"
        )
    return ""
