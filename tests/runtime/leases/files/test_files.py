"""Leases from kernel locks and small files: sanlock's rules, and what is particular to files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.errors import HostIdBusyError, LockspaceError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.engine_lease import EngineLease, Held, Taken
from he_fsm.runtime.leases.files.hold import EmbeddedHolder
from he_fsm.runtime.leases.files.keeper import EXIT_LEASE_LOST, LeaseKeeper
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.leases.files.records import EngineRecord, HostLease, create_lockspace
from he_fsm.runtime.leases.rules import HAND_OVER_MAX_S, EngineFacts, Rules
from he_fsm.runtime.ports import Leases
from he_fsm.snapshot import OwnerState
from he_fsm.testing.leases import Lab, LeaseContract, Vm, begin, said
from he_fsm.testing.waiting import until

# Short enough to wait for, long enough for a busy machine to renew in.
IO_TIMEOUT_S = 0.1
WATCHDOG_S = 0.2
LOST_S = 8 * IO_TIMEOUT_S


class EmbeddedLab:
    """Hosts of one lockspace, each renewing in a thread."""

    io_timeout_s = IO_TIMEOUT_S
    watchdog_s = WATCHDOG_S

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        create_lockspace(folder)
        self._ended = threading.Event()
        self._hosts: list[EmbeddedLeases] = []
        self._thread = threading.Thread(target=self._renew)
        self._thread.start()

    def host(self, host_id: int, name: str) -> EmbeddedLeases:
        host = EmbeddedLeases(self.folder, host_id, name, IO_TIMEOUT_S, WATCHDOG_S)
        self._hosts.append(host)
        return host

    def crash(self, host: Leases) -> None:
        assert isinstance(host, EmbeddedLeases)
        host.close()

    def holder(self, host_id: int) -> EmbeddedHolder:
        return EmbeddedHolder(
            folder=self.folder,
            host_id=host_id,
            io_timeout_s=IO_TIMEOUT_S,
            watchdog_s=WATCHDOG_S,
        )

    def lease(self, host_id: int) -> EngineLease:
        return EngineLease(self.folder, host_id, io_timeout_s=IO_TIMEOUT_S, watchdog_s=WATCHDOG_S)

    def joined(self, host_id: int) -> EmbeddedLeases:
        host = self.host(host_id, f"host{host_id}")
        host.join()
        return host

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for host in self._hosts:
            host.close()

    def _renew(self) -> None:
        while not self._ended.wait(IO_TIMEOUT_S):
            for host in list(self._hosts):
                # Lost, on a machine that is too busy: the test says so by what it expects.
                with suppress(LockspaceError):
                    host.renew()


class TestEmbeddedLeases(LeaseContract):
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        lab = EmbeddedLab(tmp_path / "leases")
        yield lab
        lab.close()

    def test_a_host_that_comes_back_in_time_keeps_its_vm_and_its_lease(
        self, lab: Lab, vms: list[Vm]
    ) -> None:
        first, second = self.joined(lab, 1), self.joined(lab, 2)
        self.start(lab, vms, 1)
        generation = second.status().owner_generation
        lab.crash(first)
        again = self.joined(lab, 1)
        assert self.view(again).joined
        status = second.status()
        assert (status.view.owner, status.view.owner_state) == (1, OwnerState.LIVE)
        assert status.owner_generation == generation

    def test_the_name_on_an_id_is_a_living_hosts_until_it_has_run_out(self, lab: Lab) -> None:
        first, other = self.joined(lab, 1), lab.host(1, "another")
        lab.crash(first)
        with pytest.raises(HostIdBusyError, match="host1"):
            other.join()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[EmbeddedLab]:
    lab = EmbeddedLab(tmp_path / "leases")
    yield lab
    lab.close()


@pytest.fixture
def quiet(tmp_path: Path) -> EmbeddedLeases:
    """A host that nobody renews."""
    create_lockspace(tmp_path)
    return EmbeddedLeases(tmp_path, 1, "host1", IO_TIMEOUT_S, WATCHDOG_S)


def is_free(lease: EngineLease) -> bool:
    """Return whether the lease can be taken; it is let go at once."""
    answer = lease.take()
    if isinstance(answer, Taken):
        os.close(answer.descriptor)
    return isinstance(answer, Taken)


def take(lease: EngineLease) -> Taken:
    answer = lease.take()
    assert isinstance(answer, Taken)
    return answer


# The rules, without files.

RULES = Rules(io_timeout_s=1.0, watchdog_s=60.0)


def host(renewed_at: float, generation: int = 1, *, left: bool = False) -> HostLease:
    return HostLease(name="host1", generation=generation, renewed_at=renewed_at, left=left)


@pytest.mark.parametrize(
    ("age_s", "is_overdue", "is_current", "is_dead"),
    [
        (0.0, False, True, False),
        (3.0, False, True, False),
        (3.001, True, True, False),
        (7.999, True, True, False),
        (8.0, True, False, False),
        (67.999, True, False, False),
        (68.0, True, False, True),
        # Written before the machine last started.
        (-0.001, True, False, True),
        (-1e6, True, False, True),
    ],
)
def test_what_the_age_of_a_renewal_means(
    age_s: float, is_overdue: bool, is_current: bool, is_dead: bool
) -> None:
    now = 2e6
    silent = host(now - age_s)
    assert RULES.is_overdue(silent, now) == is_overdue
    assert RULES.is_current(silent, now) == is_current
    assert RULES.is_dead(silent, now) == is_dead


def test_an_id_that_was_given_back_is_dead_at_once() -> None:
    assert RULES.is_dead(host(100.0, left=True), 100.0)
    assert not RULES.is_current(host(100.0, left=True), 100.0)


@pytest.mark.parametrize(
    ("before", "generation"),
    [
        (None, 1),
        (host(100.0, 4), 4),
        (host(92.001, 4), 4),
        (host(92.0, 4), 5),
        (host(100.0, 4, left=True), 5),
        (HostLease(name="another", generation=4, renewed_at=100.0), 5),
        (host(101.0, 4), 5),
    ],
)
def test_only_who_comes_back_in_time_keeps_the_generation(
    before: Optional[HostLease], generation: int
) -> None:
    assert RULES.generation_after(before, "host1", 100.0) == generation


@pytest.mark.parametrize(
    ("owner", "is_held", "free_at"),
    [
        # The VM ended and its host lives: at once.
        (host(99.0), True, 100.0),
        # The host died, or its process is stuck.
        (host(99.0), False, 167.0),
        (host(96.9), True, 164.9),
        (host(32.0), False, 100.0),
        # It left, joined anew, or was removed.
        (host(99.0, left=True), False, 100.0),
        (host(99.0, 2), True, 100.0),
        (host(99.0, 2), False, 100.0),
        (None, False, 100.0),
    ],
)
def test_when_an_unlocked_lease_is_free(
    owner: Optional[HostLease], is_held: bool, free_at: float
) -> None:
    record = EngineRecord(owner=1, generation=1)
    facts = EngineFacts(record=record, owner=owner, owner_is_held=is_held)
    assert facts.free_at(RULES, 100.0) == pytest.approx(free_at)


@pytest.mark.parametrize(
    ("until_s", "free_at"),
    [(99.0, 100.0), (100.0, 100.0), (105.0, 105.0), (100.0 + HAND_OVER_MAX_S + 1, 100.0)],
)
def test_a_lease_in_the_air_waits_for_whom_it_was_handed_to(until_s: float, free_at: float) -> None:
    record = EngineRecord(owner=1, generation=1, handed_by=2, handed_until=until_s)
    facts = EngineFacts(record=record, owner=host(99.0), owner_is_held=True)
    assert facts.free_at(RULES, 100.0) == free_at


# The lease of a dead host, to the moment.


def test_no_take_succeeds_before_the_time_and_every_one_after_it(lab: EmbeddedLab) -> None:
    first, _ = lab.joined(1), lab.joined(2)
    taken = take(lab.lease(1))
    first.close()
    os.close(taken.descriptor)
    last = records.read_host(lab.folder, 1)
    assert last is not None
    free_at = last.renewed_at + LOST_S + WATCHDOG_S
    attempts = 0
    while True:
        began = time.monotonic()
        answer = lab.lease(2).take()
        if isinstance(answer, Taken):
            break
        attempts += 1
        assert began < free_at
        assert answer.owner == 1
        assert answer.free_in is not None
        # Told as it was found, at some moment of the attempt.
        assert began <= free_at - answer.free_in <= time.monotonic()
    assert time.monotonic() >= free_at
    assert attempts > 1
    os.close(answer.descriptor)


def test_a_vm_that_outlives_its_hosts_lease_still_holds_it(lab: EmbeddedLab) -> None:
    first, second = lab.joined(1), lab.joined(2)
    taken = take(lab.lease(1))
    first.close()
    until(lambda: 1 in second.status().view.dead_hosts)
    assert lab.lease(2).take() == Held(1, None)
    assert second.status().view.owner == 1
    os.close(taken.descriptor)
    os.close(take(lab.lease(2)).descriptor)


def test_asking_for_the_status_never_keeps_anybody_from_the_lease(lab: EmbeddedLab) -> None:
    hosts = [lab.joined(1), lab.joined(2)]
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            # Nobody may know whose it is at the moment at which it is taken.
            with suppress(LockspaceError):
                hosts[1].status()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            os.close(take(lab.lease(1)).descriptor)
    finally:
        ended.set()
        for asker in askers:
            asker.join()


# Renewing.


def test_renewing_without_an_id_does_nothing(quiet: EmbeddedLeases) -> None:
    quiet.renew()
    assert not records.host_path(quiet.folder, 1).exists()


def test_an_id_that_was_not_renewed_in_time_is_lost_and_said_to_be(quiet: EmbeddedLeases) -> None:
    quiet.join()
    joined_at = time.monotonic()
    assert quiet.is_joined
    until(lambda: time.monotonic() > joined_at + LOST_S)
    assert not quiet.is_joined
    assert not quiet.status().view.joined
    with pytest.raises(LockspaceError, match="host id 1 is lost: its last renewal was"):
        quiet.renew()
    quiet.join()
    found = records.read_host(quiet.folder, 1)
    assert found is not None
    assert found.generation == 2
    quiet.close()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_an_id_whose_file_is_gone_is_lost(quiet: EmbeddedLeases, is_replaced: bool) -> None:
    quiet.join()
    path = records.host_path(quiet.folder, 1)
    path.unlink()
    if is_replaced:
        path.touch()
    with pytest.raises(LockspaceError, match=r"host id 1 is lost: .* removed or replaced"):
        quiet.renew()
    assert not quiet.is_joined


def test_a_second_process_of_the_same_host_has_to_wait(quiet: EmbeddedLeases) -> None:
    quiet.join()
    again = EmbeddedLeases(quiet.folder, 1, "host1", IO_TIMEOUT_S, WATCHDOG_S)
    with pytest.raises(LockspaceError, match="host id 1 is still held by another process"):
        again.join()
    quiet.close()
    again.join()
    again.close()


def test_files_are_for_the_owner_and_the_group(quiet: EmbeddedLeases) -> None:
    quiet.join()
    assert {path.name: path.stat().st_mode & 0o777 for path in quiet.folder.iterdir()} == {
        "engine": 0o660,
        "host-1": 0o660,
    }
    quiet.close()


def test_a_lockspace_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "leases"
    create_lockspace(folder)
    (folder / "engine").write_text("something")
    create_lockspace(folder)
    assert (folder / "engine").read_text() == "something"
    assert folder.stat().st_mode & 0o777 == 0o770
    with pytest.raises(LockspaceError, match="No such file"):
        create_lockspace(tmp_path / "none" / "leases")


def test_a_name_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    create_lockspace(tmp_path)
    with pytest.raises(ValueError, match="does not fit 512 bytes"):
        EmbeddedLeases(tmp_path, 1, "n" * 500, IO_TIMEOUT_S, WATCHDOG_S).join()


# Damage.


def whole(plain: dict[str, object]) -> bytes:
    """A line whose checksum is right."""
    checksum = f"{zlib.crc32(json.dumps(plain).encode()):08x}"
    return json.dumps({**plain, "crc": checksum}).encode()


LINE = {"name": "host1", "generation": 1, "renewed_at": 1.0, "left": False}
DAMAGE = [
    b"\0" * 512,
    b"noise\xff",
    b"[]",
    b"7",
    b"{}",
    b"[" * 511,
    json.dumps(LINE).encode(),
    json.dumps({**LINE, "crc": "00000000"}).encode(),
    whole(LINE)[:-1],
    whole({"name": "host1"}),
    whole({**LINE, "generation": "1"}),
    whole({**LINE, "left": 0}),
    whole({**LINE, "renewed_at": float("nan")}),
    whole({**LINE, "more": 1}),
]


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "host-1"
    path.write_bytes(whole(LINE))
    found = records.read_host(tmp_path, 1)
    assert found == HostLease(name="host1", generation=1, renewed_at=1.0)


WRITER = """
import sys, os
from pathlib import Path
from he_fsm.runtime.leases.files import records
path = Path(sys.argv[1])
descriptor = os.open(path, os.O_RDWR)
print("writing", flush=True)
while True:
    for name, generation in (("a" * 300, 1), ("b", 2)):
        line = records.HostLease(name=name, generation=generation, renewed_at=0.1 * generation)
        records.write_line(descriptor, line, path)
