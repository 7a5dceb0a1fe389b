"""The storage's worker and its client: whatever the storage does, a call ends in time."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.errors import HostIdBusyError, LockspaceError, StorageError
from he_fsm.metadata import SLOT_BYTES, decode_global
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.leases.files.records import HostLease, create_lockspace
from he_fsm.runtime.storage import protocol
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile, create
from he_fsm.testing.waiting import until

HOST_ID = 3
IO_TIMEOUT_S = 0.5
DEADLINE_S = 3.0
BLOCK = b"three".ljust(SLOT_BYTES, b"\0")

Make = Callable[..., StorageClient]


@pytest.fixture
def settings(tmp_path: Path) -> StorageSettings:
    create(tmp_path / "whiteboard", 10)
    create_lockspace(tmp_path / "leases")
    return StorageSettings(
        whiteboard=str(tmp_path / "whiteboard"),
        leases=str(tmp_path / "leases"),
        host_id=HOST_ID,
        name="host3",
        io_timeout_s=IO_TIMEOUT_S,
        watchdog_s=1.0,
    )


@pytest.fixture
def make(settings: StorageSettings) -> Iterator[Make]:
    """Make clients that start again without delay; all are closed at the end."""
    clients: list[StorageClient] = []

    def make(deadline_s: float = DEADLINE_S, **changes: Any) -> StorageClient:
        client = StorageClient(
            attrs.evolve(settings, **changes), deadline_s, backoff_s=0.01, backoff_max_s=0.05
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def process_of(client: StorageClient) -> int:
    assert client._worker is not None
    return client._worker._process.pid


def is_running(process_id: int) -> bool:
    """Return whether there is such a process; a zombie counts as one."""
    return Path(f"/proc/{process_id}").exists()


def children() -> list[str]:
    return [
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def open_files(process_id: int | str = "self") -> int:
    return len(list(Path(f"/proc/{process_id}/fd").iterdir()))


def works(use: Callable[[], object]) -> bool:
    try:
        use()
    except StorageError:
        return False
    return True


def lease_of(settings: StorageSettings) -> HostLease:
    found = records.read_host(Path(settings.leases), HOST_ID)
    assert found is not None
    return found


def hang(settings: StorageSettings) -> None:
    """Put a pipe in the whiteboard's place: opening it waits for ever."""
    path = Path(settings.whiteboard)
    path.rename(f"{path}.away")
    os.mkfifo(path)


def heal(settings: StorageSettings) -> None:
    path = Path(settings.whiteboard)
    path.unlink()
    Path(f"{path}.away").rename(path)


# What it does.


def test_slots_are_written_and_read(make: Make, settings: StorageSettings) -> None:
    client = make()
    client.join()
    client.write_slot(HOST_ID, BLOCK)
    client.write_global(True)
    data = client.read()
    assert data == WhiteboardFile(settings.whiteboard).read()
    assert data[HOST_ID * SLOT_BYTES :] == BLOCK
    assert decode_global(data[:SLOT_BYTES]).maintenance is True


def test_slot_0_is_mended_only_where_it_can_not_be_believed(
    make: Make, settings: StorageSettings
) -> None:
    client = make()
    WhiteboardFile(settings.whiteboard).write_slot(0, BLOCK)
    assert client.mend_global(True)
    assert decode_global(client.read()[:SLOT_BYTES]).maintenance is True
    assert not client.mend_global(False)
    assert decode_global(client.read()[:SLOT_BYTES]).maintenance is True


def test_a_large_whiteboard_comes_whole(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "large"
    noise = os.urandom(SLOT_BYTES * 2000) + b"#" * SLOT_BYTES
    path.write_bytes(noise)
    assert make(whiteboard=str(path)).read() == noise


def test_an_offset_reaches_the_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"#" * SLOT_BYTES + BLOCK)
    assert make(whiteboard=str(path), offset=SLOT_BYTES).read() == BLOCK
    with pytest.raises(ValueError, match="multiple of 4096"):
        make(offset=512)


