"""Probes to real sockets on the loopback."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import dns.flags
import dns.message
import icmplib
import pytest

from he_fsm.errors import ConfigError, MonitorError
from he_fsm.runtime.monitors.files import NumberFile
from he_fsm.runtime.monitors.make import make_network
from he_fsm.runtime.monitors.network import Network, NoNetworkTest
from he_fsm.runtime.monitors.probes.dns import Dns
from he_fsm.runtime.monitors.probes.ping import Ping
from he_fsm.runtime.monitors.probes.tcp import Tcp
from he_fsm.runtime.monitors.section import NetworkMonitorConfig


class NameServer:
    """Answers on one port by UDP and TCP, as far as it is told to; counts what it is asked."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.answers_udp = True
        self.answers_tcp = True
        # Every so many datagrams one is lost.
        self.loses_one_in = 0
        self.refuses = self.is_broken = False
        self.asked_udp = self.asked_tcp = 0
        self.threads = [
            threading.Thread(target=serve, daemon=True) for serve in (self._by_udp, self._by_tcp)
        ]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        for one in (self.udp, self.tcp):
            # Closing alone does not wake a thread that waits.
            if one is self.tcp:
                one.shutdown(socket.SHUT_RDWR)
            else:
                one.sendto(b"", ("127.0.0.1", self.port))
        for thread in self.threads:
            thread.join(10)
        self.udp.close()
        self.tcp.close()

    def _answer(self, wire: bytes) -> bytes:
        if self.is_broken:
            return b"\x00" * 12
        response = dns.message.make_response(dns.message.from_wire(wire))
        if self.refuses:
            response.set_rcode(dns.rcode.REFUSED)
        return response.to_wire()

    def _by_udp(self) -> None:
        while True:
            wire, asker = self.udp.recvfrom(4096)
            if not wire:
                return
            self.asked_udp += 1
            is_lost = self.loses_one_in and self.asked_udp % self.loses_one_in == 0
            if self.answers_udp and not is_lost:
                self.udp.sendto(self._answer(wire), asker)

    def _by_tcp(self) -> None:
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as sent:
                if not self.answers_tcp:
                    continue
                self.asked_tcp += 1
                (length,) = struct.unpack("!H", sent.read(2))
                answer = self._answer(sent.read(length))
                connection.sendall(struct.pack("!H", len(answer)) + answer)


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def asking(server: NameServer, timeout_s: float = 5.0) -> Network:
    return Network(Dns("127.0.0.1", server.port, timeout_s=timeout_s), count=5, spread_s=0.01)


def test_a_name_server_answers_by_udp(server: NameServer) -> None:
    assert asking(server).measure() == 1.0
    assert (server.asked_udp, server.asked_tcp) == (5, 0)


def test_lost_datagrams_are_asked_for_again_by_tcp(server: NameServer) -> None:
    server.loses_one_in = 2
    assert asking(server, timeout_s=1.0).measure() == 1.0
    assert (server.asked_udp, server.asked_tcp) == (5, 2)


def test_tcp_alone_is_enough(server: NameServer) -> None:
    server.answers_udp = False
    assert asking(server, timeout_s=0.5).measure() == 1.0
    assert server.asked_tcp == 5


def test_a_server_that_says_no_has_answered(server: NameServer) -> None:
    server.refuses = True
    assert asking(server).measure() == 1.0


def test_silence_is_known_after_one_probes_time_outs(server: NameServer) -> None:
    server.answers_udp = server.answers_tcp = False
    began_at = time.monotonic()
    assert asking(server, timeout_s=1.0).measure() == 0.0
    # One after the other, the five would take their time-outs one after the other too.
    assert time.monotonic() - began_at < 4.5


def test_noise_is_no_answer(server: NameServer) -> None:
    server.is_broken = True
    assert asking(server, timeout_s=0.3).measure() == 0.0


def test_a_name_that_is_none_is_said_so() -> None:
    with pytest.raises(MonitorError, match="is no name that can be asked for"):
        Network(Dns(name="a" * 70), spread_s=0.0).measure()


def test_a_name_server_that_is_no_address_is_said_so() -> None:
    with pytest.raises(MonitorError, match="the name server no such server is unknown"):
        Dns("no such server").is_answered()


def test_tcp_connects() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        probe = Tcp("127.0.0.1", listener.getsockname()[1])
        assert Network(probe, spread_s=0.0).measure() == 1.0


