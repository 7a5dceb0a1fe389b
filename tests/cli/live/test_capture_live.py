"""`he-fsm capture` on a live cluster, and what is decided anew from it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.history.book import Recorded, outcome_text, read
from he_fsm.metadata import Whiteboard
from he_fsm.testing.waiting import until
from tests.cli.live.live_cluster import ask
from tests.history.recordings import decided_today
from tests.runtime.cluster import Cluster


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("capture"), (1,))
    try:
        cluster.start()
        until(lambda: cluster.engines() == [1], within_s=40.0)
        yield cluster
    finally:
        cluster.tear_down()


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {member.name.partition("/")[2]: tar.extractfile(member) for member in tar}
        return {name: b"" if file is None else file.read() for name, file in found.items()}


def test_all_that_a_living_host_has_is_taken_and_today_decides_the_same_byte_for_byte(
    cluster: Cluster, tmp_path: Path
) -> None:
    out = tmp_path / "host1.tar.gz"
    done = ask(cluster, "capture", "-o", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    files = members(out)
    assert json.loads(files["manifest.json"])["missing"] == {}
    assert sorted(Whiteboard.parse(files["whiteboard"]).records) == [1]
    assert json.loads(files["status.json"])["host_id"] == 1
    assert json.loads(files["doctor.json"])["checks"]
    # Its daemons write to files, which nobody has named.
    assert b"host 1 looks every" in files["log/1-agent.log"]
    ring = b"".join(data for name, data in sorted(files.items()) if name.endswith(".ring"))
    looks = [each for each in read(ring) if isinstance(each, Recorded)]
    last = None
    for each in looks:
        seen = each.look.seen
        today = outcome_text(last, seen.before, decided_today(each.session, seen))
        assert today == outcome_text(last, seen.before, each.look.decided), each.number
        last = each.look
    edges = [each.look.decided.edge for each in looks if each.look.decided.edge]
    assert edges[-2:] == ["best_host", "health_good"]
