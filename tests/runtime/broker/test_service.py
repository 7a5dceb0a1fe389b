"""What the broker does, whoever asks: real storage worker, monitors and notifier, no socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.errors import LockspaceError, StorageError
from he_fsm.metadata import EngineStatus, HostRecord, ProblemWord, Whiteboard, encode_slot
from he_fsm.runtime.broker.service import BrokerService
from he_fsm.runtime.broker_parts import make_service, renew_service
from he_fsm.runtime.config import load_config
from he_fsm.runtime.ports import Event, LeaseStatus
from he_fsm.runtime.service.clocks import Clocks
from he_fsm.snapshot import Health
from he_fsm.testing.waiting import until
from tests.runtime.cluster import Cluster, ClusterHost, storage_away, whiteboard_hung

EVENT = Event(
    subject="EngineDown-EngineUp",
    host_id=1,
    hostname="host1",
    source="EngineDown",
    to="EngineUp",
    edge="vm_up",
    why="because",
)
RECORD = HostRecord(
    host_id=1,
    timestamp=7,
    score=2400,
    engine=EngineStatus("down", "bad", "unknown", "vm not running on this host"),
    hostname="host1",
    text="state=EngineDown\nscore-why=all is well",
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    # At true speed a busy machine meets no deadline; the monitors look more often.
    cluster = Cluster(tmp_path, speed=1.0)
    cluster.hosts[1].configure(monitors={"interval": 0.2})
    yield cluster
    cluster.tear_down()


@pytest.fixture
def host(cluster: Cluster) -> ClusterHost:
    return cluster.hosts[1]


@pytest.fixture
def service(host: ClusterHost) -> Iterator[BrokerService]:
    service = make_service(load_config(host.path))
    yield service
    service.close()


def works(service: BrokerService) -> bool:
    try:
        service.whiteboard()
    except StorageError:
        return False
    return True


def test_the_host_id_is_taken_when_it_is_asked_for_and_given_back(service: BrokerService) -> None:
    until(lambda: service.facts().leases is not None)

    def joined() -> bool:
        leases = service.facts().leases
        assert leases is not None
        return leases.view.joined

    assert not joined()
    with pytest.raises(LockspaceError, match="does not hold host id 1"):
        service.write_slot(encode_slot(RECORD, ""))
    service.join()
    assert joined()
    service.write_slot(encode_slot(RECORD, RECORD.text))
    assert Whiteboard.parse(service.whiteboard()).records == {1: RECORD}
    service.leave()
    assert not joined()
    # People who look do not take it again.
    assert service.status()["lease"]["joined"] is False
    assert not joined()
    service.join()
    assert joined()


def test_leases_that_were_read_while_the_host_was_suspended_are_read_anew(
    service: BrokerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.join()
    # It looks by itself, and would be counted as well.
    service._lease_watch.close()
    service._lease_watch._thread.join()
    read = service._storage.status
    asked: list[LeaseStatus] = []

    def status(*, yields: bool = False) -> LeaseStatus:
        asked.append(read(yields=yields))
        return asked[-1]

    monkeypatch.setattr(service._storage, "status", status)
    # The host is suspended while the first answer is on its way.
    boot = service._clocks.boot
    service._clocks = Clocks(boot=lambda: boot() + 3600.0 * bool(asked))
    assert service.facts().leases is asked[1]
    assert len(asked) == 2


def test_facts_are_what_the_monitors_read(service: BrokerService, host: ClusterHost) -> None:
    until(lambda: service.facts().readings.mem_free.value == 12367)
    readings = service.facts().readings
    assert (readings.gateway.value, readings.bridge.value) == (1.0, 1.0)
    assert readings.gateway.age_s < 60
    host.measure(network="0.5")
    until(lambda: service.facts().readings.gateway.value == 0.5)
    # Nobody serves the page.
    until(lambda: service.facts().engine.health is Health.SILENT)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_each_flag_is_set_without_the_other(
    service: BrokerService, local: bool, everywhere: bool
) -> None:
    until(lambda: works(service))
    service.maintenance(local=local, everywhere=everywhere)
    found = service.maintenance(local=not local)
    assert (found.local, found.everywhere) == (not local, everywhere)
    found = service.maintenance(everywhere=not everywhere)
    assert (found.local, found.everywhere) == (not local, not everywhere)
    assert service.maintenance() == found
    assert service.facts().local_maintenance is not local
    assert service.status()["maintenance"] == {"local": not local, "global": not everywhere}


def test_the_local_flag_survives_the_broker_and_needs_no_storage(
    service: BrokerService, cluster: Cluster, host: ClusterHost
) -> None:
    until(lambda: works(service))
    with storage_away(cluster):
        assert service.maintenance(local=True).local is True
        # What was read a moment ago is shown for a moment.
        until(lambda: service.maintenance().everywhere is None)
        with pytest.raises(StorageError, match=r"^global maintenance stays as it is: "):
            service.maintenance(local=False, everywhere=False)
        assert service.maintenance().local is False
        service.maintenance(local=True)
    service.close()
    after = make_service(load_config(host.path))
    try:
        assert after.facts().local_maintenance
    finally:
        after.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[1]", b"null", b"{}", b'{"local_maintenance": "yes"}'],
)
@pytest.mark.parametrize("is_set", [True, False])
def test_a_host_whose_flag_is_damaged_stays_out_and_says_so_until_it_is_set_anew(
    host: ClusterHost, content: bytes, is_set: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (host.state_dir / "flags.json").write_bytes(content)
    service = make_service(load_config(host.path))
    try:
        assert service.maintenance().local
        assert "flags.json can't be used" in service.status()["maintenance"]["local_problem"]
        service.maintenance(local=is_set)
        assert "local_problem" not in service.status()["maintenance"]
    finally:
        service.close()
    assert sum("flags.json can't be used" in line for line in caplog.messages) == 1
    assert json.loads((host.state_dir / "flags.json").read_bytes()) == {"local_maintenance": is_set}


def test_whoever_waits_is_woken_by_a_change_and_by_nothing_else(service: BrokerService) -> None:
    seen = service.changes
    began = time.monotonic()
    assert service.wake(seen, 0.2) == seen
    assert time.monotonic() - began >= 0.2
    # Another broker's number: something may have happened in between.
    assert service.wake(seen - 1, 60.0) == seen
    heard = threading.Event()
    service.on_change(heard.set)
    counts: list[int] = []
    waiting = threading.Thread(target=lambda: counts.append(service.wake(seen, 60.0)))
    waiting.start()
    service.maintenance(local=True)
    waiting.join(20)
    assert counts == [seen + 1]
    assert heard.is_set()
    # What is so already is no change.
    service.maintenance(local=True)
    assert service.changes == seen + 1


def test_a_restarted_broker_counts_from_elsewhere(
    service: BrokerService, host: ClusterHost
) -> None:
    another = make_service(load_config(host.path))
    another.close()
    assert another.changes - service.changes > 100


def test_storage_that_is_away_is_said_and_what_was_read_is_kept(
    service: BrokerService, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "he_fsm")
    until(lambda: works(service))
    service.join()
    service.write_slot(encode_slot(RECORD, RECORD.text))
    before = service.status()
    assert before["storage"] == "ok"
    with storage_away(cluster):
        facts = service.facts()
        service.facts()
        assert facts.leases is None
        # What was read a moment ago is shown for a moment.
        until(lambda: "No such file" in service.status()["storage"])
        found = service.status()
    assert found["lease"] is None
    assert found["hosts"] == before["hosts"]
    assert found["hosts"]["1"]["text"] == ["state=EngineDown", "score-why=all is well"]
    assert found["read_age_s"] >= before["read_age_s"]
    until(lambda: service.facts().leases is not None)
    said = [line for line in caplog.messages if "the leases can" in line]
    assert len(said) == 2
    assert "the leases can be read again" in said[1]


def test_people_who_read_all_slots_share_a_reading_and_the_agent_has_its_own(
    service: BrokerService, cluster: Cluster
) -> None:
    until(lambda: works(service))
    service.join()
    block = encode_slot(RECORD, RECORD.text)
    service.write_slot(block)
    begins = len(block)
    assert service.whiteboard(fresh=False)[begins:] == block
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.seek(begins)
        file.write(bytes(begins))
    # What was read a moment ago is shown for a moment.
    assert service.whiteboard(fresh=False)[begins:] == block
    assert service.whiteboard()[begins:] == b""
    # What another one has read serves people, too.
    assert service.whiteboard(fresh=False)[begins:] == b""


def test_storage_that_hangs_holds_a_call_for_its_deadline_alone(
    cluster: Cluster, host: ClusterHost
) -> None:
    host.configure(storage={"deadline": 1.0})
    service = make_service(load_config(host.path))
    try:
        until(lambda: works(service))
        with whiteboard_hung(cluster):
            began = time.monotonic()
            with pytest.raises(StorageError, match="did not answer within 1 s"):
                service.whiteboard()
            assert 0.9 < time.monotonic() - began < 4.0
            assert service.maintenance(local=True).local
        until(lambda: works(service))
    finally:
        service.close()


def test_the_status_shows_a_damaged_slot(service: BrokerService, cluster: Cluster) -> None:
    block = bytearray(encode_slot(RECORD, ""))
    block[20] ^= 0xFF
    with (cluster.shared / "whiteboard").open("r+b") as file:
        file.seek(4096)
        file.write(block)
    until(lambda: works(service))
    found = service.status()["hosts"]["1"]
    assert found["problem"] in {word.value for word in ProblemWord}
    assert found["detail"]


def test_a_report_is_kept_with_its_age(service: BrokerService) -> None:
    assert service.last_report() == {"age_s": None}
    service.report({"state": "EngineDown", "why": "because"})
    report = service.last_report()
    assert (report["state"], report["why"]) == ("EngineDown", "because")
    assert 0 <= report["age_s"] < 60


def test_what_is_queued_is_told_before_the_end(host: ClusterHost, tmp_path: Path) -> None:
    told = tmp_path / "told"
    host.configure(notify={"hook": ["/bin/sh", "-c", f"sleep 0.2; cat >> {told}"]})
    service = make_service(load_config(host.path))
    service.tell(EVENT)
    service.close()
    assert json.loads(told.read_bytes())["to"] == "EngineUp"
    assert service.counts == {"events": 1}


def test_a_reload_brings_other_monitors_and_channels(
    service: BrokerService, host: ClusterHost, tmp_path: Path
) -> None:
    until(lambda: service.facts().readings.cpu_load.value == 0.05)
    other, told = tmp_path / "cpu", tmp_path / "told"
    other.write_text("0.75\n", encoding="ascii")
    host.configure(
        monitors={"cpu": {"path": str(other)}},
        notify={"hook": ["/bin/sh", "-c", f"cat >> {told}"]},
    )
    seen, threads = service.changes, threading.active_count()
    for _ in range(3):
        renew_service(service, load_config(host.path))
    until(lambda: service.facts().readings.cpu_load.value == 0.75)
    service.tell(EVENT)
    until(lambda: told.exists() and told.stat().st_size)
    assert service.changes > seen
    # One more: the hook's.
    until(lambda: threading.active_count() <= threads + 1)


def test_a_lease_that_is_taken_or_lost_rings(service: BrokerService) -> None:
    until(lambda: can_read(service))
    before = service.changes
    service.join()
    until(lambda: service.changes != before)


def test_leases_that_can_no_longer_be_read_ring(cluster: Cluster, service: BrokerService) -> None:
    until(lambda: can_read(service))
    before = service.changes
    with storage_away(cluster):
        until(lambda: service.changes != before)


def can_read(service: BrokerService) -> bool:
    return service.facts().leases is not None
