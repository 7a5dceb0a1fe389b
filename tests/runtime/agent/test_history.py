"""An agent's ring: over restarts and a kill, and with nothing that the loop waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.history.book import Recorded, read
from he_fsm.runtime.history.ring import ring_parts
from he_fsm.testing.waiting import until
from tests.history.recordings import decided_today
from tests.runtime.cluster import AGENT, BROKER, Cluster, ClusterHost


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHost]:
    cluster = Cluster(tmp_path_factory.mktemp("history"), (1,))
    try:
        yield cluster.hosts[1]
    finally:
        cluster.tear_down()


def kept(host: ClusterHost) -> list[Recorded]:
    data = b"".join(data for _, data in ring_parts(host.state_dir / "history"))
    return [each for each in read(data, decided_today) if isinstance(each, Recorded)]


def test_the_ring_goes_on_over_restarts_and_a_kill_and_today_decides_the_same(
    host: ClusterHost,
) -> None:
    host.start()
    until(lambda: host.state == "EngineUp", within_s=40.0)
    host.kill(AGENT)
    before = kept(host)
    assert [each.number for each in before] == list(range(1, len(before) + 1))
    host.start(AGENT)
    until(lambda: kept(host)[-1].number > len(before) + 3, within_s=40.0)
    assert host.stop(AGENT) == [0]
    after = kept(host)
    assert [each.number for each in after] == list(range(1, len(after) + 1))
    assert [each.look for each in after[: len(before)]] == [each.look for each in before]
    # The new agent begins with what the last one remembered, not with its last look.
    first = after[len(before)]
    assert first.look.seen.before.state.value == "Unknown"
    assert [each.number for each in after if each.otherwise is not None] == []
    edges = [each.look.decided.edge for each in after if each.look.decided.edge]
    assert "best_host" in edges
    host.stop(BROKER)


def test_an_agent_that_can_keep_nothing_looks_after_the_engine_all_the_same(
    host: ClusterHost,
) -> None:
    (host.state_dir / "history").write_text("in the way", encoding="ascii")
    host.start()
    until(lambda: host.state == "EngineUp", within_s=40.0)
    assert host.stop(AGENT) == [0]
    said = [line for line in host.log(AGENT).splitlines() if "decisions are not kept" in line]
    assert len(said) == 1
    host.stop(BROKER)


def test_nothing_is_kept_where_the_configuration_wants_that(host: ClusterHost) -> None:
    host.configure(history={"size": 0})
    host.start()
    until(lambda: host.state is not None, within_s=20.0)
    assert host.stop(AGENT) == [0]
    assert not Path(host.state_dir / "history").exists()
    host.stop(BROKER)
