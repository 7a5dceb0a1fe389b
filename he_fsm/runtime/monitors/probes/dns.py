"""Whether a name server answers."""

from __future__ import annotations

import socket
from typing import Final, Optional

import attrs
import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.resolver

from he_fsm.errors import MonitorError

_DNS_PORT: Final = 53


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
