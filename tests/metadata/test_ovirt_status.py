"""The cluster as `hosted-engine --vm-status` prints it, held against what oVirt's code prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import Whiteboard
from he_fsm.metadata.ovirt_status import hosts_of, status_json, status_text

GOLDEN = Path(__file__).parent / "golden"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "vm-status.json").read_text())["cases"]
# oVirt's command ends with a traceback there.
FAILS = {"too-new", "format-2013"}


def board(name: str) -> bytes:
    return (GOLDEN / f"{name}.metadata").read_bytes()


def is_global(name: str) -> bool:
    return Whiteboard.parse(board(name)).global_block.maintenance is True


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["text"]["exit_code"] == 0],
    ids=lambda c: c["whiteboard"],
)
def test_the_text_is_ovirts(case: dict[str, Any]) -> None:
    name = case["whiteboard"]
    hosts = hosts_of(board(name), case["alive"])
    assert status_text(hosts, is_global=is_global(name)) == case["text"]["stdout"]


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["json"]["exit_code"] == 0],
    ids=lambda c: c["whiteboard"],
)
def test_the_json_is_ovirts(case: dict[str, Any]) -> None:
    name = case["whiteboard"]
    hosts = hosts_of(board(name), case["alive"])
    assert status_json(hosts, is_global=is_global(name)) + "\n" == case["json"]["stdout"]


@pytest.mark.parametrize("name", sorted(FAILS))
def test_where_ovirts_command_fails_the_readable_hosts_are_printed(name: str) -> None:
    [case] = [case for case in CASES if case["whiteboard"] == name]
    assert case["json"]["exit_code"] == 1
    found = json.loads(status_json(hosts_of(board(name), [1]), is_global=False))
    assert found.pop("global_maintenance") is False
    assert {host["engine-status"]["health"] for host in found.values()} <= {"good", "bad"}
    assert found["1"]["live-data"] is True


@given(st.binary(max_size=3 * 4096), st.sets(st.integers(0, 5)))
def test_no_bytes_can_make_it_fail(data: bytes, alive: set[int]) -> None:
    hosts = hosts_of(data, alive)
    status_text(hosts, is_global=False)
    assert "global_maintenance" in json.loads(status_json(hosts, is_global=True))
