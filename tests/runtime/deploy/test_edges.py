"""Single edges of a deployment: devices, images, media, the engine's API, systemd, leaving."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Optional

import attrs
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.cli.main import cli
from he_fsm.deploy.asking.question import Machine
from he_fsm.deploy.carrying import beginning, disk, machine, storage
from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.carrying.engine import add_host
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.telling import read_told, write_told
from he_fsm.deploy.carrying.undo import undo
from he_fsm.deploy.planning import stages
from he_fsm.deploy.planning.places import Own, Places
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.errors import DeployError
from he_fsm.testing.waiting import until
from tests.deploy.answering import MACHINE, SECRETS, settled
from tests.runtime.deploy.deploying import DeploySite

HAS_IMAGES = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
IS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices are root's")


class Quiet:
    """Says nothing; implements `People`."""

    def info(self, text: str) -> None:
        del text

    def text(self, text: str) -> None:
        del text

    def confirm(self, question: str, *, default: bool) -> bool:
        del question
        return default


def course_of(folder: Path, settings: Optional[Mapping[str, Any]] = None, **answers: str) -> Course:
    """Return the course of a first host whose files are below a folder."""
    own = Own(
        config=str(folder / "he-fsm.yaml"),
        run_dir=str(folder / "run"),
        state_dir=str(folder / "state"),
        ovirt_dir=str(folder / "ovirt"),
    )
    (folder / "state").mkdir()
    start = beginning.Start(
        values=settled(attrs.evolve(MACHINE, joins=False), **answers),
        settings={
            "config": {
                "run_dir": own.run_dir,
                "state_dir": own.state_dir,
                "group": None,
                **(settings or {}),
            }
        },
        machine=Machine(),
        fitness=Fitness(hostname="host1.example.com"),
        own=own,
        has_systemd=False,
        people=Quiet(),
    )
    return beginning.first(start)


# Storage.


@contextmanager
def loop_device(path: Path, mib: int) -> Iterator[str]:
    with path.open("wb") as file:
        file.truncate(mib << 20)
    made = subprocess.run(
        ["/sbin/losetup", "--find", "--show", path], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["/sbin/losetup", "--detach", device], check=True)


@IS_ROOT
def test_a_block_device_is_written_and_blank_again(tmp_path: Path) -> None:
    """What further hosts read, beside the whiteboard; then all of it is undone."""
    with loop_device(tmp_path / "leases", 8) as device:
        course = course_of(
            tmp_path, storage_type="block", storage=device, vm_device="/dev/null", hosts="10"
        )
        storage.prepare(course)
        course.journal.will("blank", path=device, bytes=course.places.device_bytes(10))
        told = Told(answers="", settings={}, hosts={1: Fitness(hostname="host1")})
        write_told(course.places, told)
        write_told(course.places, told.with_host(2, Fitness(hostname="host2")))
        assert read_told(course.places) == told.with_host(2, Fitness(hostname="host2"))
        with pytest.raises(DeployError, match=f"{device} holds something: if nobody needs it"):
            storage.prepare(course)
        assert course.journal.undo(undo) == []
        storage.prepare(course)
        assert read_told(course.places) is None


@IS_ROOT
def test_a_block_device_that_is_too_small(tmp_path: Path) -> None:
    with loop_device(tmp_path / "leases", 2) as device:
        course = course_of(tmp_path, storage_type="block", storage=device, vm_device="/dev/null")
        with pytest.raises(DeployError, match="has 2 MiB, and 5 MiB are needed"):
            storage.prepare(course)


def test_a_share_that_can_t_be_mounted_leaves_nothing(tmp_path: Path) -> None:
    """No server is there; and the line for the boot is not written."""
    before = storage.FSTAB.read_bytes() if storage.FSTAB.exists() else b""
    course = course_of(
        tmp_path,
        storage_type="nfs",
        storage="127.0.0.1:/nothing",
        mount_point=str(tmp_path / "mnt" / "shared"),
        mount_options="soft,retry=0",
    )
    with pytest.raises(DeployError, match=r"mount|is missing"):
        storage.reach(course)
    assert course.journal.undo(undo) == []
    assert not (tmp_path / "mnt").exists()
    assert (storage.FSTAB.read_bytes() if storage.FSTAB.exists() else b"") == before


def test_a_lun_that_is_not_there(tmp_path: Path) -> None:
    course = course_of(tmp_path, storage_type="fc", storage="", lun="3600a", vm_lun="3600b")
    with pytest.raises(DeployError, match="the LUN is not visible here: there is no /dev/disk/by-"):
        storage.reach(course)


def test_somebody_elses_files_are_not_written_over(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "engine.raw").write_bytes(b"somebody's VM")
    course = course_of(tmp_path, storage=str(shared), disk_gb="1")
    with pytest.raises(DeployError, match=r"engine\.raw is there already"):
        storage.prepare(course)
    assert (shared / "engine.raw").read_bytes() == b"somebody's VM"


# Images.


def image(path: Path, form: str, *words: str) -> Path:
    subprocess.run(
        ["/usr/bin/qemu-img", "create", "-q", "-f", form, *words, path, "8M"], check=True
    )
    return path


def with_image(folder: Path, path: Path) -> Course:
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    return course_of(
        folder, storage=str(shared), boot="disk", image=str(path), disk_gb="1", **SECRETS
    )


@HAS_IMAGES
def test_an_ova_is_unpacked_copied_and_grown(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(b"boots".ljust(8 << 20, b"\0"))
    qcow = tmp_path / "disk.qcow2"
    subprocess.run(["/usr/bin/qemu-img", "convert", "-O", "qcow2", raw, qcow], check=True)
    (tmp_path / "vm.ovf").write_text("<Envelope/>", encoding="ascii")
    with tarfile.open(tmp_path / "engine.ova", "w") as tar:
        tar.add(tmp_path / "vm.ovf", "master/vm.ovf")
        tar.add(qcow, "images/disk")
    course = with_image(tmp_path, tmp_path / "engine.ova")
    disk.make_disk(course)
    made = Path(course.places.disk)
    assert made.stat().st_size == 1 << 30
    with made.open("rb") as file:
        assert file.read(5) == b"boots"
    assert stat.S_IMODE(made.stat().st_mode) == 0o660
    disk.remove_unpacked(course)
    assert [path.name for path in made.parent.iterdir()] == ["engine.raw"]


@HAS_IMAGES
def test_images_that_can_t_be_used(tmp_path: Path) -> None:
    """One that reads another file, one that is too large, and an archive without a VM."""
    base = image(tmp_path / "base.raw", "raw")
    child = image(tmp_path / "child.qcow2", "qcow2", "-F", "raw", "-b", str(base))
    with pytest.raises(DeployError, match="is only a part of an image"):
        disk.make_disk(with_image(tmp_path, child))
    large = tmp_path / "large.raw"
    with large.open("wb") as file:
        file.truncate(3 << 30)
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(DeployError, match="give --disk-gb 3 or more"):
        disk.make_disk(with_image(tmp_path, large))
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(base, "disk")
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(DeployError, match=r"no OVA: it has no \.ovf"):
        disk.make_disk(with_image(tmp_path, tmp_path / "some.tar"))


def test_the_medium_is_private_and_cloud_init_finds_its_files(tmp_path: Path) -> None:
    pycdlib = pytest.importorskip("pycdlib")
    course = with_image(tmp_path, tmp_path / "image")
    disk.make_seed(course)
    path = Path(course.own.seed)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    medium = pycdlib.PyCdlib()
    medium.open(str(path))
    names = {child.file_identifier().decode("utf-16_be") for child in _files(medium)}
    assert medium.pvd.volume_identifier.strip() == b"cidata"
    medium.close()
    assert names == {"meta-data", "user-data"}
    assert course.journal.undo(undo) == []
    assert not path.exists()


def _files(medium: Any) -> list[Any]:
    return [child for child in medium.list_children(joliet_path="/") if child.is_file()]


# The journal.


@given(names=st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), lost=st.integers(0, 6))
def test_what_was_made_is_undone_in_reverse_also_by_another_run(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], lost: int
) -> None:
    """A deployment is killed after any number of things; folders are made one in the other."""
    root = tmp_path_factory.mktemp("journal")
    journal = Journal(root / "journal")
    made = root
    for number, name in enumerate(names):
        made = made / name
        journal.will("folder", path=str(made))
        if number < lost:
            made.mkdir()
        else:
            break
    again = Journal.left(root / "journal")
    assert again.entries == journal.entries
    assert again.undo(undo) == []
    assert list(root.iterdir()) == []


def test_a_journal_that_can_t_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("{", encoding="ascii")
    with pytest.raises(DeployError, match="look at what is there, and remove it"):
        Journal.left(tmp_path / "journal")


# The engine's API, as the official SDK speaks it.


class Api(BaseHTTPRequestHandler):
    """The engine's answers to what a deployment asks, and what was asked."""

    asked: ClassVar[list[tuple[str, str]]] = []
    statuses: ClassVar[list[str]] = []
    # None: the engine does not know the host yet.
    known: ClassVar[Optional[str]] = None

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, text: str, kind: str = "application/xml") -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        Api.asked.append((self.path, body))
        if "sso" in self.path:
            token = {"access_token": "token", "token_type": "bearer", "exp": "9223372036854775807"}
            self._answer(json.dumps(token), "application/json")
            return
        path = self.path.partition("?")[0]
        self._answer(f'<host id="123" href="{path}/123"><name>h</name></host>')

    def do_GET(self) -> None:
        Api.asked.append((self.path, ""))
        if re.fullmatch(r".*/hosts/123", self.path):
            status = Api.statuses.pop(0) if len(Api.statuses) > 1 else Api.statuses[0]
            self._answer(f'<host id="123"><name>h</name><status>{status}</status></host>')
            return
        host = "" if Api.known is None else f'<host id="{Api.known}"><name>h</name></host>'
        self._answer(f"<hosts>{host}</hosts>")


