"""Two hosts where a holder keeps the lease, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.hypervisors.libvirt.holder.holder_hosts import HolderHosts, HolderLab
from tests.runtime.hypervisors.libvirt.libvirt_hosts import set_up


@pytest.fixture(scope="module")
def lab() -> Iterator[HolderLab]:
    with set_up(HolderLab) as lab:
        yield lab


@pytest.fixture
def hosts(lab: HolderLab, tmp_path: Path) -> Iterator[HolderHosts]:
    hosts = HolderHosts(tmp_path, lab)
    yield hosts
    hosts.tear_down()
