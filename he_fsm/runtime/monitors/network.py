"""
Whether the network answers: the fraction of several probes that were answered, 0 to 1.

Single packets get lost on sound networks, so one probe proves nothing. Probes overlap in time: a
network that has gone is known after one time-out, not after one for each probe.

Source: ovirt-hosted-engine-ha 2.5, its network tests ping, dns, tcp and none, five tries each.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Optional, Protocol

import attrs
import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.resolver
import icmplib

from he_fsm.errors import MonitorError

# Beyond the probes' own time-outs: threads, and a name that has to be resolved.
_MARGIN_S = 5.0
_DNS_PORT = 53


class Probe(Protocol):
    """One question to the network."""

    @property
    def longest_s(self) -> float:
        """How long it may take."""

    def is_answered(self) -> bool:
        """Ask once; raises `MonitorError` where nothing could be asked."""


@attrs.frozen
class Network:
    """*count* probes that begin *spread_s* after each other."""

    probe: Probe
    count: int = 5
    spread_s: float = 0.2

    @property
    def deadline_s(self) -> float:
        """How long measuring may take."""
        return self.probe.longest_s + self.spread_s * (self.count - 1) + _MARGIN_S

    def measure(self) -> float:
        """
        Return the fraction of the probes that were answered.

        Raises:
            MonitorError: nothing could be asked; that says nothing about the network.
        """
        asked = [_Asked(self.probe) for _ in range(self.count)]
        for number, probe in enumerate(asked):
            if number:
                time.sleep(self.spread_s)
            probe.start()
        for probe in asked:
            probe.join()
        for probe in asked:
            if probe.error is not None:
                raise probe.error
        return sum(probe.is_answered for probe in asked) / self.count


@attrs.frozen
class NoNetworkTest:
    """The network is taken to be fine, always."""

    deadline_s: float = _MARGIN_S

    def measure(self) -> float:
        """Return 1.0."""
        return 1.0


@attrs.frozen
class Ping:
    """An ICMP echo request to *address*, answered within *timeout_s*."""

    address: str
    timeout_s: float = 2.0

    @property
    def longest_s(self) -> float:
        """One time-out."""
        return self.timeout_s

    def is_answered(self) -> bool:
        """
        Send one request, without privileges where the kernel allows it.

        Raises:
            MonitorError: this process may open neither kind of ICMP socket.
        """
        try:
            return self._ping(privileged=False)
        except icmplib.SocketPermissionError:
            pass
        try:
            return self._ping(privileged=True)
        except icmplib.SocketPermissionError as error:
            msg = (
                f"ping {self.address}: this user may not open ping sockets; add the daemon's "
                "group to net.ipv4.ping_group_range (sysctl), give the service CAP_NET_RAW, or "
                "choose the network test dns or tcp"
            )
            raise MonitorError(msg) from error

    def _ping(self, *, privileged: bool) -> bool:
        try:
            host = icmplib.ping(
                self.address, count=1, timeout=self.timeout_s, privileged=privileged
            )
        except icmplib.SocketPermissionError:
            raise
        except icmplib.ICMPLibError:
            # No such name, or no way to send: the network does not answer.
            return False
        return bool(host.is_alive)


@attrs.frozen
class Tcp:
    """A TCP connection to *address* and *port*, made within *timeout_s*."""

    address: str
    port: int
    timeout_s: float = 2.0

    @property
    def longest_s(self) -> float:
        """One time-out."""
        return self.timeout_s

    def is_answered(self) -> bool:
        """Connect once, and close."""
        try:
            with socket.create_connection((self.address, self.port), self.timeout_s):
                return True
        except OSError:
            return False


@attrs.frozen
class Dns:
    """
    A question to a name server; any answer counts, also one that says no.

    Each server is asked by UDP, and if that gets lost by TCP, *timeout_s* each: lost datagrams
    alone must not shut an engine down. *address* None: the servers of /etc/resolv.conf, of which
    one has to answer. *name* is what is asked for (its NS records), the root where nothing is
    said.
    """

    address: Optional[str] = None
    port: int = _DNS_PORT
    name: str = "."
    timeout_s: float = 2.0

    @property
    def longest_s(self) -> float:
        """UDP and TCP to each of up to three servers, as many as the system's resolver reads."""
        return 2 * self.timeout_s * (3 if self.address is None else 1)

    def is_answered(self) -> bool:
        """
        Ask until somebody answers.

        Raises:
            MonitorError: there is no server to ask, or the name is none.
        """
        try:
            query = dns.message.make_query(self.name, dns.rdatatype.NS)
        except dns.exception.DNSException as error:
            msg = f"{self.name!r} is no name that can be asked for: {error}"
            raise MonitorError(msg) from error
        servers = self._servers()
        return any(self._answers_udp(query, server) for server in servers) or any(
            self._answers_tcp(query, server) for server in servers
        )

    def _servers(self) -> list[str]:
        if self.address is not None:
            try:
                found = socket.getaddrinfo(self.address, self.port, type=socket.SOCK_DGRAM)
            except OSError as error:
                msg = f"the name server {self.address} is unknown: {error}"
                raise MonitorError(msg) from error
            return [str(found[0][4][0])]
        try:
            nameservers = dns.resolver.Resolver().nameservers
        except (dns.exception.DNSException, OSError) as error:
            msg = f"/etc/resolv.conf names no server to ask: {error}"
            raise MonitorError(msg) from error
        return [str(server) for server in nameservers][:3]

    def _answers_udp(self, query: dns.message.Message, server: str) -> bool:
        try:
            dns.query.udp(
                query,
                server,
                timeout=self.timeout_s,
                port=self.port,
                ignore_unexpected=True,
                ignore_errors=True,
            )
        except (dns.exception.DNSException, OSError):
            return False
        return True

    def _answers_tcp(self, query: dns.message.Message, server: str) -> bool:
        try:
            dns.query.tcp(query, server, timeout=self.timeout_s, port=self.port)
        except (dns.exception.DNSException, OSError, EOFError):
            return False
        return True


class _Asked(threading.Thread):
    """One probe under way."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(name="he-fsm probe", daemon=True)
        self.probe = probe
        self.is_answered = False
        self.error: Optional[MonitorError] = None

    def run(self) -> None:
        try:
            self.is_answered = self.probe.is_answered()
        except MonitorError as error:
            self.error = error
