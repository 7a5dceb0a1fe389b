"""
oVirt's own code at the other end: vdsm's client, and vdsm's server with the verbs of a test.

vdsm is on no package index, so `make interop VDSM=DIR` alone has it, and these tests.
"""

from __future__ import annotations

import importlib
import os
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from he_fsm.lab.vdsm.faults import Faults
from he_fsm.lab.vdsm.verbs import Verbs
from he_fsm.runtime.vdsm.interface import Json, VdsmError
from he_fsm.runtime.vdsm.tls import Certificates

# The folder that tools/interop made; empty: it does not run.
MADE = os.environ.get("HE_FSM_INTEROP", "")


def library(name: str = "vdsm.client") -> Any:
    """Return a module of vdsm's."""
    return importlib.import_module(name)


def install(certificates: Certificates) -> None:
    """Put certificates where vdsm's code looks for them."""
    folder = Path(MADE) / "etc" / "pki" / "vdsm"
    for source, target in (
        (certificates.key, folder / "keys" / "vdsmkey.pem"),
        (certificates.certificate, folder / "certs" / "vdsmcert.pem"),
        (certificates.ca, folder / "certs" / "cacert.pem"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


class Bridge:
    """What vdsm's server asks for a verb; stands in place of all of vdsm behind its wire."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._errors = library("yajsonrpc.exception")

    def dispatch(self, method: str) -> Callable[..., Json]:
        def verb(*by_position: Json, **params: Json) -> Json:
            assert not by_position
            try:
                return self._verbs.call(method, params)
            except VdsmError as error:
                raise self._errors.JsonRpcServerError(error.code, error.text) from error

        return verb

    def register_server_address(self, address: str) -> None:
        """Nothing here asks for it."""

    def unregister_server_address(self) -> None:
        """Nothing here asks for it."""


class OriginalServer:
    """vdsm's own server, with the face of the lab's."""

    def __init__(self, verbs: Verbs, *, certificates: Optional[Certificates] = None) -> None:
        self.faults = Faults()
        self._verbs = verbs
        self._certificates = certificates

    @property
    def ready(self) -> bool:
        """What vdsm asks before each call: whether its VMs are recovered."""
        return not self.faults.is_recovering

    def start(self) -> None:
        server, asyncore = library("yajsonrpc.stompserver"), library("yajsonrpc.betterAsyncore")
        binding, clock = library("vdsm.rpc.bindingjsonrpc"), library("vdsm.common.time")
        tls = None
        if self._certificates is not None:
            install(self._certificates)
            tls = library("vdsm.sslutils").SSLContext(
                cert_file=str(self._certificates.certificate),
                key_file=str(self._certificates.key),
                ca_certs=str(self._certificates.ca),
            )
        self._reactor = asyncore.Reactor()
        self._acceptor = library("vdsm.protocoldetector").MultiProtocolAcceptor(
            self._reactor, "127.0.0.1", 0, tls
        )
        self._scheduler = library("vdsm.schedule").Scheduler("test", clock=clock.monotonic_time)
        self._scheduler.start()
        self._binding = binding.BindingJsonRpc(
            Bridge(self._verbs), defaultdict(list), 60, self._scheduler, self
        )
        self._binding.start()
        self._acceptor.add_detector(server.StompDetector(self._binding))
        threading.Thread(target=self._reactor.process_requests, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._acceptor._port)

    def emit(self, event: str, params: Mapping[str, Json]) -> None:
        schema = library("vdsm.api.vdsmapi").Schema.vdsm_events(strict_mode=False)
        wire = self._binding.reactor.server
        notification = library("yajsonrpc").Notification(
            event, lambda message: wire.send(message, "jms.queue.events"), schema
        )
        notification.emit(dict(params))

    def close(self) -> None:
        self._acceptor.stop()
        self._binding.stop()
        self._scheduler.stop(wait=False)
        self._reactor.stop()
