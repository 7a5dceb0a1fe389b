from __future__ import annotations

import math
from pathlib import Path

import pytest

from he_fsm.errors import MonitorError
from he_fsm.runtime.monitors.files import NumberFile, parse_number
from he_fsm.runtime.monitors.mgmt_bridge import MgmtBridge, is_switched_on
from he_fsm.runtime.monitors.storage import StorageAge


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.6\n", 0.6),
        ("1", 1.0),
        ("True", 1.0),
        ("up\n", 1.0),
        ("false", 0.0),
        ("down", 0.0),
        ("unknown\n", None),
        ("1e-2", 0.01),
    ],
)
def test_a_file_holds_a_number(tmp_path: Path, text: str, number: float | None) -> None:
    (tmp_path / "it").write_text(text)
    assert NumberFile(tmp_path / "it", maximum=1.0).measure() == number


def test_several_numbers_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("12367 0.25\n")
    assert NumberFile(tmp_path / "memory", 0).measure() == 12367.0
    assert NumberFile(tmp_path / "memory", 1, 1.0).measure() == 0.25
    with pytest.raises(MonitorError, match=r"memory: number 3: one from 0 is expected, found ''"):
        NumberFile(tmp_path / "memory", 2).measure()


@pytest.mark.parametrize("text", ["", "much", "nan", "inf", "-1", "1.01", "\0" * 9000])
def test_anything_else_is_no_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "it").write_text(text)
    with pytest.raises(MonitorError, match="it: number 1: one from 0 to 1 is expected, found"):
        NumberFile(tmp_path / "it", maximum=1.0).measure()


def test_infinity_is_never_a_number() -> None:
    with pytest.raises(ValueError, match="one from 0 is expected"):
        parse_number("inf", maximum=math.inf)


def test_a_missing_file_is_unknown_and_not_bad(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="can't be read: No such file"):
        NumberFile(tmp_path / "missing").measure()


def test_the_kernels_own_interfaces_are_read() -> None:
    # The driver of the loopback does not tell its state.
    assert MgmtBridge("lo").measure() == 1.0
    assert MgmtBridge("no-such-bridge").measure() == 0.0


@pytest.mark.parametrize(
    ("state", "flags", "value"),
    [
        ("up", "0x1003", 1.0),
        ("down", "0x1003", 0.0),
        ("lowerlayerdown", "0x1003", 0.0),
        ("dormant", "0x1003", 0.0),
        ("unknown", "0x9", 1.0),
        ("unknown", "0x8", 0.0),
    ],
)
def test_a_bridge_is_up_or_down(tmp_path: Path, state: str, flags: str, value: float) -> None:
    (tmp_path / "ovirtmgmt").mkdir()
    (tmp_path / "ovirtmgmt/operstate").write_text(state + "\n")
    (tmp_path / "ovirtmgmt/flags").write_text(flags + "\n")
    assert MgmtBridge("ovirtmgmt", tmp_path).measure() == value


def test_a_bridge_that_is_not_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "ovirtmgmt").mkdir()
    with pytest.raises(MonitorError, match="operstate can't be read"):
        MgmtBridge("ovirtmgmt", tmp_path).measure()
    with pytest.raises(MonitorError, match="flags are expected, found 'off'"):
        is_switched_on("off")


def test_the_storages_age_grows_until_it_is_read_again() -> None:
    last_read: list[float] = []
    now = [100.0]
    age = StorageAge(lambda: last_read[-1] if last_read else None, lambda: now[0])
    assert age.measure() is None
    last_read.append(99.0)
    assert age.measure() == 1.0
    now[0] = 160.0
    assert age.measure() == 61.0
    last_read.append(160.0)
    assert age.measure() == 0.0
