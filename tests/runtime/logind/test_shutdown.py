"""The agent's inhibitors and the shutdown that it sees: on real D-Buses, with two loginds."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.errors import HeFsmError, MissingExtraError
from he_fsm.lab.logind import host_bus
from he_fsm.lab.logind.host_bus import HostBus
from he_fsm.runtime.config import load_config
from he_fsm.runtime.deep import deep_findings
from he_fsm.runtime.logind.bus import MANAGER, NAME, PATH, Logind, LogindError
from he_fsm.runtime.logind.shutdown import HostShutdown
from he_fsm.testing.waiting import until

pytestmark = pytest.mark.skipif(host_bus.why_not() != "", reason=host_bus.why_not() or "can")
DELAY_S = 30.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[HostBus]:
    made = HostBus(tmp_path, DELAY_S)
    made.start(tmp_path)
    yield made
    made.end()


class Watched:
    """A shutdown that is listened to, and how often it woke."""

    def __init__(self, address: str) -> None:
        self.woken = threading.Semaphore(0)
        self.shutdown = HostShutdown(lambda: Logind(address), self.woken.release)
        self.shutdown.start()

    def wakes(self) -> bool:
        return self.woken.acquire(timeout=20)


@pytest.fixture
def watched(bus: HostBus) -> Iterator[Watched]:
    made = Watched(bus.address)
    yield made
    made.shutdown.close()


def inhibitors(address: str) -> list[tuple[str, str]]:
    """Return what is inhibited, and how."""
    with_bus = Logind(address)
    try:
        found = with_bus._call(_manager(), "ListInhibitors", "")
    finally:
        with_bus.close()
    return sorted((each[0], each[3]) for each in found)


def _manager() -> object:
    from jeepney import DBusAddress

    return DBusAddress(PATH, NAME, MANAGER)


def test_a_shutdown_waits_for_the_agent_and_no_longer(bus: HostBus, watched: Watched) -> None:
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])
    assert watched.shutdown.leaves_by is None
    bus.ask("Reboot")
    assert watched.wakes()
    leaves_by = watched.shutdown.leaves_by
    assert leaves_by is not None
    left_s = leaves_by - time.monotonic()
    assert DELAY_S - 10 < left_s <= DELAY_S
    assert not bus.has_gone_down
    watched.shutdown.let_go("the test says so")
    until(lambda: bus.has_gone_down)


def test_a_shutdown_that_is_called_off_leaves_everything_as_before(
    bus: HostBus, watched: Watched
) -> None:
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])
    bus.ask("PowerOff")
    assert watched.wakes()
    bus.ask("CancelShutdown")
    assert watched.wakes()
    assert watched.shutdown.leaves_by is None
    assert inhibitors(bus.address) == [("shutdown", "delay")]


def test_suspend_is_inhibited_while_the_engine_is_here(bus: HostBus, watched: Watched) -> None:
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])
    watched.shutdown.keep_awake(is_needed=True)
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay"), ("sleep", "block")])
    watched.shutdown.keep_awake(is_needed=False)
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])


def test_an_agent_that_ends_inhibits_nothing(bus: HostBus) -> None:
    made = Watched(bus.address)
    made.shutdown.keep_awake(is_needed=True)
    until(lambda: len(inhibitors(bus.address)) == 2)
    made.shutdown.close()
    until(lambda: inhibitors(bus.address) == [])


def test_a_program_that_the_agent_starts_inhibits_nothing(bus: HostBus) -> None:
    """Else a VM that outlives its agent would hold up each shutdown."""
    logind = Logind(bus.address)
    descriptor = logind.inhibit("shutdown", "a test", "delay")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        os.close(descriptor)
        until(lambda: inhibitors(bus.address) == [])
        assert child.poll() is None
    finally:
        child.communicate(b"\n")
        logind.close()


def test_an_agent_that_comes_in_the_middle_of_a_shutdown_knows_of_it(bus: HostBus) -> None:
    first = Watched(bus.address)
    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])
    bus.ask("Reboot")
    assert first.wakes()
    second = Watched(bus.address)
    assert second.wakes()
    assert second.shutdown.leaves_by is not None
    for each in (second, first):
        each.shutdown.close()


def test_nobody_but_logind_announces_a_shutdown(bus: HostBus, watched: Watched) -> None:
    """Any user of the machine may send a signal on the system's bus."""
    from jeepney import DBusAddress, new_signal
    from jeepney.io.blocking import open_dbus_connection

    until(lambda: inhibitors(bus.address) == [("shutdown", "delay")])
    with open_dbus_connection(bus.address) as somebody:
        emitter = DBusAddress(PATH, interface=MANAGER)
        somebody.send(new_signal(emitter, "PrepareForShutdown", "b", (True,)))
    bus.ask("CancelShutdown")
    # That is told after the false signal, and changes nothing.
    watched.shutdown.keep_awake(is_needed=True)
    until(lambda: len(inhibitors(bus.address)) == 2)
    assert watched.shutdown.leaves_by is None