"""


def test_a_reading_during_a_write_is_the_old_line_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "host-1"
    path.touch()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
    ) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            until(lambda: records.read_host(tmp_path, 1))
            for _ in range(20_000):
                found = records.read_host(tmp_path, 1)
                assert found is not None
                assert (found.name[0], found.generation) in {("a", 1), ("b", 2)}
        finally:
            writer.kill()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_host_file_is_no_lease(quiet: EmbeddedLeases, damage: bytes) -> None:
    records.host_path(quiet.folder, 1).write_bytes(damage)
    with pytest.raises(LockspaceError, match=r"host-1 holds no lease but .* it is damaged"):
        quiet.join()


@pytest.mark.parametrize("damage", [*DAMAGE, whole({"owner": True, "generation": 1})])
def test_a_damaged_engine_file_is_nobodys_and_not_taken(lab: EmbeddedLab, damage: bytes) -> None:
    joined = lab.joined(1)
    (lab.folder / "engine").write_bytes(damage)
    with pytest.raises(LockspaceError, match=r"engine holds no lease but .* it is damaged"):
        joined.status()
    with pytest.raises(LockspaceError, match="damaged"):
        lab.lease(1).take()
    vm = said(*begin(lab.holder(1)))
    assert vm.process.wait() == 4
    assert vm.report["lease"] == "error"
    assert "damaged" in vm.report["detail"]


def test_one_damaged_host_hides_no_other_and_is_not_dead(lab: EmbeddedLab) -> None:
    joined, left = lab.joined(1), lab.joined(2)
    left.leave()
    records.host_path(lab.folder, 3).write_bytes(b"noise")
    records.host_path(lab.folder, 4).touch()
    (lab.folder / "host-x").touch()
    assert joined.status().view.dead_hosts == {2}


def test_a_damaged_file_of_a_living_host_heals_with_its_next_renewal(
    quiet: EmbeddedLeases,
) -> None:
    quiet.join()
    before = records.read_host(quiet.folder, 1)
    records.host_path(quiet.folder, 1).write_bytes(b"noise")
    quiet.renew()
    after = records.read_host(quiet.folder, 1)
    assert before is not None
    assert after is not None
    assert (after.name, after.generation) == (before.name, before.generation)
    quiet.close()


def test_an_engine_file_that_was_emptied_under_a_vm_is_not_free(lab: EmbeddedLab) -> None:
    joined = lab.joined(1)
    taken = take(lab.lease(1))
    os.truncate(lab.folder / "engine", 0)
    with pytest.raises(LockspaceError, match="nobody knows by whom"):
        joined.status()
    assert lab.lease(1).take() == Held(None, None)
    os.close(taken.descriptor)
    assert joined.status().view.owner is None


def test_a_missing_lockspace_is_a_sentence(tmp_path: Path) -> None:
    leases = EmbeddedLeases(tmp_path / "none", 1, "host1", IO_TIMEOUT_S, WATCHDOG_S)
    for use in (leases.join, leases.status):
        with pytest.raises(LockspaceError, match=r"none/.*: No such file or directory"):
            use()
    with pytest.raises(LockspaceError, match="No such file"):
        EngineLease(tmp_path / "none", 1, io_timeout_s=IO_TIMEOUT_S, watchdog_s=WATCHDOG_S).take()


def test_a_missing_engine_file_is_never_made_by_a_start(lab: EmbeddedLab) -> None:
    lab.joined(1)
    (lab.folder / "engine").unlink()
    with pytest.raises(LockspaceError, match="engine: No such file"):
        lab.lease(1).take()
    assert not (lab.folder / "engine").exists()


# Holding, by the process that becomes the VM.


def test_the_vm_finds_the_lease_and_nothing_of_the_report(lab: EmbeddedLab) -> None:
    lab.joined(1)
    script = (
        "import os; d = os.environ['HE_FSM_LEASE_FD'];"
        "print(os.readlink(f'/proc/self/fd/{d}'), sorted(os.listdir('/proc/self/fd')), flush=True);"
        "input()"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen(
        lab.holder(1).wrap([sys.executable, "-c", script], writing),
        pass_fds=[writing],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    with os.fdopen(reading) as report:
        # The end of the report is the beginning of the VM.
        assert json.loads(report.read()) == {"lease": "taken"}
    assert process.stdout is not None
    path, numbers = process.stdout.readline().split(" ", 1)
    assert path == str(lab.folder / "engine")
    # Standard input, output, errors, the lease, and the listing itself.
    assert len(numbers.split()) == 5
    process.communicate("")
    os.close(take(lab.lease(1)).descriptor)


def test_the_lease_lives_as_long_as_any_process_of_the_vm(lab: EmbeddedLab) -> None:
    lab.joined(1)
    lab.joined(2)
    command = ("sh", "-c", "sleep 600 & echo $!; exec sleep 600")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        lab.holder(1).wrap(command, writing), pass_fds=[writing], stdout=subprocess.PIPE, text=True
    )
    os.close(writing)
    with os.fdopen(reading) as report:
        assert json.loads(report.read()) == {"lease": "taken"}
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    assert isinstance(lab.lease(2).take(), Held)
    os.kill(child, signal.SIGKILL)
    until(lambda: is_free(lab.lease(2)))


def test_a_command_that_is_not_there_never_takes_the_lease(lab: EmbeddedLab) -> None:
    lab.joined(1)
    vm = said(*begin(lab.holder(1), ("/none/such",)))
    assert vm.report == {"lease": "error", "detail": "there is no command /none/such"}
    assert vm.process.wait() == 4
    assert (lab.folder / "engine").read_bytes() == b""


def test_a_command_that_can_not_run_lets_the_lease_go(lab: EmbeddedLab, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0no program")
    program.chmod(0o755)
    joined = lab.joined(1)
    process, reading = begin(lab.holder(1), (str(program),))
    with os.fdopen(reading) as report:
        lines = [json.loads(line) for line in report]
    assert lines[0] == {"lease": "taken"}
    assert "can't be run: Exec format error" in lines[1]["detail"]
    assert process.wait() == 4
    assert joined.status().view.owner is None


# Handing over.


def test_a_lease_goes_over_and_nobody_comes_in_between(lab: EmbeddedLab) -> None:
    watcher = lab.joined(3)
    lab.joined(1)
    lab.joined(2)
    source = take(lab.lease(1))
    lab.lease(1).hand_over(source.descriptor, 2, 30.0)
    view = watcher.status().view
    assert view.owner == 2
    answer = lab.lease(3).take()
    assert isinstance(answer, Held)
    assert answer.owner == 2
    assert answer.free_in == pytest.approx(30.0, abs=5.0)
    with pytest.raises(LockspaceError, match="was not handed over to host 3"):
        lab.lease(3).pick_up(1.0)
    target = lab.lease(2).pick_up(1.0)
    # The source's descriptor holds nothing any more.
    os.close(source.descriptor)
    assert lab.lease(1).take() == Held(2, None)
    assert watcher.status().view.owner == 2
    os.close(target.descriptor)
    assert watcher.status().view.owner is None


def test_the_target_waits_for_the_source(lab: EmbeddedLab) -> None:
    lab.joined(1)
    lab.joined(2)
    source = take(lab.lease(1))
    found: list[Taken] = []
    waiting = threading.Thread(target=lambda: found.append(lab.lease(2).pick_up(20.0)))
    waiting.start()
    lab.lease(1).hand_over(source.descriptor, 2, 20.0)
    waiting.join()
    assert len(found) == 1
    os.close(found[0].descriptor)
    os.close(source.descriptor)


def test_a_target_does_not_wait_for_ever(lab: EmbeddedLab) -> None:
    lab.joined(1)
    lab.joined(2)
    source = take(lab.lease(1))
    with pytest.raises(LockspaceError, match="is not handed over to host 2 yet"):
        lab.lease(2).pick_up(0.05)
    os.close(source.descriptor)


def test_the_source_takes_the_lease_back_when_the_target_fails(lab: EmbeddedLab) -> None:
    lab.joined(1)
    lab.joined(2)
    source = take(lab.lease(1))
    lab.lease(1).hand_over(source.descriptor, 2, 20.0)
    back = lab.lease(1).pick_up(1.0)
    with pytest.raises(LockspaceError, match="is not handed over to host 2 yet"):
        lab.lease(2).pick_up(0.05)
    os.close(back.descriptor)
    os.close(source.descriptor)


def test_a_lease_that_nobody_picks_up_is_anybodys(lab: EmbeddedLab) -> None:
    for host_id in (1, 2, 3):
        lab.joined(host_id)
    source = take(lab.lease(1))
    lab.lease(1).hand_over(source.descriptor, 2, 0.2)
    os.close(source.descriptor)
    until(lambda: is_free(lab.lease(3)))
    with pytest.raises(LockspaceError, match="was not handed over to host 2, or too long ago"):
        lab.lease(2).pick_up(1.0)


def test_a_lease_is_not_handed_to_a_host_that_has_not_joined(lab: EmbeddedLab) -> None:
    lab.joined(1)
    source = take(lab.lease(1))
    with pytest.raises(LockspaceError, match="host 2 has not joined"):
        lab.lease(1).hand_over(source.descriptor, 2, 10.0)
    assert lab.lease(1).take() == Held(1, None)
    os.close(source.descriptor)


@pytest.mark.parametrize("within_s", [0.0, -1.0, HAND_OVER_MAX_S + 1])
def test_a_hand_over_takes_no_more_than_a_minute(lab: EmbeddedLab, within_s: float) -> None:
    with pytest.raises(ValueError, match="is handed over within 0 to 60 s"):
        lab.lease(1).hand_over(0, 2, within_s)


# The keeper, in the VM's process.


def watched(
    lab: EmbeddedLab, host_id: int = 1
) -> tuple[Taken, LeaseKeeper, list[tuple[float, str]]]:
    taken = take(lab.lease(host_id))
    lost: list[tuple[float, str]] = []
    keeper = LeaseKeeper(
        taken.descriptor,
        lab.folder,
        IO_TIMEOUT_S,
        on_lost=lambda why: lost.append((time.monotonic(), why)),
    )
    keeper.start()
    return taken, keeper, lost


def test_a_vm_ends_when_its_host_no_longer_renews_and_before_others_may_take_over(
    lab: EmbeddedLab,
) -> None:
    joined = lab.joined(1)
    taken, _, lost = watched(lab)
    joined.close()
    last = records.read_host(lab.folder, 1)
    assert last is not None
    until(lambda: lost)
    ended_at, why = lost[0]
    assert ended_at >= last.renewed_at + LOST_S
    assert "host 1 has not renewed its id for" in why
    os.close(taken.descriptor)


def test_a_vm_runs_on_while_its_host_renews_or_comes_back_in_time(lab: EmbeddedLab) -> None:
    joined = lab.joined(1)
    taken, keeper, lost = watched(lab)
    joined.close()
    lab.joined(1)
    began = time.monotonic()
    until(lambda: time.monotonic() > began + LOST_S + WATCHDOG_S)
    assert lost == []
    keeper.stop()
    os.close(taken.descriptor)


def test_a_vm_ends_when_its_host_joined_anew(lab: EmbeddedLab) -> None:
    joined = lab.joined(1)
    taken, _, lost = watched(lab)
    joined.close()
    before = records.read_host(lab.folder, 1)
    assert before is not None
    descriptor = records.open_host(lab.folder, 1)
    newer = HostLease(name="host1", generation=before.generation + 1, renewed_at=time.monotonic())
    records.write_line(descriptor, newer, records.host_path(lab.folder, 1))
    os.close(descriptor)
    until(lambda: lost)
    assert lost[0][1] == "host 1 has joined anew"
    os.close(taken.descriptor)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_vm_ends_when_the_lease_it_holds_is_not_the_one_that_others_see(
    lab: EmbeddedLab, is_replaced: bool
) -> None:
    lab.joined(1)
    taken, _, lost = watched(lab)
    (lab.folder / "engine").unlink()
    if is_replaced:
        create_lockspace(lab.folder)
    until(lambda: lost)
    assert lost[0][1].endswith("engine was removed or replaced")
    os.close(taken.descriptor)


def test_a_vm_ends_when_its_host_file_can_not_be_read_for_too_long(
    quiet: EmbeddedLeases,
) -> None:
    quiet.join()
    lease = EngineLease(quiet.folder, 1, io_timeout_s=IO_TIMEOUT_S, watchdog_s=WATCHDOG_S)
    taken = take(lease)
    lost: list[str] = []
    keeper = LeaseKeeper(taken.descriptor, quiet.folder, IO_TIMEOUT_S, on_lost=lost.append)
    # From here on the storage hangs for whoever opens that file.
    records.host_path(quiet.folder, 1).unlink()
    os.mkfifo(records.host_path(quiet.folder, 1))
    keeper.start()
    until(lambda: lost)
    assert "has not renewed its id" in lost[0]
    with records.host_path(quiet.folder, 1).open("wb"):
        pass
    os.close(taken.descriptor)
    quiet.close()


def test_a_keeper_that_was_stopped_ends_nothing(lab: EmbeddedLab) -> None:
    joined = lab.joined(1)
    taken, keeper, lost = watched(lab)
    keeper.stop()
    joined.close()
    last = records.read_host(lab.folder, 1)
    assert last is not None
    until(lambda: time.monotonic() > last.renewed_at + LOST_S + WATCHDOG_S)
    assert lost == []
    os.close(taken.descriptor)


def test_a_keeper_needs_a_lease(lab: EmbeddedLab) -> None:
    descriptor = records.open_engine(lab.folder)
    with pytest.raises(LockspaceError, match="engine is nobody's lease"):
        LeaseKeeper(descriptor, lab.folder, IO_TIMEOUT_S)
    os.close(descriptor)


def test_the_process_itself_ends_and_with_it_the_lease(lab: EmbeddedLab) -> None:
    joined, _ = lab.joined(1), lab.joined(2)
    script = f"""
import os, threading
from he_fsm.runtime.leases.files.keeper import LeaseKeeper
LeaseKeeper(int(os.environ["HE_FSM_LEASE_FD"]), {str(lab.folder)!r}, {IO_TIMEOUT_S}).start()
threading.Event().wait()
"""
    vm = said(*begin(lab.holder(1), (sys.executable, "-c", script)))
    assert vm.report == {"lease": "taken"}
    joined.close()
    assert vm.process.wait() == EXIT_LEASE_LOST
    until(lambda: is_free(lab.lease(2)))
