"""The flag of local maintenance: its file, and its end by the wall clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from he_fsm.runtime.broker_parts import make_service
from he_fsm.runtime.config import load_config
from he_fsm.runtime.service.local_flag import LocalFlag, read_flag, write_flag
from tests.runtime.cluster import Cluster


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(is_set=st.booleans(), until=st.none() | st.integers(0, 2**40))
def test_a_flag_survives_its_file(tmp_path: Path, is_set: bool, until: Optional[int]) -> None:
    flag = LocalFlag(is_set, until if is_set else None)
    write_flag(tmp_path / "flags.json", flag)
    assert read_flag(tmp_path / "flags.json") == flag


def test_a_release_before_wrote_no_end(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"local_maintenance": true}')
    assert read_flag(path) == LocalFlag(is_set=True)


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"until": 5}', '{"local_maintenance": 1}'])
def test_a_host_with_a_damaged_file_stays_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flags.json"
    path.write_text(text)
    flag = read_flag(path)
    assert flag.is_set
    assert flag.problem


def test_an_end_that_is_no_time_is_none(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"local_maintenance": true, "until": "soon"}')
    flag = read_flag(path)
    assert (flag.is_set, flag.until) == (True, None)
    assert "'soon' is no time" in flag.problem


def test_a_flag_ends_when_the_wall_clock_says_so_and_not_before(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, speed=1.0)
    try:
        service = make_service(load_config(cluster.hosts[1].path))
        now = [1000.0]
        service._wall_clock = lambda: now[0]
        try:
            service.maintenance(local=True, until=2000)
            now[0] = 1999.9
            assert service.facts().local_maintenance
            # A clock that was set back ends nothing; the end is where it was.
            now[0] = 10.0
            assert service.facts().local_maintenance
            now[0] = 2000.0
            assert not service.facts().local_maintenance
            assert json.loads(service._flags_path.read_text()) == {"local_maintenance": False}
            # Once: a clock that was set back again brings nothing back.
            now[0] = 10.0
            assert not service.facts().local_maintenance
        finally:
            service.close()
    finally:
        cluster.tear_down()
