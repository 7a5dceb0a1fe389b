"""Real sanlock keeps what every lease manager promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.testing.leases import Lab, LeaseContract
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, SanlockLab

pytestmark = NEEDS_SANLOCK


class TestSanlockLeases(LeaseContract):
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        lab = SanlockLab(tmp_path)
        yield lab
        lab.close()