@pytest.fixture
def api() -> Iterator[str]:
    pytest.importorskip("ovirtsdk4")
    Api.asked, Api.statuses, Api.known = [], ["up"], None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/ovirt-engine/api"
    server.shutdown()
    thread.join()
    server.server_close()


def engine_course(folder: Path) -> Course:
    return course_of(folder, ovirt_engine="Yes", **SECRETS)


def test_the_host_is_added_and_waited_for(api: str, tmp_path: Path) -> None:
    Api.statuses = ["installing", "up"]
    add_host(api, "", engine_course(tmp_path), 30.0)
    (added,) = [
        body for path, body in Api.asked if path.partition("?")[0].endswith("/hosts") and body
    ]
    assert "<address>host1.example.com</address>" in added
    assert "<name>hosted_engine_1</name>" in added
    assert SECRETS["admin_password"] not in added
    assert not any(SECRETS["admin_password"] in path for path, _ in Api.asked)


def test_a_host_that_the_engine_has_is_not_added_again(api: str, tmp_path: Path) -> None:
    Api.known = "123"
    add_host(api, "", engine_course(tmp_path), 30.0)
    assert not [body for path, body in Api.asked if path.endswith("/hosts") and body]


def test_a_host_that_does_not_become_operational(api: str, tmp_path: Path) -> None:
    Api.statuses = ["install_failed"]
    with pytest.raises(DeployError, match="the host hosted_engine_1 is install_failed"):
        add_host(api, "", engine_course(tmp_path), 5.0)


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("ovirtsdk4")
    with pytest.raises(DeployError, match=r"the engine at http://127\.0\.0\.1:1/api refuses"):
        add_host("http://127.0.0.1:1/api", "", engine_course(tmp_path), 5.0)


