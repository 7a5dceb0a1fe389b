"""The network loses packets, and closes nothing: client and server in two network namespaces."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from he_fsm.lab import netns
from he_fsm.lab.network import LabNetwork
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.interface import VdsmSilentError, VdsmUnreachableError
from he_fsm.runtime.vdsm.session import Times
from he_fsm.testing.waiting import until
from tests.runtime.vdsm.scene import VM_ID, VM_STATUS, Heard, Verbs

WHY_NOT = netns.why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")

# The address of the first host of a lab.
SERVER = "10.99.1.1"
TIMES = Times(
    connect_s=0.5,
    send_every_s=0.3,
    promised_s=2.0,
    wanted_s=1.0,
    silent_after_s=3.0,
    again_s=0.1,
    again_max_s=0.2,
)


@pytest.fixture
def network() -> Iterator[LabNetwork]:
    network = LabNetwork(["server", "client"])
    try:
        network.set_up()
        yield network
    finally:
        network.remove()


@pytest.fixture
def verbs() -> Verbs:
    return Verbs()


@pytest.fixture
def server(network: LabNetwork, verbs: Verbs) -> Iterator[VdsmServer]:
    server = VdsmServer(verbs, host=SERVER, port=54321)
    with netns.inside(network.namespace("server")):
        server.start()
    yield server
    server.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def client(network: LabNetwork, server: VdsmServer, heard: Heard) -> Iterator[OwnClient]:
    with netns.inside(network.namespace("client")):
        client = OwnClient(Address(SERVER, server.port, None), heard, times=TIMES)
    until(lambda: heard.losses)
    yield client
    client.close()


def test_a_call_into_the_void_ends_at_its_deadline_and_is_not_repeated(
    network: LabNetwork, client: OwnClient, verbs: Verbs
) -> None:
    assert client.call("Host.ping2") is True
    network.set_link("server", is_up=False)
    began_at = time.monotonic()
    with pytest.raises(VdsmSilentError):
        client.call("VM.create", timeout_s=0.5)
    assert time.monotonic() - began_at < 1.5
    network.set_link("server", is_up=True)
    until(lambda: answers(client))
    # The network may have delivered it late, and at most once.
    assert [method for method, _ in verbs.calls].count("VM.create") <= 1


def answers(client: OwnClient) -> bool:
    try:
        return client.call("Host.ping2", timeout_s=0.5) is True
    except VdsmUnreachableError:
        return False


def test_both_sides_notice_the_silence_and_the_client_comes_back(
    network: LabNetwork,
    client: OwnClient,
    server: VdsmServer,
    heard: Heard,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    network.set_link("client", is_up=False)
    until(lambda: len(heard.losses) == 2)
    until(lambda: server.connection_count == 0)
    # Meanwhile a call fails as soon as it is known that there is no connection.
    with pytest.raises(VdsmUnreachableError):
        client.call("Host.ping2")
    network.set_link("client", is_up=True)
    until(lambda: answers(client))
    server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
    until(lambda: heard.events)
    assert "nothing came for 3 s" in heard.losses[1]
    lines = [each.message for each in caplog.records if each.name.endswith("vdsm.client")]
    assert len(lines) == 2


def test_a_short_loss_of_packets_loses_nothing(
    network: LabNetwork, client: OwnClient, server: VdsmServer, heard: Heard
) -> None:
    assert client.call("Host.ping2") is True
    network.set_link("client", is_up=False)
    server.emit(VM_STATUS, {VM_ID: {"status": "Up"}})
    network.set_link("client", is_up=True)
    until(lambda: heard.events)
    assert heard.losses == ["the connection is new"]
