"""How hard the properties are tried: `HYPOTHESIS_PROFILE` is dev, few, ci (`make test`) or deep."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine's other work must not make a test fail: no property has a deadline.
settings.register_profile("dev", max_examples=50, deadline=None)
# `few` is for the other Pythons, on which the same examples would come out the same.
for name, examples in (("ci", 60), ("few", 15)):
    settings.register_profile(
        name,
        max_examples=examples,
        derandomize=True,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.register_profile(
    "deep",
    max_examples=20_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# Agents under test do not delay the shutdown of the machine that they are tested on.
os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# What a shell runs in the background ignores Ctrl-C, and so would the commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Tests that start daemons, VMs, servers or workers: `make processes` runs them.
WITH_PROCESSES = (
    *("runtime", "rehearse", "cli/test_status.py", "cli/test_maintenance.py"),
    *("cli/hosted_engine", "cli/live", "cli/dashboard"),
    *("benchmarks/test_against.py", "chaos/test_living.py", "lab/vdsm/test_server.py"),
    "project/site/test_playground.py",
)
# Only these folders have such tests, and only these are looked through for them (Makefile).
FOLDERS_WITH_PROCESSES = (
    *("benchmarks", "campaign", "chaos", "cli", "lab", "project", "rehearse", "runtime"),
)
FOLDERS_WITH_REAL_ONES = ("chaos", "lab", "rehearse", "runtime")
REAL = ("rehearsal", "sanlock", "qemu")
# Tests of the repository itself: its pages, its imports, its words.
OF_THE_REPOSITORY = "project"
WITHOUT = (
    *("runtime/config/test_config.py", "runtime/config/test_ovirt.py"),
    *("runtime/config/test_ovirt_archive.py", "runtime/config/test_ovirt_files.py"),
    *("runtime/leases/test_resetting.py", "runtime/vm_orders/test_order.py"),
    *("runtime/agent/test_memory_file.py", "runtime/agent/test_counted.py"),
    *("runtime/test_registry.py", "runtime/test_machine.py"),
    *("runtime/leases/sanlock/test_sight.py", "runtime/doctor/test_clocks.py"),
    *(f"runtime/vdsm/test_{name}.py" for name in ("frames", "rpc", "heartbeats")),
    *(f"runtime/hypervisors/libvirt/test_{name}.py" for name in ("definition", "paused")),
    "runtime/hypervisors/libvirt/holder/test_holder_findings.py",
    *(f"runtime/hypervisors/vdsm/test_vdsm_{name}.py" for name in ("definition", "status")),
    *(f"runtime/leases/sanlock/daemon/test_{name}.py" for name in ("clock", "errors")),
    *("runtime/history/test_ring.py", "runtime/history/test_keeper.py"),
    *("runtime/service/test_log.py", "rehearse/test_compare.py", "rehearse/test_cannot.py"),
    "rehearse/test_observe_vms.py",
)

# Files whose tests with processes take 20 to 60 seconds each.
TAKES_LONG = (
    *("chaos/test_soak.py", "chaos/test_chaos.py", "runtime/agent/test_two_services.py"),
    *("rehearse/test_rehearse.py", "rehearse/test_files.py", "benchmarks/test_against.py"),
    "project/test_write_a_back_end.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that work with real processes, by where they are and what they take."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        has_processes = any(item.get_closest_marker(name) for name in REAL)
        folder = path.partition("/")[0]
        if folder == OF_THE_REPOSITORY:
            item.add_marker(pytest.mark.once)
        if has_processes or (path.startswith(WITH_PROCESSES) and path not in WITHOUT):
            item.add_marker(pytest.mark.processes)
            known = FOLDERS_WITH_REAL_ONES if _is_real(item) else FOLDERS_WITH_PROCESSES
            if folder not in known:
                msg = f"{path}: nobody looks for such tests in tests/{folder}; see the Makefile"
                raise pytest.UsageError(msg)


class LongOnesFirst:
    """
    Puts what takes long at the beginning of each worker's share.

    Otherwise one of them begins last, and all other workers wait for it. Tests of one file stay
    together but for these, which have no fixture in common.
    """

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Reorder what is left after the deselection; the shares are those of xdist's worksteal."""
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        if workers == 1:
            return
        long = [item for item in items if _takes_long(item)]
        others = [item for item in items if not _takes_long(item)]
        total, ordered = len(items), []
        for number in range(workers):
            first = long[number::workers]
            share = total // (workers - number)
            total -= share
            rest = max(0, share - len(first))
            ordered += first + others[:rest]
            del others[:rest]
        items[:] = ordered + others


def _takes_long(item: pytest.Item) -> bool:
    return item.path.relative_to(TESTS).as_posix() in TAKES_LONG


def pytest_configure(config: pytest.Config) -> None:
    """Register what acts last."""
    config.pluginmanager.register(LongOnesFirst())


def _is_real(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("sanlock", "qemu"))
