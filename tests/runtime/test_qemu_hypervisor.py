from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.hypervisor_contract import HypervisorContract
from tests.runtime.qemu_hosts import Prepared, QemuHosts, prepare, short_folder

pytestmark = [pytest.mark.qemu, pytest.mark.processes]


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


class TestQemu(HypervisorContract):
    """The QEMU hypervisor keeps the contract."""
