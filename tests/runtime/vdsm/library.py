"""
The interface of the module `vdsm.client` (vdsm 4.50.7), on he_fsm's own connection.

vdsm is on no package index. This stands for its client where its own code can't be had, so that
what he_fsm has around it is tested everywhere; `make interop VDSM=DIR` has the real one.
"""

from __future__ import annotations

import functools
import queue
from collections.abc import Callable, Mapping
from typing import Any

from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import Json, VdsmError, VdsmUnreachableError
from he_fsm.runtime.vdsm.session import Times
from he_fsm.runtime.vdsm.tls import Certificates

_NAMESPACES = ("Host", "VM", "Image", "Volume", "StorageDomain", "StoragePool", "Task", "Lease")


class Error(Exception):
    """The library's errors have what was called, with its parameters, in their texts."""

    def __init__(self, cmd: str, params: Mapping[str, Json]) -> None:
        super().__init__(f"{cmd} {params}")


class ConnectionError(Error):  # noqa: A001 - its name
    def __init__(self, reason: object) -> None:
        super().__init__("", {})
        self.reason = reason


class TimeoutError(Error):  # noqa: A001 - its name
    pass


class ServerError(Error):
    def __init__(self, cmd: str, params: Mapping[str, Json], code: int, text: str) -> None:
        super().__init__(cmd, params)
        self.code = code
        self.resp_msg = text


class Library:
    """Stands in place of the module; *certificates* are those that vdsm's code would find."""

    ConnectionError = ConnectionError
    TimeoutError = TimeoutError
    ServerError = ServerError
    Error = Error

    def __init__(self, certificates: Certificates | None = None) -> None:
        self._certificates = certificates

    def connect(self, host: str, port: int, *, use_tls: bool, **_: object) -> Client:
        client = Client(Address(host, port, self._certificates if use_tls else None))
        try:
            client.own._ask("Host.ping2", {}, 1)
        except VdsmUnreachableError as error:
            client.close()
            raise ConnectionError(error) from error
        except VdsmError:
            pass
        return client


class Client:
    """It does not connect again, and tells nobody that its connection has ended."""

    def __init__(self, address: Address) -> None:
        self._queues: list[Any] = []
        self._is_lost = False
        self.own = OwnClient(address, self, times=Times(again_s=3600, again_max_s=3600))

    def __getattr__(self, name: str) -> Namespace:
        if name not in _NAMESPACES:
            raise AttributeError(name)
        return Namespace(name, self._call)

    def _call(self, cmd: str, *, _timeout: float, **params: Json) -> Json:
        try:
            if not self._is_lost:
                return self.own._ask(cmd, params, _timeout)
        except VdsmError as error:
            raise ServerError(cmd, params, error.code, error.text) from error
        except VdsmUnreachableError:
            pass
        raise TimeoutError(cmd, params)

    def subscribe(self, _queue: str, events: queue.SimpleQueue[Any]) -> None:
        self._queues.append(events)

    def close(self) -> None:
        self.own.close()
        for each in self._queues:
            each.put(None)

    # As its own client's listener.

    def event(self, name: str, params: Mapping[str, Json]) -> None:
        for each in self._queues:
            each.put((name, params))

    def events_lost(self, why: str) -> None:
        self._is_lost = "lost" in why


class Namespace:
    def __init__(self, name: str, call: Callable[..., Json]) -> None:
        self._name = name
        self._call = call

    def __getattr__(self, verb: str) -> Callable[..., Json]:
        return functools.partial(self._call, f"{self._name}.{verb}")
