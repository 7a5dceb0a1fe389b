"""Three hosts that live, and a command that is asked about them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from he_fsm.testing.waiting import until
from tests.runtime.cluster import Cluster

_CODE = "from he_fsm.cli.main import main; main()"


def living(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster; the first host, which is the best one, runs the engine."""
    cluster = Cluster(folder, (1, 2, 3))
    cluster.hosts[2].measure(cpu="0.3")
    cluster.hosts[3].measure(cpu="0.9")
    try:
        cluster.hosts[1].start()
        until(lambda: cluster.engines() == [1], within_s=40.0)
        for host_id in (2, 3):
            cluster.hosts[host_id].start()
        until(lambda: cluster.hosts[1].report().get("alive") == [1, 2, 3], within_s=40.0)
        until(lambda: cluster.hosts[3].state == "EngineDown", within_s=40.0)
        yield cluster
    finally:
        cluster.tear_down()


def ask(cluster: Cluster, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `he-fsm` on the first host."""
    return subprocess.run(
        [sys.executable, "-c", _CODE, command, "--config", str(cluster.hosts[1].path), *words],
        capture_output=True,
        text=True,
        check=False,
    )
