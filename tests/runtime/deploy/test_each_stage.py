"""Each stage fails, or its process is killed there: nothing is left, and the next run succeeds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from he_fsm.deploy.asking.question import Machine
from he_fsm.deploy.carrying import beginning, storage
from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.run import FIRST, carry_out, undone
from he_fsm.deploy.planning.places import Own
from he_fsm.deploy.planning.stages import Stage, first_host
from he_fsm.deploy.planning.told import Fitness
from he_fsm.errors import DeployError
from tests.deploy.answering import MACHINE, SECRETS, settled
from tests.runtime.deploy.test_edges import Quiet, image
from tests.runtime.deploy.test_failures import IS_ROOT, small

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
# In their order: what a first host does before its daemons start.
BEFORE: Final = ("folder", "leases", "disk", "files", "bridge", "firewall", "seed")
# These are tried each time.
OFTEN: Final = ("disk", "seed")

# NetworkManager and firewalld, which do not run here: stand-ins that keep what they were told.
# As with firewall-cmd 1.3.3, removing a port that is not open is a warning, and its status is 0.
# `$0.fails` names the word of the call that fails.
NMCLI = """#!/bin/sh
told={folder}/connections
no=$(cat "$0.fails" 2>/dev/null)
for word; do [ "$word" = "$no" ] && echo "Error: refused" >&2 && exit 1; done
case "$*" in
"-t -f NAME connection show") ls "$told" ;;
"connection add "*) shift 7; [ "$1" = con-name ] && shift; touch "$told/$1" ;;
"connection delete "*) rm "$told/$3" ;;
esac
"""
FIREWALL = """#!/bin/sh
told={folder}/ports
[ "$1" = --permanent ] && told={folder}/permanent && shift
no=$(cat "$0.fails" 2>/dev/null)
for word; do [ "$word" = "$no" ] && echo "Error: refused" >&2 && exit 1; done
case "$1" in
--state) echo running ;;
--list-ports) ls "$told" | tr _ / | tr '\\n' ' ' ;;
--add-port=*) touch "$told/$(echo "${{1#*=}}" | tr / _)" ;;
--remove-port=*) rm -f "$told/$(echo "${{1#*=}}" | tr / _)" ;;
esac
"""


@attrs.define
class Bench:
    """A host's folders, an image, and the stand-ins."""

    folder: Path

    def course(self, **answers: str) -> Course:
        """Return a deployment that has just been confirmed, with an empty journal."""
        here = self.folder
        own = Own(
            config=str(here / "etc/he-fsm.yaml"),
            run_dir=str(here / "run"),
            state_dir=str(here / "state"),
            ovirt_dir=str(here / "ovirt"),
        )
        machine = attrs.evolve(MACHINE, firewall="firewalld", interfaces=("eth0",), bridges=())
        usual = {
            "storage": str(here / "shared"),
            "leases": "embedded",
            "boot": "disk",
            "image": str(here / "image.qcow2"),
            "disk_gb": "1",
            "bridge_nic": "eth0",
            "firewall": "Yes",
            "peers": "tcp:host{id}.example.com:8703",
            **SECRETS,
        }
        start = beginning.Start(
            values=settled(machine, **{**usual, **answers}),
            settings={
                "config": {"run_dir": own.run_dir, "state_dir": own.state_dir, "group": None}
            },
            machine=Machine(),
            fitness=Fitness(hostname="host1.example.com"),
            own=own,
            has_systemd=False,
            people=Quiet(),
        )
        return beginning.first(start)

    def fails(self, program: str, word: str) -> None:
        """Have a stand-in refuse the calls with this word; empty: none."""
        (self.folder / "bin" / f"{program}.fails").write_text(word, encoding="ascii")

    def tree(self) -> dict[str, tuple[int, int]]:
        """Return every path with its mode and size."""
        return {
            str(path): (path.lstat().st_mode, path.lstat().st_size if path.is_file() else 0)
            for path in sorted(self.folder.rglob("*"))
            if path.parent.name != "bin"
        }


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in ("bin", "connections", "ports", "permanent", "state"):
        (tmp_path / name).mkdir()
    # Somebody has opened a port, and made a connection, before.
    (tmp_path / "ports" / "8703_tcp").touch()
    (tmp_path / "connections" / "eth0").touch()
    for name, text in (("nmcli", NMCLI), ("firewall-cmd", FIREWALL)):
        program = tmp_path / "bin" / name
        program.write_text(text.format(folder=tmp_path), encoding="ascii")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    image(tmp_path / "image.qcow2", "qcow2")
    return Bench(tmp_path)


def stages_to(course: Course, last: str) -> Sequence[Stage]:
    """Return the stages up to one of them."""
    stages = first_host(course.outline)
    return stages[: [stage.name for stage in stages].index(last) + 1]


def with_end(stage: str, end: Callable[[], None]) -> dict[str, Callable[[Course], None]]:
    """Return what the stages do, of which one ends so when it has made what it makes."""

    def deed(course: Course) -> None:
        FIRST[stage](course)
        end()

    return {**FIRST, stage: deed}


def fail() -> None:
    msg = "it fails at its end"
    raise DeployError(msg)


def succeeds(bench: Bench) -> None:
    course = bench.course()
    carry_out(course, stages_to(course, BEFORE[-1]), FIRST)
    assert Path(course.places.disk).stat().st_size == 1 << 30
    assert Path(course.own.seed).exists()
    assert {path.name for path in (bench.folder / "connections").iterdir()} == {
        "eth0",
        "ovirtmgmt",
        "ovirtmgmt-eth0",
    }
    open_ports = {path.name for path in (bench.folder / "permanent").iterdir()}
    assert open_ports == {"8703_tcp", "32768-60999_tcp"}


def each_stage() -> list[object]:
    return [pytest.param(each, marks=() if each in OFTEN else pytest.mark.long) for each in BEFORE]


@pytest.mark.parametrize("stage", each_stage())
def test_a_stage_fails_at_its_end(bench: Bench, stage: str) -> None:
    before = bench.tree()
    course = bench.course()
    with pytest.raises(DeployError, match="Nothing is left of this deployment"):
        carry_out(course, stages_to(course, stage), with_end(stage, fail))
    assert bench.tree() == before
    succeeds(bench)


@pytest.mark.parametrize("stage", each_stage())
def test_the_process_is_killed_at_the_end_of_a_stage(bench: Bench, stage: str) -> None:
    before = bench.tree()
    course = bench.course()
    child = os.fork()
    if not child:
        # What this process makes of it is of no matter to pytest.
        carry_out(
            course,
            stages_to(course, stage),
            with_end(stage, lambda: os.kill(os.getpid(), signal.SIGKILL)),
        )
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    left = Journal.left(Path(course.own.journal))
    assert left.entries != []
    assert undone(left) == []
    assert bench.tree() == before
    succeeds(bench)


# What really goes wrong there: the fault, the last stage, and what is said.
FAULTS = {
    "an image of a format to come": ("disk", "Unsupported qcow2 version 9"),
    "no NetworkManager": ("bridge", "the bridge ovirtmgmt can't be made on eth0"),
    "a card that is refused": ("bridge", "make it by the means of your system"),
    "a bridge that does not come up": ("bridge", "Error: refused"),
    "a port that is refused": ("firewall", "Configuring the firewall: firewall-cmd"),
    "a port that is refused for ever": ("firewall", "Error: refused"),
}


def _change(image_path: Path) -> None:
    data = image_path.read_bytes()
    image_path.write_bytes(data[:7] + b"\x09" + data[8:])


BREAKS: dict[str, Callable[[Bench], None]] = {
    "an image of a format to come": lambda bench: _change(bench.folder / "image.qcow2"),
    "no NetworkManager": lambda bench: bench.fails("nmcli", "show"),
    "a card that is refused": lambda bench: bench.fails("nmcli", "ethernet"),
    "a bridge that does not come up": lambda bench: bench.fails("nmcli", "up"),
    "a port that is refused": lambda bench: bench.fails(
        "firewall-cmd", "--add-port=32768-60999/tcp"
    ),
    "a port that is refused for ever": lambda bench: bench.fails(
        "firewall-cmd", "--add-port=8703/tcp"
    ),
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each, marks=() if each == "a card that is refused" else pytest.mark.long)
        for each in FAULTS
    ],
)
def test_a_fault_of_the_machine(bench: Bench, fault: str) -> None:
    stage, said = FAULTS[fault]
    sound = (bench.folder / "image.qcow2").read_bytes()
    BREAKS[fault](bench)
    before = bench.tree()
    course = bench.course()
    with pytest.raises(DeployError) as error:
        carry_out(course, stages_to(course, stage), FIRST)
    assert said in str(error.value)
    assert "Nothing is left of this deployment" in str(error.value)
    assert bench.tree() == before
    (bench.folder / "image.qcow2").write_bytes(sound)
    for program in ("nmcli", "firewall-cmd"):
        bench.fails(program, "")
    succeeds(bench)


@pytest.mark.long
@pytest.mark.skipif(not IS_ROOT, reason="mounts")
def test_no_room_for_cloud_inits_medium(bench: Bench) -> None:
    with small(bench.folder / "run", 16):
        before = bench.tree()
        course = bench.course()
        with pytest.raises(DeployError, match=r"seed\.iso can't be written: No space left"):
            carry_out(course, stages_to(course, "seed"), FIRST)
        assert bench.tree() == before
    succeeds(bench)


@pytest.fixture
def share(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have `mount -t nfs` mount a file system of the memory, and a table of them of its own."""
    program = bench.folder / "bin" / "mount"
    program.write_text('#!/bin/sh\nexec /bin/mount -t tmpfs share "$6"\n', encoding="ascii")
    program.chmod(0o755)
    table = bench.folder / "fstab"
    table.write_text("# somebody's\n", encoding="ascii")
    monkeypatch.setattr(storage, "FSTAB", table)
    yield bench.folder / "shared"
    if (bench.folder / "shared").is_mount():
        subprocess.run(["/bin/umount", str(bench.folder / "shared")], check=True)


@pytest.mark.skipif(not IS_ROOT, reason="mounts")
@pytest.mark.parametrize("stage", ["reach", pytest.param("leases", marks=pytest.mark.long)])
def test_a_share_is_unmounted_again(bench: Bench, share: Path, stage: str) -> None:
    before = bench.tree()

    def course() -> Course:
        return bench.course(storage_type="nfs", storage="server:/export", mount_point=str(share))

    failing = course()
    with pytest.raises(DeployError, match="Nothing is left of this deployment"):
        carry_out(failing, stages_to(failing, stage), with_end(stage, fail))
    assert not share.is_mount()
    assert bench.tree() == before
    again = course()
    carry_out(again, stages_to(again, "leases"), FIRST)
    assert share.is_mount()
    assert "server:/export" in (bench.folder / "fstab").read_text(encoding="ascii")


@pytest.mark.long
def test_an_engine_that_refuses_the_host(bench: Bench) -> None:
    """What was made before the engine was asked is undone; no engine is there."""
    pytest.importorskip("ovirtsdk4")
    before = bench.tree()
    course = bench.course(ovirt_engine="Yes")
    course.settings["engine_api"] = "http://127.0.0.1:1/api"
    asked = [stage for stage in first_host(course.outline) if stage.name == "engine"]
    with pytest.raises(DeployError, match=r"refuses(.|\n)*Nothing is left of this deployment"):
        carry_out(course, [*stages_to(course, "files"), *asked], FIRST)
    assert bench.tree() == before
    succeeds(bench)
