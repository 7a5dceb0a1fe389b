"""Two hosts with libvirt and sanlock, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.libvirt.libvirt_hosts import LibvirtHosts, LibvirtLab
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder


@pytest.fixture(scope="module")
def lab() -> Iterator[LibvirtLab]:
    with short_folder() as folder:
        lab = LibvirtLab(folder)
        try:
            lab.set_up()
            yield lab
        finally:
            lab.close()


@pytest.fixture
def hosts(lab: LibvirtLab, tmp_path: Path) -> Iterator[LibvirtHosts]:
    hosts = LibvirtHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