# systemd, which does not run as the tests' service manager: a stand-in starts the units' programs.

SYSTEMCTL = """#!{python}
import os, signal, subprocess, sys, time
words = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(" ".join(words) + "\\n")
pids = {pids!r}
units = [word for word in words if word.startswith("he-fsm-")]
if words[0] == "enable" and units and os.path.exists(pids + "/refused"):
    sys.exit("Failed to enable unit: Access denied")
for unit in units:
    place = os.path.join(pids, unit)
    if words[0] in ("start", "enable") and not os.path.exists(place):
        name = unit.rpartition("-")[2]
        code = "from he_fsm.cli.daemons import " + name + "; " + name + "()"
        with open(place + ".log", "ab") as out:
            child = subprocess.Popen([sys.executable, "-c", code, "--config", {config!r}],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        with open(place, "w") as file:
            file.write(str(child.pid))
    if words[0] in ("stop", "disable") and os.path.exists(place):
        pid = int(open(place).read())
        os.kill(pid, signal.SIGTERM)
        while os.path.exists("/proc/" + str(pid)):
            if ") Z" in open("/proc/" + str(pid) + "/stat").read():
                break
            time.sleep(0.05)
        os.remove(place)
"""


@pytest.fixture
def systemctl(site: DeploySite, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the log of the stand-in's calls."""
    folder = site.folder / "bin"
    folder.mkdir()
    (site.folder / "pids").mkdir()
    log = site.folder / "systemctl.log"
    text = SYSTEMCTL.format(
        python=sys.executable,
        log=str(log),
        pids=str(site.folder / "pids"),
        config=str(site.folder / "host1" / "etc" / "he-fsm.yaml"),
    )
    (folder / "systemctl").write_text(text, encoding="utf-8")
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(machine, "_SYSTEMD", site.folder)
    monkeypatch.setattr(stages, "UNITS_DIR", str(site.folder / "units"))
    return log


def test_where_systemd_runs_it_starts_the_daemons_and_the_agent_takes_over(
    site: DeploySite, systemctl: Path
) -> None:
    host = site.host(1)
    done = CliRunner().invoke(cli, host.first_words())
    assert done.exit_code == 0, done.output
    assert "The engine is up, as a monitored service" in done.output
    assert systemctl.read_text(encoding="ascii").splitlines() == [
        "daemon-reload",
        "start he-fsm-broker he-fsm-agent",
        "stop he-fsm-agent he-fsm-broker",
        "enable --now he-fsm-broker he-fsm-agent",
    ]
    added = site.folder / "units" / "he-fsm-agent.service.d" / "storage.conf"
    assert added.read_text(encoding="ascii") == f"[Service]\nReadWritePaths=-{site.shared}\n"
    # The only host, with the engine: it stays.
    words = ["undeploy", "--config", str(host.config), "--yes"]
    kept = CliRunner().invoke(cli, words)
    assert "this is the only host of its cluster" in str(kept.exception)
    assert host.report()["state"] == "EngineUp"


@pytest.mark.long
def test_units_that_can_t_be_enabled_leave_a_host_that_is_deployed(
    site: DeploySite, systemctl: Path
) -> None:
    """Other hosts have been told by then; the message says what is missing, and that ends it."""
    (site.folder / "pids" / "refused").touch()
    host = site.host(1)
    done = CliRunner().invoke(cli, host.first_words())
    assert done.exit_code == 1
    assert "Failed to enable unit: Access denied" in done.output
    assert "This host is deployed, and stays so; only this last step is missing" in done.output
    missing = "systemctl enable --now he-fsm-broker he-fsm-agent"
    assert missing in done.output
    (site.folder / "pids" / "refused").unlink()
    subprocess.run(missing.split(), check=True)
    until(lambda: host.report().get("health") == "good", within_s=60.0)
    again = CliRunner().invoke(cli, host.first_words())
    assert "this host is deployed already" in str(again.exception)
    assert systemctl.exists()


# Leaving.


def test_leaving_is_confirmed_and_can_be_looked_at_first(site: DeploySite) -> None:
    host = site.host(1)
    assert site.run(host.first_words()).returncode == 0
    before = site.tree()
    words = ["undeploy", "--config", str(host.config)]
    looked = site.run([*words, "--dry-run"])
    assert looked.returncode == 0
    assert "empty slot 1 of the whiteboard" in looked.stdout
    asked = site.run(words)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr == (
        "he-fsm: would take host 1 out of its cluster; without a terminal nobody can be asked:"
        " add --yes\n"
    )
    assert site.tree() == before
    # Its daemons don't run, and no VM is here.
    (host.folder / "ovirt" / "answers.conf").write_text("[environment:default]\n", "ascii")
    done = site.run([*words, "--yes"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert not host.config.exists()
    # oVirt's own, as it seems.
    assert (host.folder / "ovirt" / "hosted-engine.conf").exists()
    told = read_told(
        Places(folder="", whiteboard="", leases="", told=str(site.shared / "deployment"))
    )
    assert told is not None
    assert told.hosts == {}
