"""The back ends sanlock and vdsm as an ordinary user: real daemons and VMs, no mounts."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.lab.guest.kernel import VARIABLE
from he_fsm.lab.sanlock.needs import missing
from tests.lab.guest import copy_of_kernel, kernel_or_skip
from tests.rehearse.another_user import AnotherUser
from tests.rehearse.scenes import file_of

SPEED = "10"
WHY_NOT = "; ".join(missing(float(SPEED)))
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]
COMMAND = "from he_fsm.cli.main import main; main()"
SCENE = """
    world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 5s, engine: kill}
      - {at: 30s, host: 1, power: off}
    until: 150s
    expect:
      - {after: 5s, by: 28s, engine_on: 1, engine: good}
      - {from: 35s, to: 95s, engine: down, lease: 1}
      - {after: 97s, by: 140s, engine_on: 2, engine: good}
      - {total: {starts: 2, failed_starts: 0}}
    """
CUT = """
    hosts: 2
    until: 60s
    timeline:
      - {at: 5s, host: 1, storage: cut}
    """


@pytest.fixture(scope="module")
def user() -> Iterator[AnotherUser]:
    with tempfile.TemporaryDirectory(prefix="nobody-") as name:
        user = AnotherUser(Path(name))
        kernel = copy_of_kernel(kernel_or_skip(), user.folder / "kernel")
        user.set_up("daemon", "qemu")
        user.environment[VARIABLE] = str(kernel)
        yield user


def rehearsed(
    user: AnotherUser, scene: str, backend: str = "sanlock"
) -> subprocess.CompletedProcess[str]:
    path = user.folder / "scene.yaml"
    path.write_text(file_of(scene), encoding="utf-8")
    path.chmod(0o444)
    done = user.run(COMMAND, "rehearse", str(path), "--backend", backend, "--speed", SPEED)
    assert list(user.labs.iterdir()) == []
    path.unlink()
    return done


@pytest.mark.parametrize(
    "backend", ["sanlock", pytest.param("vdsm", marks=pytest.mark.long)], ids=str
)
def test_an_ordinary_user_rehearses_on_real_daemons_and_vms(user: AnotherUser, backend: str):
    done = rehearsed(user, SCENE, backend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_needs_root_is_said_with_its_place_before_anything_is_started(user: AnotherUser):
    done = rehearsed(user, CUT)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{user.folder / 'scene.yaml'}:6:" in done.stderr
    assert "only root can break one host's storage" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_user_without_a_kernel_is_told_how_to_get_one(user: AnotherUser):
    nothing = {**user.environment, VARIABLE: str(user.labs)}
    without = AnotherUser(user.folder, user.python, nothing)
    done = rehearsed(without, SCENE)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{VARIABLE}: below {user.labs} there is no boot/vmlinuz-VERSION" in done.stderr
    assert done.stderr.count("\n") == 1
