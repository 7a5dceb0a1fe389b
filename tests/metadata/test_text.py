from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata import EngineStatus, HostRecord, human_text, utc_text
from he_fsm.metadata.text import told_utc_s

RECORD = HostRecord(
    host_id=3,
    timestamp=7200,
    score=2400,
    engine=EngineStatus("up", "good", "Up"),
    hostname="node3.example.com",
)


def test_the_lines_of_ovirts_agents_come_first_in_their_order() -> None:
    extra = {"bridge": "True", "stopped": "False", "state": "EngineUp", "maintenance": "False"}
    keys = [line.partition("=")[0] for line in human_text(RECORD, extra, 0.0).splitlines()]
    assert keys[7:] == ["maintenance", "state", "stopped", "bridge"]


def test_the_lines_are_in_ovirts_order() -> None:
    text = human_text(RECORD, {"state": "EngineUp", "maintenance": "False"}, 1378503162.9)
    assert text.splitlines() == [
        "metadata_parse_version=1",
        "metadata_feature_version=1",
        "timestamp=7200 (Fri Sep  6 23:32:42 2013)",
        "host-id=3",
        "score=2400",
        "vm_conf_refresh_time=0 (Fri Sep  6 21:32:42 2013)",
        "conf_on_shared_storage=True",
        "maintenance=False",
        "state=EngineUp",
    ]
    assert text.endswith("\n")


@given(moment=st.floats(-62135596800, 253402300799), offset=st.floats(-1e6, 1e6))
def test_times_are_those_of_c(moment: float, offset: float) -> None:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    try:
        expected = (epoch + dt.timedelta(seconds=(moment + offset) // 1)).ctime()
    except OverflowError:
        expected = "unknown"
    assert utc_text(moment, offset) == expected


@pytest.mark.parametrize(
    "moment", [10**400, -(10**400), 10**15, -(10**15), float("inf"), float("-inf"), float("nan")]
)
def test_a_time_that_no_calendar_has_is_unknown(moment: float) -> None:
    assert utc_text(moment, 0.5) == "unknown"


def test_a_text_of_an_absurd_record_is_written_all_the_same() -> None:
    record = HostRecord(
        host_id=1,
        timestamp=10**400,
        score=0,
        engine=EngineStatus("unknown", "unknown", "unknown"),
        hostname="",
    )
    assert "(unknown)" in human_text(record, {}, 0.0)


@given(moment=st.integers(-62135596800 + 7200, 253402300799))
def test_the_moment_of_writing_is_read_back(moment: int) -> None:
    assert told_utc_s(human_text(RECORD, {}, moment - RECORD.timestamp)) == moment


@pytest.mark.parametrize(
    "line",
    [
        "timestamp=7200 (unknown)",
        "timestamp=7200 (Fri Sep 31 23:32:42 2013)",
        "timestamp=7200 (Fri Sap  6 23:32:42 2013)",
        "timestamp=7200",
        "",
    ],
)
def test_a_text_without_such_a_moment_tells_none(line: str) -> None:
    assert told_utc_s(f"metadata_parse_version=1\n{line}\nhost-id=3\n") is None
