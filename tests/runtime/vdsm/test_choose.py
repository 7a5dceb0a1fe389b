"""Which client is used: the package's where it is there and knows the certificates."""

from __future__ import annotations

import logging
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from he_fsm.runtime.vdsm.choose import open_client
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.packaged import PackagedClient
from he_fsm.runtime.vdsm.tls import Certificates
from tests.runtime.vdsm.library import Library

NOWHERE = Address("127.0.0.1", 1, None)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("vdsm"), ModuleType("vdsm.client")
    module.__dict__.update(vars(Library()), connect=Library().connect, Error=Library.Error)
    monkeypatch.setitem(sys.modules, "vdsm", package)
    monkeypatch.setitem(sys.modules, "vdsm.client", module)


def has_vdsm(folder: str) -> bool:
    return (Path(folder) / "vdsm" / "client.py").exists()


def line(caplog: pytest.LogCaptureFixture) -> str:
    [found] = [each.message for each in caplog.records if each.name.endswith("vdsm.choose")]
    return found


def test_without_the_package_it_is_the_own_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Also where oVirt's packages are, or `make interop` has its code.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not has_vdsm(each)])
    for name in [each for each in sys.modules if each.partition(".")[0] == "vdsm"]:
        monkeypatch.delitem(sys.modules, name)
    caplog.set_level(logging.INFO)
    with closing(open_client(NOWHERE)) as client:
        assert isinstance(client, OwnClient)
    assert line(caplog).startswith(
        "vdsm at 127.0.0.1:1 (no TLS): he_fsm's own client is used (vdsm-client: No module"
    )


@pytest.mark.usefixtures("installed")
def test_the_package_is_preferred(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with closing(open_client(NOWHERE)) as client:
        assert isinstance(client, PackagedClient)
    assert line(caplog).endswith("the client of the package vdsm-client is used")


@pytest.mark.usefixtures("installed")
def test_the_package_knows_no_other_certificates(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    other = Address("127.0.0.1", 1, Certificates(ca=Path("/other/ca.pem")))
    with closing(open_client(other)) as client:
        assert isinstance(client, OwnClient)
    assert "knows no certificates but vdsm's own" in line(caplog)


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_as_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "vdsm.client", None)
    with closing(open_client(NOWHERE)) as client:
        assert isinstance(client, OwnClient)
    assert "he_fsm's own client is used (vdsm-client: " in line(caplog)