def test_a_slot_is_written_only_by_who_holds_its_id(make: Make) -> None:
    client = make()
    with pytest.raises(LockspaceError, match="does not hold host id 3") as caught:
        client.write_slot(HOST_ID, BLOCK)
    assert caught.value.errno == errno.EPERM
    client.join()
    for slot in (0, 2):
        with pytest.raises(LockspaceError, match=f"does not hold host id {slot}"):
            client.write_slot(slot, BLOCK)
    client.write_slot(HOST_ID, BLOCK)
    client.leave()
    with pytest.raises(LockspaceError, match="does not hold host id 3"):
        client.write_slot(HOST_ID, bytes(SLOT_BYTES))
    assert client.read()[HOST_ID * SLOT_BYTES :] == BLOCK


def test_an_answer_to_another_question_is_not_taken(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make()
    client.join()
    whole = protocol.from_line

    def late(line: bytes, kind: type[Any]) -> Any:
        return attrs.evolve(whole(line, kind), id=1)

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "from_line", late)
        with pytest.raises(StorageError):
            client.read()
    until(lambda: works(client.read))


def test_errors_arrive_as_what_they_are(make: Make, tmp_path: Path) -> None:
    first = make()
    first.join()
    with pytest.raises(HostIdBusyError, match="host id 3 is held by host3") as busy:
        make(name="another").join()
    assert busy.value.errno == errno.EBUSY
    with pytest.raises(StorageError, match="none can't be read: No such file"):
        make(whiteboard=str(tmp_path / "none")).read()
    with pytest.raises(LockspaceError, match="No such file") as missing:
        make(leases=str(tmp_path / "none")).status()
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(ValueError, match="4096 bytes"):
        first.write_slot(HOST_ID, b"short")
    # None of these cost the worker.
    first.write_slot(HOST_ID, BLOCK)


def test_the_status_arrives_whole(make: Make) -> None:
    client, other = make(), make(host_id=4, name="host4")
    other.join()
    other.leave()
    client.join()
    status = client.status()
    assert status.view.joined
    assert status.view.dead_hosts == {4}
    assert status.view.owner is None


def test_the_id_is_renewed_while_nobody_asks_for_anything(
    make: Make, settings: StorageSettings
) -> None:
    make().join()
    joined = lease_of(settings)
    until(lambda: lease_of(settings).renewed_at > joined.renewed_at + 2 * 2 * IO_TIMEOUT_S)
    assert lease_of(settings).generation == joined.generation


def test_an_id_that_was_given_back_is_not_taken_again(
    make: Make, settings: StorageSettings
) -> None:
    client = make()
    client.join()
    client.leave()
    os.kill(process_of(client), signal.SIGKILL)
    until(lambda: works(client.read))
    assert not client.status().view.joined
    assert lease_of(settings).left


def test_many_threads_share_one_client(make: Make) -> None:
    client = make(20.0)
    client.join()
    client.write_slot(HOST_ID, BLOCK)

    def use(turn: int) -> bool:
        if turn % 3 == 0:
            client.write_slot(HOST_ID, BLOCK)
            return True
        if turn % 3 == 1:
            return client.status().view.joined
        return client.read()[HOST_ID * SLOT_BYTES :] == BLOCK

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(120)))


# Storage that hangs.


def test_a_hanging_storage_is_said_in_time_and_found_again_when_it_heals(
    make: Make, settings: StorageSettings
) -> None:
    client = make()
    client.join()
    before, worker = lease_of(settings), process_of(client)
    hang(settings)
    began = time.monotonic()
    with pytest.raises(StorageError, match="the storage did not answer within 3 s"):
        client.read()
    assert DEADLINE_S <= time.monotonic() - began < DEADLINE_S + 1.0
    until(lambda: not is_running(worker))
    heal(settings)
    until(lambda: works(client.read))
    assert client.status().view.joined
    # It came back in time: the same generation, and so the engine's lease, if it had it.
    assert lease_of(settings).generation == before.generation
    client.write_slot(HOST_ID, BLOCK)


def test_while_it_is_given_time_calls_fail_at_once(settings: StorageSettings) -> None:
    hang(settings)
    client = StorageClient(settings, 0.3, backoff_s=1000.0, backoff_max_s=1000.0)
    try:
        until(lambda: "did not answer" in refusal(client.read))
        began = time.monotonic()
        assert "the storage did not work; it is tried again in " in refusal(client.status)
        assert time.monotonic() - began < 0.2
    finally:
        client.close()


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(StorageError) as caught:
        use()
    return str(caught.value)


