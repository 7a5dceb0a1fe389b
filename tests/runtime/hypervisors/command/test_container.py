"""A container of podman as the program: it is below the warden, and ends with the lease."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.command.command_hosts import CommandHosts
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder

_STARTS_S = 60.0
# Where a machine has control groups of both versions, crun 1.8 refuses; a mount of its own helps.
_V2_ALONE = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}: package {name.replace('busybox', 'busybox-static')}")
    return found


class ContainerHosts(CommandHosts):
    """Some hosts whose program is `podman run`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rootfs = folder / "rootfs"
        for name in ("bin", "www"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy(tool("busybox"), self.rootfs / "bin" / "busybox")
        for name in ("httpd", "sleep"):
            (self.rootfs / "bin" / name).symlink_to("busybox")
        (self.rootfs / "www" / "index.html").write_text("well\n")
        for host_id in self.ids:
            self.says(host_id, run=self.podman(host_id, *self.container()), stop=self.stop(host_id))

    def podman(self, host_id: int, *words: str) -> list[str]:
        """Return a command of the host's own podman."""
        storage = self.folder / f"podman{host_id}"
        own = [
            *(tool("podman"), "--root", str(storage / "root"), "--runroot", str(storage / "run")),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "none", *words),
        ]
        if Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return own
        return [tool("unshare"), "--mount", "sh", "-c", _V2_ALONE, "sh", *own]

    def container(self) -> list[str]:
        limits = [*("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")]
        return [
            *("run", "--rm", "--replace", "--name", "web", "--network", "host"),
            *("--cgroups", "disabled", "--security-opt", "seccomp=unconfined", *limits),
            *("--rootfs", str(self.rootfs)),
            *("/bin/httpd", "-f", "-p", f"127.0.0.1:{self.port}", "-h", "/www"),
        ]

    def stop(self, host_id: int) -> list[str]:
        return self.podman(host_id, "stop", "--time", "1", "web")

    def inside(self) -> list[int]:
        """Return the first processes of containers, wherever their parents are."""
        found = {}
        for process in psutil.process_iter():
            try:
                words, parent = process.cmdline(), process.ppid()
            except psutil.NoSuchProcess:
                continue
            if words[:1] == ["/bin/httpd"] and f"127.0.0.1:{self.port}" in words:
                found[process.pid] = parent
        # The server has a child for each page that somebody asks for.
        return [pid for pid, parent in found.items() if parent not in found]


@pytest.fixture
def hosts() -> Iterator[ContainerHosts]:
    tool("podman")
    if os.geteuid() != 0:
        pytest.skip("only root can mount control groups for podman")
    # podman's own folder has a path of 50 bytes at most.
    with short_folder() as folder:
        yield from usable(folder)


def usable(folder: Path) -> Iterator[ContainerHosts]:
    hosts = ContainerHosts(folder)
    done = subprocess.run(
        hosts.podman(1, *hosts.container()[:-6], "/bin/sleep", "0"),
        capture_output=True,
        text=True,
        timeout=_STARTS_S,
        check=False,
    )
    if done.returncode:
        hosts.tear_down()
        pytest.skip(f"podman can't run a container here: {done.stderr.strip()[-200:]}")
    yield hosts
    hosts.tear_down()
    # A container whose host was taken down without it still runs.
    for pid in hosts.inside():
        os.kill(pid, signal.SIGKILL)


def test_a_container_ends_with_the_lease_whoever_is_killed(hosts: ContainerHosts) -> None:
    for kill in (hosts.pid, hosts.inner):
        hosts.start(1)
        assert len(hosts.inside()) == 1
        os.kill(kill(1), signal.SIGKILL)
        until(lambda: hosts.owner() is None)
        assert hosts.inside() == []
        hosts.reaches(1, VmState.ABSENT)
    # conmon, whose container it was, is gone with it, and its name is free again.
    hosts.start(2)


def test_a_container_is_stopped_by_its_own_command(hosts: ContainerHosts) -> None:
    hosts.start(1)
    hosts.hypervisor(1).shut_down()
    hosts.reaches(1, VmState.ABSENT)
    assert hosts.told[1] == []
    assert hosts.inside() == []
    hosts.start(1)
