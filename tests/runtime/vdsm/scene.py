"""A vdsm of the lab with verbs that do as they are told, and who listens to its events."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import attrs
import trustme

from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import NO_SUCH_METHOD, Json, Listener, VdsmError
from he_fsm.runtime.vdsm.session import Times
from he_fsm.runtime.vdsm.tls import Certificates

# A test waits for nothing that is longer.
QUICK = Times(wanted_s=1.0, again_s=0.05, again_max_s=0.2)
VM_ID = "5a5c0b0e-5a7d-4a0e-9d5b-0d2f5ad9ad4b"
VM_STATUS = f"|virt|VM_status|{VM_ID}"


class Verbs:
    """`Host.ping2`, and whatever else a test adds; notes who called what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Json]]] = []
        self.verbs: dict[str, Callable[[Mapping[str, Json]], Json]] = {
            "Host.ping2": lambda _: None,
            "Host.echo": dict,
        }

    def call(self, method: str, params: Mapping[str, Json]) -> Json:
        self.calls.append((method, params))
        verb = self.verbs.get(method)
        if verb is None:
            raise VdsmError(NO_SUCH_METHOD, "The method does not exist or is not available")
        return verb(params)


@attrs.define
class Heard:
    """A listener that notes what it is told."""

    events: list[tuple[str, Mapping[str, Json]]] = attrs.field(factory=list)
    losses: list[str] = attrs.field(factory=list)

    def event(self, name: str, params: Mapping[str, Json]) -> None:
        self.events.append((name, params))

    def events_lost(self, why: str) -> None:
        self.losses.append(why)


@contextmanager
def served(verbs: Optional[Verbs] = None, **options: Any) -> Iterator[VdsmServer]:
    server = VdsmServer(verbs or Verbs(), **options)
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def connected(
    server: VdsmServer,
    listener: Optional[Listener] = None,
    *,
    certificates: Optional[Certificates] = None,
    times: Times = QUICK,
) -> Iterator[OwnClient]:
    place = Address("127.0.0.1", server.port, certificates)
    client = OwnClient(place, listener, times=times)
    try:
        yield client
    finally:
        client.close()


def made_certificates(folder: Path, ca: Optional[trustme.CA] = None) -> Certificates:
    """Return a host's files of a CA, as oVirt's Engine makes them: its name, and nobody else's."""
    authority = ca or trustme.CA()
    host = authority.issue_cert("host1.example.org")
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "key.pem", folder / "certificate.pem", folder / "ca.pem")
    host.private_key_pem.write_to_path(str(made.key))
    made.certificate.write_bytes(b"".join(each.bytes() for each in host.cert_chain_pems))
    authority.cert_pem.write_to_path(str(made.ca))
    return made


def thread_names() -> Counter[str]:
    return Counter(each.name for each in threading.enumerate())


def no_more_threads_than(before: Counter[str]) -> bool:
    """Whether each thread was there before; those of earlier tests may end meanwhile."""
    return not thread_names() - before
