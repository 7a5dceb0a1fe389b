"""A domain whose sanlock daemon is gone ends, though libvirt goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import (
    NEEDS_LIBVIRT,
    LibvirtHosts,
    LibvirtLab,
)
from tests.runtime.hypervisors.libvirt.test_kind import config_of

pytestmark = NEEDS_LIBVIRT

# A process has one sanlock daemon for ever: the guard is another one, as an agent is.
GUARD = """
import sys
from pathlib import Path
from he_fsm.runtime import parts
from he_fsm.runtime.config import load_config
guard = parts.make_guard(load_config(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.read()
guard.close()
"""

GUARD_S = 3.0


@contextmanager
def guarded(hosts: LibvirtHosts, folder: Path) -> Iterator[None]:
    """Guard the lease of host 1, with the record that its adapter keeps."""
    with running(GUARD, str(config_of(hosts, folder, hosts.run_dir(1)))):
        yield


@contextmanager
def running(script: str, *words: str) -> Iterator[None]:
    """Run a guard, which says when it is ready."""
    guard = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with guard:
        assert guard.stdout is not None
        assert guard.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            guard.kill()


def test_a_domain_ends_with_its_sanlock_daemon(
    hosts: LibvirtHosts, lab: LibvirtLab, tmp_path: Path
) -> None:
    hosts.start(1)
    daemon = lab.sanlock.at(1).daemon
    with guarded(hosts, tmp_path):
        daemon.kill()
        until(lambda: hosts.access(1).identity() is None)
    hosts.reaches(1, VmState.ABSENT)
    # The host joins again, by the same name, now that the domain has gone.
    lab.sanlock.start(daemon.run_dir, daemon.name)
    until(lambda: lab.joins(1))
    hosts.start(1)


def test_a_paused_domain_is_left_alone(hosts: LibvirtHosts, tmp_path: Path) -> None:
    """It has no lease, and needs none before it executes."""
    hosts.start(1)
    hosts.pause(1)
    hosts.reaches(1, VmState.PAUSED)
    pid = hosts.pid(1)
    with guarded(hosts, tmp_path):
        # The guard asks sanlock once for the domain's lease, within its first seconds.
        assert not hosts.wake_event(1).wait(GUARD_S)
        hosts.resume(1)
        until(lambda: hosts.is_good_on(1))
    assert hosts.pid(1) == pid
