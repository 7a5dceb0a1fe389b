"""Whiteboards that oVirt's own code has written, as our agent takes them in a running cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from he_fsm import OVIRT, LocalVm, Memory, Readings, State, VmState, tick
from he_fsm.metadata import HostRecord, decode_slot, encode_slot
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.snapshot import LeaseView, OwnerState
from he_fsm.step import Step

GOLDEN = Path(__file__).parents[1] / "metadata" / "golden"
# Our host, which no golden board has.
OURS = 9
LOOPS = 12
BOARDS = ("agent-stopped", "global-maintenance-off", "global-maintenance-on", "local-maintenance")
BOARDS += ("two-healthy", "bad-crc", "idn-hostname", "format-2013")


def golden(name: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return plain


def good_hosts(name: str) -> dict[int, dict[str, Any]]:
    """Return what a reader finds of the hosts whose records it may believe."""
    hosts = golden(name)["hosts"]
    return {
        int(host_id): plain["fields"]
        for host_id, plain in hosts.items()
        if plain["status"] == "ok" and plain["host_id_matches_slot"]
    }


def grown(board: bytes, seconds: int) -> bytes:
    """Return the board as it is after a while in which all hosts have gone on writing."""
    blocks = [board[at : at + SLOT_BYTES] for at in range(0, len(board), SLOT_BYTES)]
    for host_id, block in enumerate(blocks):
        record = (
            decode_slot(host_id, block.ljust(SLOT_BYTES, b"\0"), version=1) if host_id else None
        )
        if isinstance(record, HostRecord) and not record.stopped:
            later = record._replace(timestamp=record.timestamp + seconds)
            blocks[host_id] = encode_slot(later, record.text)
    return b"".join(block.ljust(SLOT_BYTES, b"\0") for block in blocks)


def looked_at(name: str, owner: int | None) -> Step:
    """Play two minutes of our agent on a golden board; return its last decision."""
    board = (GOLDEN / f"{name}.metadata").read_bytes()
    identity = tick.Identity(host_id=OURS, hostname="ours")
    memory = Memory.beginning(1000.0)
    for loop in range(LOOPS):
        now = 1000.0 + 10.0 * loop
        facts = tick.Facts(
            now=now,
            wall_offset_s=1_700_000_000.0,
            readings=Readings.of(),
            vm=LocalVm(VmState.ABSENT),
            leases=LeaseView(
                owner=owner, owner_state=OwnerState.FREE if owner is None else OwnerState.LIVE
            ),
            boot_now=now,
        )
        own = tick.make_record(facts, identity, 3400, OVIRT)
        whole = grown(board, 10 * loop).ljust((OURS + 1) * SLOT_BYTES, b"\0")
        ours = tick.make_block(own, memory, facts, "all is well")
        whole = whole[: OURS * SLOT_BYTES] + ours + whole[(OURS + 1) * SLOT_BYTES :]
        read = tick.read_whiteboard(whole, identity, OVIRT)
        decision = tick.decide(memory, facts, own, read, identity, OVIRT)
        memory = decision.memory
    return decision


@pytest.mark.parametrize("name", BOARDS)
def test_hosts_that_go_on_writing_are_alive_and_stopped_ones_are_not(name: str) -> None:
    hosts = good_hosts(name)
    decision = looked_at(name, owner=next(iter(hosts)))
    running = {host_id for host_id, fields in hosts.items() if not fields.get("stopped")}
    assert set(decision.liveness.alive) - {OURS} == running


@pytest.mark.parametrize("name", BOARDS)
def test_global_maintenance_is_what_slot_0_says(name: str) -> None:
    is_on = golden(name)["global"]["parsed"].get("maintenance", False)
    decision = looked_at(name, owner=next(iter(good_hosts(name))))
    assert (decision.memory.state is State.GLOBAL_MAINTENANCE) is is_on


@pytest.mark.parametrize("name", [name for name in BOARDS if name != "global-maintenance-on"])
def test_a_free_engine_goes_to_the_best_host_by_the_scores_that_are_written(name: str) -> None:
    scores = {
        host_id: fields["score"]
        for host_id, fields in good_hosts(name).items()
        if not fields.get("stopped") and not fields.get("maintenance")
    }
    best = max((*scores.values(), 3400))
    named = set(looked_at(name, owner=None).placement.hosts)
    # Another host's engine is up where its record says so: then nobody is named.
    assert named <= {OURS, *(host_id for host_id, score in scores.items() if score == best)}


@pytest.mark.parametrize("name", BOARDS)
def test_while_another_host_has_the_lease_nothing_is_done(name: str) -> None:
    decision = looked_at(name, owner=next(iter(good_hosts(name))))
    assert [type(effect).__name__ for effect in decision.effects] == []
    assert decision.memory.state in (State.ENGINE_DOWN, State.GLOBAL_MAINTENANCE)
