"""A host that has joined a lockspace of a real daemon, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.testing.leases import joins
from he_fsm.testing.waiting import until
from tests.runtime.leases.sanlock.sanlock_lab import Host, SanlockLab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SanlockLab]:
    lab = SanlockLab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def host(lab: SanlockLab) -> Host:
    host = lab.add(1, "host1")
    until(lambda: joins(host.client))
    return host
