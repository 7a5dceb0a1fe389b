"""Whether an address answers a ping."""

from __future__ import annotations

import attrs
import icmplib

from he_fsm.errors import MonitorError


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