def test_without_a_bus_the_agent_goes_on_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tried = threading.Semaphore(0)

    def connect() -> Logind:
        tried.release()
        return Logind(f"unix:path={tmp_path}/no-bus")

    with caplog.at_level(logging.INFO):
        shutdown = HostShutdown(connect, lambda: None)
        shutdown.start()
        assert tried.acquire(timeout=20)
        until(lambda: "can't be reached" in caplog.text)
        shutdown.keep_awake(is_needed=True)
        shutdown.let_go("nobody waits")
        shutdown.close()
    assert shutdown.leaves_by is None
    assert caplog.text.count("does not wait until the engine has left") == 1


def test_without_the_library_the_agent_says_what_to_install_and_does_not_try_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[int] = []
    missing = MissingExtraError.of("jeepney", "daemon", "delaying a shutdown")

    def connect() -> Logind:
        tried.append(1)
        raise missing

    shutdown = HostShutdown(connect, lambda: None)
    shutdown.start()
    until(lambda: "pip install 'he-fsm[daemon]'" in caplog.text)
    shutdown.close()
    assert tried == [1]


def test_a_bus_without_a_logind_is_said_so(bus: HostBus) -> None:
    bus.kill_logind()
    logind = Logind(bus.address)
    with pytest.raises(LogindError, match=r"logind refuses Get: .*login1"):
        _ = logind.delay_s
    logind.close()


# python3-dbusmock is the distribution's: another Python has it.
MOCK = Path("/usr/bin/python3")


def _has_dbusmock() -> bool:
    if not MOCK.exists():
        return False
    found = subprocess.run([MOCK, "-c", "import dbusmock"], capture_output=True, check=False)
    return found.returncode == 0


@pytest.mark.skipif(not _has_dbusmock(), reason="python3-dbusmock is not installed")
def test_dbusmocks_logind_is_understood_too(tmp_path: Path, bus: HostBus) -> None:
    """
    dbusmock's logind is somebody else's reading of the interface.

    Its release 0.28 has no InhibitDelayMaxUSec, which is added here as systemd 252 has it.
    """
    bus.kill_logind()
    env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    mock = subprocess.Popen(
        [MOCK, "-m", "dbusmock", "--system", "--template", "logind"], env=env, cwd=tmp_path
    )
    try:
        until(lambda: _mocked(bus.address, "AddProperty", "ssv", *_DELAY) is None)
        watched = Watched(bus.address)
        watched.shutdown.keep_awake(is_needed=True)
        until(lambda: inhibitors(bus.address) == [("shutdown", "delay"), ("sleep", "block")])
        _mocked(bus.address, "EmitSignal", "sssav", MANAGER, "PrepareForShutdown", "b", [_TRUE])
        assert watched.wakes()
        assert watched.shutdown.leaves_by is not None
        watched.shutdown.let_go("the engine is not here")
        until(lambda: inhibitors(bus.address) == [("sleep", "block")])
        _mocked(bus.address, "EmitSignal", "sssav", MANAGER, "PrepareForShutdown", "b", [_FALSE])
        assert watched.wakes()
        assert watched.shutdown.leaves_by is None
        until(lambda: inhibitors(bus.address) == [("shutdown", "delay"), ("sleep", "block")])
        watched.shutdown.close()
    finally:
        mock.kill()
        mock.wait()


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            "talk",
            "waits for 30 s at most until the engine has left, and policy.on_shutdown mig",
        ),
        ("{base: talk, on_shutdown: stop, shutdown_stop_s: 20}", ""),
    ],
)
def test_a_delay_that_is_too_short_is_found(
    tmp_path: Path, bus: HostBus, monkeypatch: pytest.MonkeyPatch, policy: str, said: str
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    file = tmp_path / "he-fsm.yaml"
    file.write_text(
        f"host: {{id: 1}}\nstorage: {{path: {tmp_path}}}\npolicy: {policy}\n"
        "monitors: {network: {test: none}}\novirt: none\n"
    )
    found = [str(each) for each in deep_findings(load_config(file)) if "shutdown" in each.what]
    assert len(found) == bool(said)
    assert all(said in text and "InhibitDelayMaxSec=5min" in text for text in found)


_TRUE, _FALSE = ("b", True), ("b", False)
_DELAY = (MANAGER, "InhibitDelayMaxUSec", ("t", 30_000_000))


def _mocked(address: str, method: str, signature: str, *words: object) -> Optional[str]:
    """Call dbusmock's own interface; return why it could not be."""
    from jeepney import DBusAddress

    try:
        logind = Logind(address)
    except HeFsmError as error:
        return str(error)
    try:
        path = DBusAddress(PATH, NAME, "org.freedesktop.DBus.Mock")
        logind._call(path, method, signature, *words)
    except HeFsmError as error:
        return str(error)
    finally:
        logind.close()
    return None
