"""The units as a real systemd knows them, and what is wrong with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.runtime.config import load_config
from he_fsm.runtime.doctor.units import Unit, parsed, problems, wishes_of

PACKAGING = Path(__file__).parents[3] / "packaging" / "systemd"
AGENT, BROKER = "he-fsm-agent.service", "he-fsm-broker.service"
# In a namespace of its own, so that nothing outlives it: the systemd of a user whose home it is.
_RUN = """
umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup || exit 77
mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/user
export XDG_RUNTIME_DIR=/run/user HOME=$1
"$2" --user --log-level=emerg &
for i in $(seq 100); do systemctl --user is-system-running > /run/state 2>&1
  case $(cat /run/state) in running|degraded) break;; esac; sleep 0.1; done
grep -qE 'running|degraded' /run/state || exit 77
shift 2
"$@"
"""
_ASK = """
import json, sys
from pathlib import Path
from he_fsm.runtime.config import load_config
from he_fsm.runtime.doctor.units import unit_findings
path = Path(sys.argv[1])
found = unit_findings(load_config(path), path, ("systemctl", "--user"))
print(json.dumps([[each.what, each.mend] for each in found]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the home of somebody whose systemd has our units, all of them enabled."""
    folder = tmp_path / ".config" / "systemd" / "user"
    (folder / "multi-user.target.wants").mkdir(parents=True)
    for name in (AGENT, BROKER):
        shutil.copy(PACKAGING / name, folder / name)
        (folder / "multi-user.target.wants" / name).symlink_to(folder / name)
    return tmp_path


def configured(folder: Path, **changes: Any) -> Path:
    plain = {
        "host": {"id": 1},
        "storage": {"path": str(folder)},
        "monitors": {"network": {"test": "none"}},
        **changes,
    }
    path = folder / "he-fsm.yaml"
    path.write_text(json.dumps(plain))
    return path


def asked(home: Path, path: Path) -> list[tuple[str, str]]:
    """Ask a real systemd that begins with what is in *home*."""
    systemd = shutil.which("systemd", path="/usr/lib/systemd:/lib/systemd")
    unshare = shutil.which("unshare")
    if systemd is None or unshare is None or os.geteuid() != 0:
        pytest.skip("needs root, unshare and systemd")
    inner = [sys.executable, "-c", _ASK, str(path)]
    done = subprocess.run(
        [unshare, "-Cmpf", "--mount-proc", "sh", "-c", _RUN, "sh", str(home), systemd, *inner],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"no systemd can be begun here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [(what, mend) for what, mend in json.loads(done.stdout)]


def test_units_that_are_as_packaged_are_right(home: Path) -> None:
    assert asked(home, configured(home)) == []


def test_what_a_real_systemd_says_is_understood(home: Path) -> None:
    folder = home / ".config" / "systemd" / "user"
    (folder / "multi-user.target.wants" / AGENT).unlink()
    (folder / AGENT).write_text((folder / AGENT).read_text().replace("After=", "Before="))
    (folder / "sanlock.service").write_text("[Service]\nExecStart=/bin/true\n")
    (folder / "multi-user.target.wants" / BROKER).unlink()
    (folder / BROKER).unlink()
    found = dict(asked(home, configured(home, leases="sanlock")))
    assert found == {
        f"systemd has no unit {BROKER}": "install it, and systemctl daemon-reload",
        f"a boot does not start {AGENT}: it is disabled": f"systemctl enable {AGENT}",
        f"a shutdown may stop sanlock.service before {AGENT}, which needs it until its end": (
            f"systemctl edit {AGENT}: in [Unit], After=sanlock.service"
        ),
    }


def test_a_service_of_several_has_instances(tmp_path: Path) -> None:
    config = load_config(configured(tmp_path))
    names = [wish.name for wish in wishes_of(config, Path("/etc/he-fsm/web.yaml"))]
    assert names == ["he-fsm-broker@web.service", "he-fsm-agent@web.service"]
    assert [wish.name for wish in wishes_of(config, Path("/etc/he-fsm/he-fsm.yaml"))] == [
        BROKER,
        AGENT,
    ]


LIBVIRT: Mapping[str, Any] = {
    "leases": "sanlock",
    "hypervisor": {"kind": "libvirt"},
    "engine": {"health": {"url": "https://engine.example.com/"}},
}


@pytest.mark.parametrize("daemon", ["libvirtd.service", "virtqemud.service"])
def test_either_daemon_of_libvirts_will_do(tmp_path: Path, daemon: str) -> None:
    wishes = wishes_of(load_config(configured(tmp_path, **LIBVIRT)), tmp_path / "he-fsm.yaml")
    units = {
        "sanlock.service": Unit("sanlock.service", True, "enabled", frozenset()),
        daemon: Unit(daemon, True, "enabled", frozenset()),
        BROKER: Unit(BROKER, True, "enabled", frozenset({"sanlock.service"})),
        AGENT: Unit(AGENT, True, "enabled", frozenset({"sanlock.service", daemon, BROKER})),
    }
    assert list(problems(wishes, units)) == []
    units[AGENT] = attrs.evolve(units[AGENT], after=frozenset({"sanlock.service", BROKER}))
    [found] = problems(wishes, units)
    assert found.what.startswith(f"a shutdown may stop {daemon} before {AGENT}")


def test_blocks_without_a_unit_are_left_out() -> None:
    assert list(parsed("")) == []
    assert [unit.name for unit in parsed("After=x\n\nId=a.service\nLoadState=loaded\n")] == [
        "a.service"
    ]
