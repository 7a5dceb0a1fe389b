"""The leases are written anew only where no VM can have the engine's lease."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import (
    LeaseDamagedError,
    LeaseMissingError,
    LockspaceError,
    OldVmError,
)
from he_fsm.metadata import EngineStatus, HostRecord, Whiteboard, encode_global
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.engine_lease import EngineLease, Taken
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.leases.files.stored import EmbeddedStored
from he_fsm.runtime.leases.resetting import Patience, reset
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.ports import IdMark

RULES = Rules(io_timeout_s=10.0, watchdog_s=60.0)
DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
UP = EngineStatus("up", "good", "Up")


def board(
    *, maintenance: bool = True, stopped: bool = True, engine: EngineStatus = DOWN
) -> Whiteboard:
    record = HostRecord(
        host_id=2, timestamp=7, score=0, engine=engine, hostname="host2", stopped=stopped
    )
    data = bytearray(Whiteboard.build((record,)))
    data[:4096] = encode_global(maintenance)
    return Whiteboard.parse(bytes(data))


@attrs.define
class World:
    """Leases on a storage on which hosts renew while time passes; and what becomes of them."""

    # When each host last renewed, by its id; what renews goes on.
    marks: dict[int, IdMark] = attrs.field(factory=dict)
    renewing: frozenset[int] = frozenset()
    owner: Optional[tuple[int, int]] = None
    broken: frozenset[int] = frozenset()
    is_owner_unreadable: bool = False
    now: float = 0.0
    rewritten_at: Optional[float] = None

    def host_id(self, host_id: int) -> Optional[IdMark]:
        if host_id in self.broken:
            msg = "zeros"
            raise LeaseMissingError(msg)
        mark = self.marks.get(host_id)
        if mark is None or host_id not in self.renewing:
            return mark
        return IdMark(mark.generation, self.now // RULES.renewal_s)

    def engine(self) -> Optional[tuple[int, int]]:
        if self.is_owner_unreadable:
            msg = "noise"
            raise LeaseDamagedError(msg)
        return self.owner

    def rewrite(self) -> None:
        self.rewritten_at = self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def reset(self, found: Optional[Whiteboard], *, is_forced: bool = False) -> list[str]:
        patience = Patience(RULES, self.wait, lambda: self.now)
        steps = reset(self, found, patience, is_forced=is_forced)
        return list(steps)


def test_where_everybody_has_stopped_it_is_done_at_once() -> None:
    world = World()
    assert world.reset(board()) == [
        "the leases of all host ids were written anew, and the engine's with them"
    ]
    assert world.rewritten_at == 0.0


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (board(maintenance=False), "global maintenance is off"),
        (board(stopped=False), r"host 2 \(host2\) has not stopped"),
        (board(engine=UP), r"host 2 \(host2\) stopped beside a running VM"),
        (None, "the whiteboard can't be read"),
        (Whiteboard.parse(bytes(8192)), "global maintenance is off"),
        (
            Whiteboard.parse(bytes(encode_global(True)) + b"1|1|7|2|x".ljust(4096, b"\0")),
            r"slot 1 can't be trusted",
        ),
    ],
)
def test_what_the_records_say_against_it_is_said(found: Optional[Whiteboard], why: str) -> None:
    world = World()
    with pytest.raises(LockspaceError, match=why):
        world.reset(found)
    assert world.rewritten_at is None


def test_a_host_that_has_its_id_is_named() -> None:
    world = World(marks={3: IdMark(1, 5.0)})
    with pytest.raises(LockspaceError, match="host 3 did not give back its host id"):
        world.reset(board())
    assert world.rewritten_at is None


def test_a_host_that_renews_its_id_is_in_the_way_of_force() -> None:
    world = World(marks={3: IdMark(1, 0.0)}, renewing=frozenset({3}))
    with pytest.raises(LockspaceError, match="host 3 lives: it renews its host id"):
        world.reset(None, is_forced=True)
    assert world.rewritten_at is None


@pytest.mark.parametrize(
    "owned",
    [
        {"marks": {3: IdMark(4, 0.0)}, "owner": (3, 4)},
        {"owner": (3, 4), "broken": frozenset({3})},
        {"is_owner_unreadable": True},
    ],
    ids=["silent owner", "owner's id is gone", "lease is noise"],
)
def test_by_force_nothing_is_written_before_the_last_vm_must_have_ended(owned: dict) -> None:  # type: ignore[type-arg]
    world = World(**owned)
    world.reset(None, is_forced=True)
    assert world.rewritten_at is not None
    assert world.rewritten_at >= RULES.expiry_s
    with pytest.raises(LockspaceError, match=r"did not give back|engine's lease"):
        World(**owned).reset(board())


@pytest.mark.parametrize("owner", [None, (3, 3)], ids=["free", "of an earlier generation"])
def test_by_force_a_silent_host_without_the_lease_is_waited_for_shortly(
    owner: Optional[tuple[int, int]],
) -> None:
    world = World(marks={3: IdMark(4, 0.0)}, owner=owner)
    world.reset(board(stopped=False), is_forced=True)
    assert world.rewritten_at is not None
    assert RULES.renewal_s < world.rewritten_at < RULES.expiry_s


@pytest.mark.parametrize("found", [None, board(stopped=False, engine=UP)], ids=["blind", "up"])
def test_by_force_leases_that_were_wiped_are_no_sign_that_nothing_runs(
    found: Optional[Whiteboard],
) -> None:
    world = World()
    assert "nobody can tell whether a VM runs" in world.reset(found, is_forced=True)[0]
    assert world.rewritten_at is not None
    assert world.rewritten_at >= RULES.expiry_s


def test_by_force_new_storage_is_written_at_once() -> None:
    world = World()
    world.reset(Whiteboard.parse(bytes(8192)), is_forced=True)
    assert world.rewritten_at == 0.0


@given(
    st.dictionaries(st.integers(1, 64), st.integers(1, 3), max_size=3),
    st.data(),
    st.booleans(),
)
def test_never_beside_a_host_that_lives(
    taken: dict[int, int], data: st.DataObject, is_forced: bool
) -> None:
    renewing = data.draw(st.sets(st.sampled_from(sorted(taken)), min_size=1)) if taken else set()
    world = World(
        marks={host_id: IdMark(generation, 0.0) for host_id, generation in taken.items()},
        renewing=frozenset(renewing),
    )
    try:
        world.reset(board(), is_forced=is_forced)
    except LockspaceError:
        assert world.rewritten_at is None
    else:
        assert not renewing
        assert is_forced or not taken


# The embedded leases, on real files.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    records.create_lockspace(tmp_path / "leases")
    return tmp_path / "leases"


@pytest.fixture
def joined(folder: Path) -> EmbeddedLeases:
    leases = EmbeddedLeases(folder, 1, "host1", io_timeout_s=10.0, watchdog_s=60.0)
    leases.join()
    return leases


def fails(call: Callable[[], object], kind: type[Exception]) -> bool:
    try:
        call()
    except kind:
        return True
    return False


def test_embedded_leases_are_not_written_anew_beside_a_vm(
    folder: Path, joined: EmbeddedLeases
) -> None:
    stored = EmbeddedStored(folder)
    lease = EngineLease(folder, 1, io_timeout_s=10.0, watchdog_s=60.0)
    taken = lease.take()
    assert isinstance(taken, Taken)
    mark = stored.host_id(1)
    assert mark is not None
    assert stored.engine() == (1, mark.generation)
    assert fails(stored.rewrite, OldVmError)
    assert stored.engine() == (1, mark.generation)
    os.close(taken.descriptor)
    joined.leave()
    assert stored.host_id(1) is None
    stored.rewrite()
    assert stored.engine() is None
    assert fails(lambda: stored.host_id(1), LeaseMissingError)
    joined.join()
    assert stored.host_id(1) is not None
    joined.leave()


def test_an_embedded_lease_that_is_noise_is_said(folder: Path) -> None:
    (folder / records.ENGINE_FILE).write_bytes(b"noise")
    stored = EmbeddedStored(folder)
    assert fails(stored.engine, LeaseDamagedError)
    stored.rewrite()
    assert stored.engine() is None
