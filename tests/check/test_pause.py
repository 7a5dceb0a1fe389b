"""A VM that is paused releases its lease, as with libvirt's sanlock plug-in: is that safe?"""

from __future__ import annotations

import pytest

from he_fsm.check.counterexample import counterexample
from he_fsm.check.properties import Property
from he_fsm.states import guards
from tests.check.exploring import broken, explored, judged

# The agent of the paused VM's host ends, the other host starts the engine, the agent comes back.
KINDS = ("pause", "agent")


def test_a_paused_vm_without_its_lease_is_ended_before_it_can_run_again() -> None:
    found = explored(*KINDS, faults=2, pause_keeps_lease=False)
    assert broken(found) <= {Property.EDGES}


def test_the_other_host_starts_the_engine_only_where_a_pause_frees_the_lease() -> None:
    edge = ("Unknown", "lease_elsewhere")
    assert edge in explored(*KINDS, faults=2, pause_keeps_lease=False).edges
    assert edge not in explored(*KINDS, faults=2).edges


@pytest.mark.interpreted
def test_a_machine_that_leaves_the_paused_vm_alone_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        guards, "_may_execute", lambda view, _: view.vm is not guards.VmState.PAUSED
    )
    found = explored(*KINDS, faults=2, pause_keeps_lease=False)
    assert Property.LEASE in broken(found)
    made = counterexample(judged(found)[Property.LEASE], found.bounds)
    assert made is not None
    assert "pause_keeps_lease: false" in made.text
