"""Host ids on the command line."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.cli.conftest import Ran


@pytest.mark.parametrize("text", ["0", "2001", "-1", "one", "1.0"])
@pytest.mark.parametrize(
    "words",
    [("move", "--to"), ("why", "--"), ("replay", ".", "--host")],
    ids=lambda words: words[0],
)
def test_what_is_no_host_id_is_refused_with_what_is(
    run: Callable[..., Ran], words: tuple[str, ...], text: str
) -> None:
    ran = run(*words, text)
    assert ran.status == 2
    assert f"expected a host id from 1 to 2000, got '{text}'" in ran.err
