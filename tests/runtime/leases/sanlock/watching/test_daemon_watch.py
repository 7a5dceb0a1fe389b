"""Noticing that the daemon behind a VM's lease has ended, or that no watchdog stands behind it."""

from __future__ import annotations

import os
import subprocess
import sys

from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import NO_WATCHDOG, watchdog_warning
from he_fsm.testing.leases import begin, said
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK, Host, SanlockLab, python

pytestmark = NEEDS_SANLOCK

WATCH = """
import sys, threading
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import DaemonWatch
gone = threading.Event()
watch = DaemonWatch(SanlockSettings.from_text(sys.argv[1]), gone.set)
print("watching", watch.is_gone, flush=True)
assert sys.stdin.readline()
print("still watching", watch.is_gone, flush=True)
gone.wait()
print("gone", watch.is_gone, flush=True)
watch.close()
"""
ASK = """
from he_fsm.runtime.leases.sanlock.watching.daemon_watch import holds_lease
print(holds_lease(settings, {pid}))
"""


def test_the_end_of_the_daemon_is_noticed_and_a_stop_is_not_one(host: Host) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WATCH, host.settings.to_text()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdin is not None
        assert watcher.stdout.readline() == "watching False\n"
        host.daemon.stop()
        watcher.stdin.write("\n")
        watcher.stdin.flush()
        assert watcher.stdout.readline() == "still watching False\n"
        host.daemon.go_on()
        host.daemon.kill()
        assert watcher.stdout.readline() == "gone True\n"
        assert watcher.wait() == 0


def test_a_watch_is_closed_while_the_daemon_runs(host: Host) -> None:
    done = python(
        "from he_fsm.runtime.leases.sanlock.watching.daemon_watch import DaemonWatch\n"
        "import os\n"
        "before = os.listdir('/proc/self/fd')\n"
        "watch = DaemonWatch(settings, lambda: print('gone'))\n"
        "watch.close()\n"
        "print(watch.is_gone, before == os.listdir('/proc/self/fd'))\n",
        host.settings,
    )
    assert (done.returncode, done.stdout) == (0, "False True\n"), done.stderr


def test_there_is_nothing_to_watch_without_a_daemon(host: Host) -> None:
    host.daemon.kill()
    done = python(
        "from he_fsm.errors import SanlockDownError\n"
        "from he_fsm.runtime.leases.sanlock.watching.daemon_watch import DaemonWatch\n"
        "try:\n    DaemonWatch(settings, print)\n"
        "except SanlockDownError as error:\n    print(error)\n",
        host.settings,
    )
    assert "the sanlock daemon does not run; start the service sanlock" in done.stdout


def holds(settings: SanlockSettings, pid: int) -> str:
    done = python(ASK.format(pid=pid), settings)
    return done.stdout.strip() or done.stderr


def test_a_vm_whose_daemon_has_begun_anew_holds_nothing(lab: SanlockLab, host: Host) -> None:
    vm = said(*begin(lab.holder(1)))
    try:
        assert holds(host.settings, vm.process.pid) == "True"
        assert holds(host.settings, os.getpid()) == "False"
        host.daemon.kill()
        assert "SanlockDownError" in holds(host.settings, vm.process.pid)
        lab.start(host.daemon.run_dir, "host1")
        assert holds(host.settings, vm.process.pid) == "False"
    finally:
        vm.kill()


def test_whether_a_watchdog_stands_behind_the_daemon(lab: SanlockLab, host: Host) -> None:
    assert watchdog_warning(host.settings) == NO_WATCHDOG
    host.daemon.kill()
    lab.start(host.daemon.run_dir, "host1", has_watchdog=True)
    assert watchdog_warning(host.settings) is None