def test_a_closed_port_does_not_answer(closed_port: int) -> None:
    assert Network(Tcp("127.0.0.1", closed_port), spread_s=0.0).measure() == 0.0


@attrs.define
class Flaky:
    """Answers those probes that it is told to."""

    answers: list[bool]
    longest_s: float = 1.0

    def is_answered(self) -> bool:
        return self.answers.pop()


@pytest.mark.parametrize("answered", range(6))
def test_the_result_is_the_fraction_that_was_answered(answered: int) -> None:
    probe = Flaky([True] * answered + [False] * (5 - answered))
    assert Network(probe, count=5, spread_s=0.0).measure() == answered / 5


def test_the_deadline_has_room_for_what_probes_may_take() -> None:
    assert Network(Ping("127.0.0.1", 2.0), count=5, spread_s=0.5).deadline_s > 4.0
    assert Network(Dns("127.0.0.1", timeout_s=2.0), count=1).deadline_s > 4.0


def can_ping() -> bool:
    for privileged in (False, True):
        try:
            icmplib.ICMPv4Socket(privileged=privileged).close()
        except icmplib.SocketPermissionError:
            continue
        return True
    return False


def test_the_loopback_answers_pings() -> None:
    if not can_ping():
        pytest.skip("neither ping sockets nor raw sockets are allowed here")
    assert Network(Ping("127.0.0.1"), spread_s=0.01).measure() == 1.0


def test_a_name_that_nobody_knows_does_not_answer_pings() -> None:
    if not can_ping():
        pytest.skip("neither ping sockets nor raw sockets are allowed here")
    assert Network(Ping("no-such-host.invalid"), count=1).measure() == 0.0


# The modules are imported first: an ordinary user may not be able to read root's Python.
AS_ORDINARY_USER = """
import os, socket
from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.network import Network
from he_fsm.runtime.monitors.probes.ping import Ping
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    print("allowed")
except PermissionError:
    try:
        print(Network(Ping("127.0.0.1"), spread_s=0.0).measure())
    except MonitorError as error:
        print(error)
"""


def test_a_user_who_may_not_ping_is_told_what_to_do() -> None:
    command = [sys.executable, "-c", AS_ORDINARY_USER]
    root = Path(__file__).parents[3]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    if said == "allowed\n":
        pytest.skip("ordinary users may ping here")
    assert re.search(r"may not open ping sockets.*net\.ipv4\.ping_group_range.*dns or tcp", said)


def test_the_systems_name_servers_are_those_to_ask() -> None:
    text = Path("/etc/resolv.conf").read_text()
    configured = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
    if not configured:
        pytest.skip("no name server is configured here")
    assert Dns()._servers() == configured[:3]


def test_no_test_is_always_well() -> None:
    assert NoNetworkTest().measure() == 1.0


@pytest.mark.parametrize(
    ("settings", "monitor"),
    [
        (NetworkMonitorConfig(test="none"), NoNetworkTest()),
        (
            NetworkMonitorConfig(test="file", path=Path("gateway")),
            NumberFile(Path("gateway"), maximum=1.0),
        ),
        (
            NetworkMonitorConfig(address="192.0.2.1", timeout_s=2.0, count=3, delay_s=0.25),
            Network(Ping("192.0.2.1", 2.0), 3, 0.25),
        ),
        (
            NetworkMonitorConfig(test="tcp", address="192.0.2.1", port=443),
            Network(Tcp("192.0.2.1", 443, 5.0), 5, 0.5),
        ),
        (
            NetworkMonitorConfig(test="dns", name="example.com"),
            Network(Dns(name="example.com", timeout_s=5.0), 5, 0.5),
        ),
    ],
    ids=["none", "file", "ping", "tcp", "dns"],
)
def test_the_configuration_chooses(settings: NetworkMonitorConfig, monitor: object) -> None:
    assert make_network(settings) == monitor


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (NetworkMonitorConfig(), "address"),
        (NetworkMonitorConfig(test="tcp", address="192.0.2.1"), "port"),
        (NetworkMonitorConfig(test="file"), "path"),
    ],
)
def test_what_a_test_needs_has_to_be_given(settings: NetworkMonitorConfig, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"monitors\.network\.{key}: .* needs it"):
        make_network(settings)
