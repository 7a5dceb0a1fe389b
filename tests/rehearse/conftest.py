"""Everything that starts a cluster is one group: two at once would make each other late."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("rehearsal"):
            item.add_marker(pytest.mark.xdist_group("rehearsal"))
