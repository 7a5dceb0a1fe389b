"""Two hosts where a holder keeps the lease, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.libvirt.holder.holder_hosts import HolderHosts, HolderLab
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder


@pytest.fixture(scope="module")
def lab() -> Iterator[HolderLab]:
    with short_folder() as folder:
        lab = HolderLab(folder)
        try:
            lab.set_up()
            yield lab
        finally:
            lab.close()


@pytest.fixture
def hosts(lab: HolderLab, tmp_path: Path) -> Iterator[HolderHosts]:
    hosts = HolderHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