def test_each_time_it_is_given_more_time(settings: StorageSettings) -> None:
    client = StorageClient(settings, DEADLINE_S, backoff_s=0.1, backoff_max_s=0.3)
    try:
        waits: list[float] = []
        for _ in range(4):
            until(lambda: works(client.read))
            client._backoff_s = max([0.1, *waits])
            os.kill(process_of(client), signal.SIGKILL)
            refusal(client.read)
            waits.append(client._backoff_s)
        assert waits == pytest.approx([0.2, 0.3, 0.3, 0.3])
        until(lambda: works(client.read))
        assert client._backoff_s == 0.1
    finally:
        client.close()


def test_who_waits_for_anothers_call_waits_no_longer_either(
    make: Make, settings: StorageSettings
) -> None:
    client = make(1.0)
    until(lambda: works(client.status))
    hang(settings)

    def timed(_: int) -> float:
        began = time.monotonic()
        refusal(client.read)
        return time.monotonic() - began

    with ThreadPoolExecutor(6) as threads:
        assert max(threads.map(timed, range(6))) < 2.0


def test_the_agents_call_is_the_next_whoever_waits(make: Make) -> None:
    client = make(20.0)
    until(lambda: works(client.status))
    done: list[str] = []

    def call(name: str, *, yields: bool) -> None:
        client.read(yields=yields)
        done.append(name)

    assert client._turns.take(1.0)
    callers = [
        threading.Thread(target=call, args=("look",), kwargs={"yields": True}) for _ in range(16)
    ]
    agent = threading.Thread(target=call, args=("agent",), kwargs={"yields": False})
    for caller in callers:
        caller.start()
    agent.start()
    until(lambda: client._turns._waiting == 1)
    client._turns.give()
    for caller in (*callers, agent):
        caller.join(20.0)
    assert (done[0], len(done)) == ("agent", 17)


def test_who_gets_no_turn_is_told_that_others_went_first(make: Make) -> None:
    client = make(0.2)
    assert client._turns.take(1.0)
    with pytest.raises(StorageError, match=r"within 0\.2 s: other requests went first"):
        client.read(yields=True)
    client._turns.give()


def test_who_waited_for_the_turn_has_the_whole_deadline(make: Make) -> None:
    client = make(1.0)
    until(lambda: works(client.status))
    assert client._turns.take(1.0)
    found: list[bytes] = []
    caller = threading.Thread(target=lambda: found.append(client.read()))
    asked_at = time.monotonic()
    caller.start()
    until(lambda: time.monotonic() > asked_at + 0.9)
    client._turns.give()
    caller.join(20.0)
    assert len(found) == 1


def test_closing_ends_a_call_that_hangs(make: Make, settings: StorageSettings) -> None:
    client = make(60.0)
    client.join()
    worker = process_of(client)
    hang(settings)
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(refusal(client.read)))
    caller.start()
    until(lambda: client._turns.is_taken)
    client.close()
    caller.join(20.0)
    assert said == ["the storage worker has ended"]
    assert not is_running(worker)


def test_a_worker_that_needs_long_to_start_is_waited_for(settings: StorageSettings) -> None:
    client = StorageClient(settings, 0.001, backoff_s=1000.0)
    try:
        worker = process_of(client)
        assert refusal(client.read) == "the storage worker is still starting"
        client._deadline_s = 20.0
        assert client.read()
        assert process_of(client) == worker
    finally:
        client.close()


# Workers that end.


def test_a_killed_worker_is_replaced_and_joins_again(make: Make, settings: StorageSettings) -> None:
    client = make()
    client.join()
    generation, worker = lease_of(settings).generation, process_of(client)
    os.kill(worker, signal.SIGKILL)
    assert refusal(client.read) == "the storage worker has ended"
    until(lambda: works(lambda: client.write_slot(HOST_ID, BLOCK)))
    assert process_of(client) != worker
    assert not is_running(worker)
    assert client.status().view.joined
    assert lease_of(settings).generation == generation


def test_a_host_id_that_is_not_free_yet_is_taken_by_a_later_call(
    make: Make, settings: StorageSettings
) -> None:
    client = make()
    client.join()
    os.kill(process_of(client), signal.SIGKILL)
    until(lambda: not records.host_is_held(Path(settings.leases), HOST_ID))
    # An earlier process of this host, which has not quite ended.
    descriptor = records.open_host(Path(settings.leases), HOST_ID)
    assert records.lock(descriptor)
    until(lambda: works(client.read))
    assert not client.status().view.joined
    os.close(descriptor)
    client.write_slot(HOST_ID, BLOCK)


