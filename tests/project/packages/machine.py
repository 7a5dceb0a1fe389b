"""
A Debian in a folder, which boots: its own systemd, processes, network and control groups.

Nothing of it reaches this machine: /proc/sys and /sys can only be read there, and its devices are
those that every program has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

import psutil

from he_fsm.testing.waiting import until

# What is unpacked with the system: a real one has all of it.
BASE = "ca-certificates,python3,systemd,systemd-sysv,dbus,passwd"
_BOOT = """
set -eu
if [ -n "$GROUP" ]; then echo $$ > "$GROUP/cgroup.procs"; fi
exec unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child --propagation private \
    sh -euc '
        mount --bind "$ROOT" "$ROOT"
        cd "$ROOT"
        mount -t proc proc proc
        mount --bind -o ro proc/sys proc/sys
        mount -o remount,bind,ro proc/sys
        mount -t tmpfs -o mode=755 tmpfs dev
        for each in null zero full random urandom tty; do
            touch "dev/$each" && mount --bind "/dev/$each" "dev/$each"
        done
        mkdir dev/pts dev/shm && mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
        ln -s pts/ptmx dev/ptmx
        ln -s /proc/self/fd dev/fd
        mount -t tmpfs -o mode=1777 tmpfs dev/shm
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t sysfs -o ro sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        exec chroot . /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            /lib/systemd/systemd --system --unit=multi-user.target
    '
"""


def mirror() -> Optional[str]:
    """Return the Debian mirror that this machine's packages come from."""
    found = subprocess.run(
        [
            *(str(shutil.which("apt-get")), "indextargets", "--format"),
            *("$(ORIGIN) $(SITE) $(REPO_URI)", "Created-By: Packages"),
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    usable = [line.split()[-1] for line in found if line.startswith("Debian ")]
    return next((each.rstrip("/") for each in usable if "security" not in each), None)


def why_not() -> str:
    """Return what is missing here; empty: nothing."""
    if os.geteuid() != 0:
        return "a Debian is unpacked and booted by root alone"
    for program, package in (
        ("debootstrap", "debootstrap"),
        ("dh_builddeb", "debhelper"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"{program} is missing: install the package {package}"
    if shutil.which("apt-get") is None or mirror() is None:
        return "no Debian mirror is among the sources of apt"
    return "" if _control_groups() is not None else "there are no control groups of version 2"


def _control_groups() -> Optional[Path]:
    for each in psutil.disk_partitions(all=True):
        if each.fstype == "cgroup2" and "rw" in each.opts.split(","):
            return Path(each.mountpoint)
    return None


class Machine:
    """A folder with a Debian, and what is done in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._init: Optional[psutil.Process] = None

    def unpack(self, suite: str, packages: tuple[str, ...]) -> None:
        """Unpack the system, and what packages under test will ask for."""
        log = self.root.with_suffix(".log")
        with log.open("wb") as file:
            words = ["--variant=minbase", f"--include={BASE}", suite, str(self.root), mirror()]
            done = subprocess.run(
                [str(shutil.which("debootstrap")), *map(str, words)],
                stdout=file,
                stderr=file,
                check=False,
            )
        assert done.returncode == 0, log.read_text()[-2000:]
        self.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)

    def run(self, *words: str, status: int = 0) -> str:
        """Run something there, within what has booted if it has; return what it printed."""
        inside = [str(shutil.which("chroot")), str(self.root)]
        if self._init is not None:
            inside = [str(shutil.which("nsenter")), "-t", str(self._init.pid)]
            inside += ["-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w"]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            [
                *inside,
                "/usr/bin/env",
                "-i",
                *(f"{key}={value}" for key, value in env.items()),
                *words,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout[-3000:]}"
        return done.stdout

    def succeeds(self, *words: str) -> bool:
        """Run something there; return whether it ended with 0."""
        try:
            self.run(*words)
        except AssertionError:
            return False
        return True

    @contextmanager
    def booted(self) -> Iterator[None]:
        """Boot it; at the end, all of its processes end."""
        groups = _control_groups()
        group = None if groups is None else groups / f"he-fsm-test-{os.getpid()}"
        if group is not None:
            group.mkdir()
        env = {**os.environ, "ROOT": str(self.root), "GROUP": str(group or "")}
        with self.root.with_suffix(".boot").open("wb") as log:
            outer = subprocess.Popen(
                ["/bin/sh", "-c", _BOOT], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            until(lambda: self._found(outer) is not None, within_s=20)
            self._init = self._found(outer)
            until(
                lambda: self.succeeds("systemctl", "is-active", "--quiet", "multi-user.target"),
                within_s=60,
            )
            yield
        finally:
            self._init = None
            # With it, the kernel ends all that lives in its namespace.
            for each in psutil.Process(outer.pid).children():
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            outer.kill()
            outer.wait()
            if group is not None:
                until(lambda: _removed(group), within_s=20)

    @staticmethod
    def _found(outer: subprocess.Popen[bytes]) -> Optional[psutil.Process]:
        assert outer.poll() is None
        for each in psutil.Process(outer.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "systemd" in each.name():
                    return each
        return None

    def files(self) -> set[str]:
        """Return all paths that packages may make, without what the system itself writes."""
        folders = ("etc", "usr", "srv", "opt", "var/lib", "var/spool")
        ignored = ("var/lib/dpkg", "var/lib/systemd", "var/lib/apt", "var/lib/dbus")
        found = set()
        for folder in folders:
            for path in (self.root / folder).rglob("*"):
                name = str(path.relative_to(self.root))
                # Copies of the lists of users before the last change.
                if not name.startswith(ignored) and not name.endswith("-"):
                    found.add(name)
        return found


def _removed(group: Path) -> bool:
    for each in sorted(group.rglob("*"), reverse=True):
        if each.is_dir():
            with suppress(OSError):
                each.rmdir()
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
