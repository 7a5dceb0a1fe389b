"""A deployment on real sanlock daemons and QEMU VMs: from an empty directory to a failover."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from he_fsm.lab.guest.build import HEALTH_PAGE, build, double_on, make_disk, wrote_to
from he_fsm.lab.guest.kernel import find_kernel
from he_fsm.lab.sanlock_process import SanlockProcess
from he_fsm.testing.vm_hosts import free_port
from he_fsm.testing.waiting import until
from tests.cli.conftest import command_line, environment
from tests.lab.guest import skipped_without_packages
from tests.runtime.cluster import merged, policy_at
from tests.runtime.deploy.deploying import DeployedHost, DeploySite
from tests.runtime.deploy.test_edges import loop_device
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.leases.sanlock.sanlock_lab import IO_TIMEOUT, NEEDS_SANLOCK, SPEED

pytestmark = [
    *NEEDS_SANLOCK,
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="names the engine in /etc/hosts of its own"),
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in ("qemu-system-x86_64", "qemu-img", "unshare")),
        reason="needs QEMU, qemu-img and unshare",
    ),
]
ROOT_PASSWORD = "root-Geheimnis-1"  # noqa: S105 - what the test looks for
FQDN = "engine.example.com"
CONSOLE = re.compile(r'Use temporary password "(\w+)"')
# A mount namespace in which the engine has a name.
NAMED = 'mount --bind "$0" /etc/hosts && exec "$@"'


class RealSite(DeploySite):
    """The hosts have a sanlock daemon each, and the VM is a tiny guest."""

    def __init__(self, folder: Path) -> None:
        with skipped_without_packages():
            self.guest = build(folder, find_kernel())
        super().__init__(folder)
        self.console_port = self._screen()
        self.daemons: dict[str, SanlockProcess] = {}
        (folder / "hosts.file").write_text(
            f"127.0.0.1 localhost {FQDN} {socket.gethostname()}\n", encoding="ascii"
        )
        self.image = folder / "image.qcow2"
        raw = folder / "image.raw"
        make_disk(raw)
        subprocess.run(["/usr/bin/qemu-img", "convert", "-O", "qcow2", raw, self.image], check=True)
        self.secret = folder / "root.password"
        self.secret.touch(mode=0o600)
        self.secret.write_text(f"{ROOT_PASSWORD}\n", encoding="ascii")

    @staticmethod
    def _screen() -> int:
        while (port := free_port()) < 5900:
            pass
        return port

    def settings(self, folder: Path) -> dict[str, Any]:
        """Return times ten times shorter, as sanlock's clock is."""
        run_dir = folder / "sanlock"
        policy = policy_at(SPEED) | {"io_timeout_s": IO_TIMEOUT / SPEED}
        vm = {
            "kernel": str(self.guest.kernel),
            "initrd": str(self.guest.initrd),
            "append": self.guest.append,
            "accel": "tcg",
            "nics": [{"kind": "user", "forwards": [f"127.0.0.1:{self.port}:80"]}],
            "console": {"port": self.console_port},
        }
        plain = super().settings(folder)
        del plain["hypervisor"]
        return merged(
            plain,
            {
                "policy": policy,
                "storage": {"deadline": 0.8},
                "monitors": {"interval": 0.5},
                "sanlock": {"run_dir": str(run_dir), "clock_rate": SPEED},
                "hypervisor": {"vm": vm},
            },
        )

    def power_on(self, host: DeployedHost) -> None:
        """Start the host's sanlock daemon."""
        self.daemons[host.name] = SanlockProcess(host.folder / "sanlock", host.name, SPEED)

    def power_off(self, host: DeployedHost) -> None:
        """End all at once that runs on the host."""
        host.lose_power()
        self.daemons.pop(host.name).kill()

    def run(self, words: Any) -> subprocess.CompletedProcess[str]:
        """Run a command where the engine has a name."""
        return self.run_there(command_line(*words))

    def run_there(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program where the engine has a name."""
        inside = ["/usr/bin/unshare", "--mount", "sh", "-c", NAMED]
        return subprocess.run(
            [*inside, self.folder / "hosts.file", *words],
            env=environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def tear_down(self) -> None:
        """End the daemons, too; fails where two guests have executed."""
        super().tear_down()
        for daemon in self.daemons.values():
            daemon.kill()
        disk = self.shared / "engine.raw"
        if disk.exists():
            assert double_on(disk) is None


@pytest.fixture
def real() -> Iterator[RealSite]:
    with short_folder() as folder:
        site = RealSite(folder)
        yield site
        site.tear_down()


def answers(site: RealSite, host: DeployedHost) -> list[str]:
    """Return the first host's words."""
    words = ["--hypervisor", "qemu", "--storage", str(site.shared), "--hostname", host.name]
    words += ["--gateway", "127.0.0.1", "--fqdn", FQDN, "--bridge", "lo", "--yes"]
    words += ["--boot", "disk", "--image", str(site.image), "--disk-gb", "1"]
    words += ["--root-password-file", str(site.secret), "--memory-mb", "128", "--cpus", "1"]
    words += ["--peers", f"unix:{site.folder}/hosts/{{id}}/migrate.sock"]
    words += ["--health-url", f"http://127.0.0.1:{site.port}{HEALTH_PAGE}"]
    return ["deploy", *host.words(*words)]


def further(site: RealSite, host: DeployedHost) -> list[str]:
    words = ["--storage", str(site.shared), "--hostname", host.name, "--yes"]
    return ["deploy", *host.words(*words)]


class Watch(threading.Thread):
    """Looks at every command line of the machine, for words that must not be in one."""

    def __init__(self, secret: str) -> None:
        super().__init__(daemon=True)
        self.secret = secret
        self.found: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            for process in psutil.process_iter():
                try:
                    words = " ".join(process.cmdline())
                except psutil.Error:
                    continue
                if self.secret in words:
                    self.found.add(words)


def files_with(folder: Path, secret: str) -> list[str]:
    """Return the files that hold a secret."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size < 1 << 26 and secret.encode() in path.read_bytes()
    ]


def test_three_hosts_from_an_empty_directory_on_sanlock_and_qemu(real: RealSite) -> None:
    """Secrets stay secret; the VM comes up with its lease; another host takes over."""
    first, *others = hosts = [real.host(number) for number in (1, 2, 3)]
    for host in hosts:
        host.folder.mkdir()
        real.power_on(host)
    watch = Watch(ROOT_PASSWORD)
    watch.start()
    done = real.run(answers(real, first))
    watch.over.set()
    watch.join()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    password = CONSOLE.search(done.stdout)
    assert password is not None
    assert watch.found == set()
    assert files_with(real.folder, ROOT_PASSWORD) == ["root.password"]
    assert files_with(real.folder, password[1]) == []
    assert wrote_to(real.shared / "engine.raw")
    assert (real.shared / "engine.raw").stat().st_size == 1 << 30
    for path in (first.config, real.shared / "deployment", first.folder / "ovirt/answers.conf"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o007
    first.start()
    assert real.engine_is_up() is first
    for host in others:
        joined = real.run(further(real, host))
        assert (joined.returncode, joined.stderr) == (0, ""), joined.stdout
        host.start()
    until(lambda: all(host.report().get("alive") == [1, 2, 3] for host in hosts), within_s=60.0)
    real.power_off(first)
    assert real.engine_is_up() in others


def test_two_hosts_on_block_devices(real: RealSite) -> None:
    """Leases, whiteboard and list on one device, the VM on another; a host that does not fit."""
    first, second = hosts = [real.host(number) for number in (1, 2)]
    for host in hosts:
        host.folder.mkdir()
        real.power_on(host)
    with (
        loop_device(real.folder / "leases.device", 8) as leases,
        loop_device(real.folder / "vm.device", 1024) as device,
    ):
        here = ["--storage-type", "block", "--storage", leases]
        done = real.run([*answers(real, first), *here, "--vm-device", device])
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert wrote_to(Path(device))
        first.start()
        assert real.engine_is_up() is first
        _does_not_fit(real, second, here)
        joined = real.run([*further(real, second), *here])
        assert (joined.returncode, joined.stderr) == (0, ""), joined.stdout
        second.start()
        until(lambda: second.report().get("alive") == [1, 2], within_s=60.0)
        real.power_off(first)
        assert real.engine_is_up() is second
        assert double_on(Path(device)) is None
        real.power_off(second)


def _does_not_fit(real: RealSite, host: DeployedHost, here: list[str]) -> None:
    """The list says that the VM has a CPU model which no QEMU here runs."""
    refused = real.run([*further(real, host), *here, "--cpu-model", "EPYC-Genoa"])
    assert "'EPYC-Genoa' differs from 'Westmere', the answer of the first host" in refused.stderr
    code = (
        "import attrs; from he_fsm.cli.deploying import deploy as d; here = d.fitness_here;"
        " d.fitness_here = lambda **words: attrs.evolve(here(**words), cpus=('qemu64',));"
        " from he_fsm.cli.main import main; main()"
    )
    done = real.run_there([sys.executable, "-c", code, *further(real, host), *here])
    assert done.returncode == 2
    assert "can't run the VM's CPU model Westmere; all hosts can run qemu64" in done.stderr