def test_a_worker_that_was_frozen_too_long_joins_anew(
    make: Make, settings: StorageSettings
) -> None:
    client = make(io_timeout_s=0.05)
    client.join()
    before = lease_of(settings)
    os.kill(process_of(client), signal.SIGSTOP)
    # A renewal that was under way may count from a moment that is not in the file yet.
    until(lambda: time.monotonic() > lease_of(settings).renewed_at + 2 * 8 * 0.05)
    os.kill(process_of(client), signal.SIGCONT)
    until(lambda: lease_of(settings).generation > before.generation)
    assert client.status().view.joined


def test_a_host_whose_id_was_taken_meanwhile_says_so(
    make: Make, settings: StorageSettings, tmp_path: Path
) -> None:
    client = make(io_timeout_s=0.05, watchdog_s=0.05)
    client.join()
    os.kill(process_of(client), signal.SIGKILL)
    other = EmbeddedLeases(tmp_path / "leases", HOST_ID, "another", 60.0, 60.0)
    until(lambda: time.monotonic() > lease_of(settings).renewed_at + 9 * 0.05)
    other.rules = attrs.evolve(other.rules, io_timeout_s=0.05, watchdog_s=0.05)
    other.join()
    until(lambda: works(client.read))
    with pytest.raises(LockspaceError, match="does not hold host id 3"):
        client.write_slot(HOST_ID, BLOCK)
    with pytest.raises(HostIdBusyError, match="held by another"):
        client.join()
    other.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_only_when_its_client_lets_it(make: Make, number: signal.Signals) -> None:
    client = make()
    client.join()
    worker = process_of(client)
    os.kill(worker, number)
    client.write_slot(HOST_ID, BLOCK)
    assert process_of(client) == worker


def test_closing_leaves_nothing(make: Make, settings: StorageSettings) -> None:
    files = open_files()
    client = make()
    client.join()
    worker = process_of(client)
    client.close()
    client.close()
    assert not is_running(worker)
    assert open_files() == files
    assert refusal(client.read) == "the storage is closed"
    # The id is free for the next process of this host; it was not given back.
    assert not lease_of(settings).left
    make().join()


def test_a_client_that_does_nothing_closes_too(make: Make) -> None:
    client = make()
    worker = process_of(client)
    client.close()
    assert not is_running(worker)


PARENT = """
import json, sys
from he_fsm.runtime.storage import protocol
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings
settings = StorageSettings(**json.loads(sys.argv[1]))
client = StorageClient(settings, 600.0)
client.join()
print(client._worker._process.pid, flush=True)
input()
print("reading", flush=True)
client.read()
input()
"""


@pytest.mark.parametrize("is_hanging", [False, True])
def test_a_worker_does_not_outlive_its_client(settings: StorageSettings, is_hanging: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(attrs.asdict(settings))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        worker = int(parent.stdout.readline())
        if is_hanging:
            hang(settings)
            parent.stdin.write("\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == "reading\n"
        parent.kill()
    until(lambda: not is_running(worker))


def threads_but(others: set[threading.Thread]) -> int:
    """Count the threads that are not of an earlier test, which may end at any moment."""
    return len(set(threading.enumerate()) - others)


def test_500_calls_cost_no_file_no_process_and_no_thread(make: Make) -> None:
    others = set(threading.enumerate())
    client = make(20.0)
    client.join()
    worker = process_of(client)

    def use(times: int) -> None:
        for _ in range(times):
            client.write_slot(HOST_ID, BLOCK)
            client.write_global(False)
            client.read()
            client.join()
            client.status()

    use(2)
    files, threads, of_worker = open_files(), threads_but(others), open_files(worker)
    processes = len(children())
    use(100)
    assert process_of(client) == worker
    assert open_files() == files
    # The renewer may have a file open just now.
    until(lambda: open_files(worker) <= of_worker)
    assert threads_but(others) == threads
    assert len(children()) == processes


def test_restarts_cost_nothing_either(make: Make) -> None:
    others = set(threading.enumerate())
    client = make()
    client.join()
    files, threads, processes = open_files(), threads_but(others), len(children())
    for _ in range(4):
        os.kill(process_of(client), signal.SIGKILL)
        refusal(client.read)
        until(lambda: works(client.read))
    until(lambda: threads_but(others) == threads)
    assert open_files() == files
    assert len(children()) == processes
