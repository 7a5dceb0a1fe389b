"""Two hosts that can have the tiny guest as their VM, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.hypervisors.qemu.qemu_hosts import Prepared, QemuHosts, prepare, short_folder


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    with short_folder() as folder:
        yield prepare(folder)


@pytest.fixture
def hosts(prepared: Prepared) -> Iterator[QemuHosts]:
    with short_folder() as folder:
        hosts = QemuHosts(folder, prepared)
        yield hosts
        hosts.tear_down()
