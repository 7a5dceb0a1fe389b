"""The broker's client: for the agent, and for the commands. Standard HTTP over a Unix socket."""

from __future__ import annotations

import grp
import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from he_fsm.errors import (
    BrokerError,
    HeFsmError,
    LockspaceError,
    RefusedRequestError,
    StorageError,
)
from he_fsm.runtime.vm_orders.order import VmOrder, Wanted, order_of

if TYPE_CHECKING:
    from he_fsm.runtime.broker import protocol
    from he_fsm.runtime.ports import Event


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the standard library has all of it but the connect."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class BrokerClient:
    """
    Talks to the broker of this host. Every call ends within *timeout_s*.

    Raises:
        BrokerError: it does not answer, or not as expected.
        RefusedRequestError: it refuses what is asked, or this user.
        StorageError: it answers that the shared storage can't be reached.
        LockspaceError: it answers that this host does not hold its host id.
    """

    def __init__(self, path: str, timeout_s: float) -> None:
        """Connect with every call: the broker may be restarted between two."""
        self._path = path
        self._timeout_s = timeout_s

    def facts(self) -> protocol.BrokerFacts:
        """Ask for readings, leases and flags."""
        from he_fsm.runtime.broker import protocol  # noqa: PLC0415 - few commands need it

        plain = self._json("GET", "/v1/facts")
        try:
            return protocol.facts_from_json(plain)
        except HeFsmError as error:
            msg = f"the broker's facts can't be used: {error}"
            raise BrokerError(msg) from error

    def join(self) -> None:
        """Take this host's id, and keep it until `leave`."""
        self._call("POST", "/v1/join", {})

    def whiteboard(self) -> bytes:
        """Read all slots, as they are now."""
        return self._call("GET", "/v1/whiteboard?fresh=1")

    def write_slot(self, block: bytes) -> None:
        """Write this host's own slot."""
        self._call("PUT", "/v1/slot", block)

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """Write slot 0 again if it can't be believed; say whether it was written."""
        end = {} if until is None else {"until": until}
        return bool(self._json("POST", "/v1/mend", {"global": maintenance, **end}).get("written"))

    def end_global(self, until: int) -> bool:
        """End global maintenance if slot 0 says that it ends then; say whether it was written."""
        return bool(self._json("POST", "/v1/end", {"until": until}).get("written"))

    def report(self, report: protocol.JSON) -> tuple[VmOrder, ...]:
        """Tell what the agent thinks; return what people order of it, each order once."""
        data = self._call("PUT", "/v1/report", report)
        if not data:
            return ()
        try:
            return tuple(order_of(plain) for plain in json.loads(data)["orders"])
        except (HeFsmError, ValueError, KeyError, TypeError, AttributeError) as error:
            msg = f"the broker's orders can't be used: {error}"
            raise BrokerError(msg) from error

    def order_vm(self, wanted: Wanted, to: Optional[int] = None) -> int:
        """Order something of the agent about the VM here; return the order's number."""
        order: protocol.JSON = {"order": wanted.value, **({} if to is None else {"to": to})}
        number = self._json("POST", "/v1/vm", order).get("number")
        if not isinstance(number, int):
            msg = "the broker's answer to POST /v1/vm has no number"
            raise BrokerError(msg)
        return number

    def last_report(self) -> protocol.JSON:
        """Ask what the agent thought last."""
        return self._json("GET", "/v1/report")

    def tell(self, event: Event) -> None:
        """Queue something that people may be told."""
        from he_fsm.runtime.broker import protocol  # noqa: PLC0415 - as above

        self._call("POST", "/v1/events", protocol.event_to_json(event))

    def wake(self, after: int, timeout_s: float) -> int:
        """Wait until the number of changes is not *after*, at most so long; give it."""
        return self._count(f"/v1/wake?after={after}&timeout={timeout_s:g}", timeout_s)

    def watch(self, after: int, timeout_s: float) -> int:
        """Wait until the status has something newer than *after* counts, as `wake` does."""
        return self._count(f"/v1/watch?after={after}&timeout={timeout_s:g}", timeout_s)

    def _count(self, query: str, timeout_s: float) -> int:
        count = self._json("GET", query, timeout_s=timeout_s + self._timeout_s).get("count")
        if not isinstance(count, int):
            msg = f"the broker's answer to GET {query} has no count"
            raise BrokerError(msg)
        return count

    def maintenance(
        self,
        *,
        local: Optional[bool] = None,
        everywhere: Optional[bool] = None,
        until: Optional[int] = None,
    ) -> protocol.Maintenance:
        """Set the flags that are given, which end by themselves *until* then; say what both are."""
        from he_fsm.runtime.broker import protocol  # noqa: PLC0415 - as above

        changes: dict[str, Optional[int]] = {"local": local, "global": everywhere}
        wanted = {name: value for name, value in changes.items() if value is not None}
        if wanted and until is not None:
            wanted["until"] = until
        method = "PUT" if wanted else "GET"
        plain = self._json(method, "/v1/maintenance", wanted or None)
        return protocol.Maintenance(
            local=bool(plain.get("local")),
            everywhere=plain.get("global"),
            local_until=plain.get("local_until"),
            everywhere_until=plain.get("global_until"),
        )

    def leave(self) -> None:
        """Release this host's id."""
        self._call("POST", "/v1/leave", {})

    def status(self) -> protocol.JSON:
        """Ask for everything a person wants to know."""
        return self._json("GET", "/v1/status")

    def metrics(self) -> bytes:
        """Ask for the same in Prometheus' text format."""
        return self._call("GET", "/metrics")

    def _json(
        self, method: str, path: str, body: Any = None, timeout_s: Optional[float] = None
    ) -> protocol.JSON:
        data = self._call(method, path, body, timeout_s)
        try:
            plain = json.loads(data)
        except ValueError as error:
            msg = f"the broker's answer to {method} {path} is no JSON"
            raise BrokerError(msg) from error
        if not isinstance(plain, dict):
            msg = f"the broker's answer to {method} {path} is no JSON object"
            raise BrokerError(msg)
        return plain

    def _call(
        self, method: str, path: str, body: Any = None, timeout_s: Optional[float] = None
    ) -> bytes:
        headers = {"Content-Type": "application/octet-stream"}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection = _UnixConnection(self._path, timeout_s or self._timeout_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except PermissionError as error:
            msg = f"{_not_allowed(self._path)} ({self._path}: permission denied)"
            raise BrokerError(msg) from error
        except (OSError, http.client.HTTPException) as error:
            msg = f"the broker at {self._path} does not answer: {_reason(error)}"
            raise BrokerError(msg) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise _refusal(answer.status, data)
        return data


def _not_allowed(path: str) -> str:
    """Return what to do about a socket that this user may not use."""
    # Without a right to look into the folder, the socket itself can't be seen.
    for place in (Path(path), Path(path).parent):
        try:
            group = grp.getgrgid(place.stat().st_gid).gr_name
        except (OSError, KeyError):
            continue
        return (
            f"you are not in the group {group}, which may use the broker's socket: add yourself"
            f" (usermod -aG {group} USER) and log in again, or ask as root"
        )
    return "you may not use the broker's socket: join the configuration's group, or ask as root"


def _reason(error: Exception) -> str:
    """Return an error in words, without its number."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _refusal(status: int, data: bytes) -> HeFsmError:
    try:
        sentence = str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"the broker refused with status {status}"
    if status == http.client.SERVICE_UNAVAILABLE:
        return StorageError(sentence)
    if status == http.client.CONFLICT:
        return LockspaceError(sentence)
    if status < http.client.INTERNAL_SERVER_ERROR:
        return RefusedRequestError(sentence)
    return BrokerError(sentence)
