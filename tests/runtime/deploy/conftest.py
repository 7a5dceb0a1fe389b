"""A machine with an empty directory, for the tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.deploy.deploying import DeploySite


@pytest.fixture
def site() -> Iterator[DeploySite]:
    # The paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        site = DeploySite(Path(folder))
        yield site
        site.tear_down()
