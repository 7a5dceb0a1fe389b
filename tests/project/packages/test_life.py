"""The .deb and the .rpm on a system that has booted: installed, run, upgraded, removed, purged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from he_fsm import __version__
from he_fsm.testing.waiting import until
from tests.project.packages.building import BEFORE, build, field, release_before
from tests.project.packages.machine import Machine, why_not
from tests.runtime.cluster import policy_at

pytestmark = [
    *(pytest.mark.processes, pytest.mark.long),
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is all that is needed"),
]
SPEED = 10.0
DAEMONS = ("he-fsm-broker", "he-fsm-agent")
CONFIG = {
    "host": {"id": 1, "hostname": "one"},
    "ovirt": None,
    "storage": {"path": "/srv/he-fsm", "deadline": 0.5},
    "hypervisor": {"port": 8080, "boot": 1.0, "start": 0.5, "shutdown": 1.0},
    "engine": {"health": {"timeout": 1.0}},
    "monitors": {
        "interval": 0.5,
        "network": {"test": "file", "path": "/srv/he-fsm/network"},
        "bridge": {"path": "/srv/he-fsm/network"},
        "memory": {"path": "/srv/he-fsm/memory"},
        "cpu": {"path": "/srv/he-fsm/cpu"},
    },
    # The broker is restarted within 8 of these, also on a busy machine.
    "policy": {**policy_at(SPEED), "io_timeout_s": 5.0},
}


class Packager:
    """How packages of one kind are installed and removed; their files by version and name."""

    def __init__(self, machine: Machine, kind: str, files: dict[str, dict[str, Path]]) -> None:
        self.machine = machine
        self.kind = kind
        self.files = files

    def install(self, version: str, *names: str) -> str:
        """Install a release over whatever is there; return what was said."""
        places = []
        for name in names or ("he-fsm", "he-fsm-hosted-engine"):
            place = f"/root/{name}.{self.kind}"
            source = self.files[version][f"{name}.{self.kind}"]
            (self.machine.root / place[1:]).write_bytes(source.read_bytes())
            places.append(place)
        if self.kind == "deb":
            return self.machine.run("dpkg", "-i", *places)
        # What it needs is there under Debian's names, and so is /usr/bin/python3.13.
        return self.machine.run("rpm", "-U", "--nodeps", "--replacepkgs", "--oldpackage", *places)

    def remove(self) -> None:
        words = ("dpkg", "-r") if self.kind == "deb" else ("rpm", "-e", "--nodeps")
        self.machine.run(*words, "he-fsm-hosted-engine", "he-fsm")

    def purge(self) -> None:
        if self.kind == "deb":
            self.machine.run("dpkg", "-P", "he-fsm-hosted-engine", "he-fsm")
            return
        # rpm has no such thing: as docs/uninstall.md says.
        self.machine.run("rm", "-r", "/etc/he-fsm", "/var/lib/he-fsm", "/run/he-fsm")
        self.machine.run("userdel", "he-fsm")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Return the packages of both releases, by version."""
    folder = tmp_path_factory.mktemp("packages")
    before = release_before(folder / "before")
    wanted = ["debian13", *(["fedora42"] if shutil.which("rpmbuild") else [])]
    return {
        __version__: build(folder / "now", *wanted),
        BEFORE: build(folder / "old", *wanted, root=before),
    }


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, built: dict[str, dict[str, Path]]
) -> Iterator[Machine]:
    """A Debian 13 with all that the package asks for, which has booted."""
    made = Machine(tmp_path_factory.mktemp("debian") / "root")
    asked = field(built[__version__]["he-fsm.deb"], "Depends").split(", ")
    made.unpack("trixie", ("rpm", *{each.split()[0] for each in asked}))
    with made.booted():
        yield made


@pytest.fixture(scope="module", params=["deb", "rpm"])
def packager(
    request: pytest.FixtureRequest, machine: Machine, built: dict[str, dict[str, Path]]
) -> Packager:
    if request.param == "rpm" and "he-fsm.rpm" not in built[__version__]:
        pytest.skip("rpmbuild is missing: install the package rpm")
    return Packager(machine, request.param, built)


@pytest.fixture(scope="module")
def clean(machine: Machine) -> set[str]:
    # rpm makes its list of packages with the first one.
    machine.run("rpm", "--initdb")
    return machine.files()


def vm_of(machine: Machine) -> int:
    """Return the process of the VM, by the file in which the agent keeps it."""
    return int(json.loads(machine.run("cat", "/run/he-fsm/vm.json"))["pid"])


def is_good(machine: Machine) -> bool:
    try:
        found = json.loads(machine.run("sh", "-c", "he-fsm status --json || true"))
    except ValueError:
        return False
    return bool(found["verdict"].get("engine") == "good")


def pids(machine: Machine) -> dict[str, str]:
    return {
        name: machine.run("systemctl", "show", "-P", "MainPID", name).strip() for name in DAEMONS
    }


def added(machine: Machine, clean: set[str]) -> set[str]:
    """Return what is there that was not, without what systems of rpm have anyway."""
    return {
        name
        for name in machine.files() - clean
        if not name.startswith("srv/") and name != "usr/share/licenses"
    }


def test_it_is_installed_and_nothing_is_started(
    machine: Machine, packager: Packager, clean: set[str]
) -> None:
    assert "var/lib/he-fsm" not in clean
    packager.install(BEFORE)
    assert machine.run("he-fsm", "--version") == f"he-fsm, version {BEFORE}\n"
    for name in DAEMONS:
        assert not machine.succeeds("systemctl", "is-active", "--quiet", name)
        assert machine.run("systemctl", "is-enabled", name, status=1) == "disabled\n"
    assert machine.run("stat", "-c", "%U:%G %a", "/etc/he-fsm", "/var/lib/he-fsm") == (
        "root:he-fsm 750\nhe-fsm:he-fsm 750\n"
    )
    assert machine.run("hosted-engine", "--check-deployed", status=1) == (
        "The hosted engine has not been deployed\n"
    )


@pytest.mark.usefixtures("packager")
def test_the_units_and_their_users_are_good(machine: Machine) -> None:
    found = machine.run("systemd-analyze", "verify", *(f"{name}.service" for name in DAEMONS))
    assert "he-fsm" not in found
    assert machine.run("getent", "passwd", "he-fsm").strip().endswith("/nologin")


@pytest.mark.usefixtures("packager")
def test_the_daemons_run_and_start_the_engine(machine: Machine) -> None:
    (machine.root / "etc/he-fsm/he-fsm.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    machine.run("install", "-d", "-o", "he-fsm", "-g", "he-fsm", "/srv/he-fsm")
    for name, text in (("network", "1"), ("memory", "12367 0.1"), ("cpu", "0.05")):
        (machine.root / "srv/he-fsm" / name).write_text(f"{text}\n", encoding="utf-8")
    assert "made" in machine.run("he-fsm", "storage", "init")
    machine.run("systemctl", "enable", "--now", *DAEMONS)
    until(lambda: is_good(machine), within_s=60)
    program = machine.run("cat", f"/proc/{vm_of(machine)}/cmdline").split("\0")
    assert program[0] == "/usr/lib/he-fsm/bin/python3"


def test_sanlocks_group_is_joined_when_sanlock_comes(machine: Machine, packager: Packager) -> None:
    if packager.kind == "rpm":
        pytest.skip("only a package of rpm's own sets off its trigger")
    machine.run("groupadd", "--system", "sanlock")
    (machine.root / "usr/sbin/sanlock").touch()
    machine.run("dpkg-trigger", "--by-package=dpkg", "--no-await", "/usr/sbin/sanlock")
    machine.run("dpkg", "--configure", "--pending")
    (machine.root / "usr/sbin/sanlock").unlink()
    assert "sanlock" in machine.run("id", "-nG", "he-fsm").split()
    machine.run("groupdel", "sanlock")


def test_a_configuration_that_the_new_release_refuses_leaves_the_old_daemons_alone(
    machine: Machine, packager: Packager
) -> None:
    path = machine.root / "etc/he-fsm/he-fsm.yaml"
    good = path.read_text(encoding="utf-8")
    before, vm = pids(machine), vm_of(machine)
    path.write_text(f"{good}weather: fine\n", encoding="utf-8")
    said = packager.install(__version__)
    path.write_text(good, encoding="utf-8")
    assert "he-fsm: the daemons of the last release go on: " in said
    assert "weather" in said
    assert (pids(machine), vm_of(machine)) == (before, vm)
    packager.install(__version__, "he-fsm")
    assert {name for name, pid in pids(machine).items() if pid == before[name]} == set()


def test_an_upgrade_restarts_both_daemons_and_not_the_vm(
    machine: Machine, packager: Packager
) -> None:
    packager.install(BEFORE)
    until(lambda: is_good(machine), within_s=60)
    before, vm = pids(machine), vm_of(machine)
    packager.install(__version__)
    assert machine.run("he-fsm", "--version") == f"he-fsm, version {__version__}\n"
    now = pids(machine)
    assert all(now[name] not in (before[name], "0") for name in DAEMONS)
    until(lambda: is_good(machine), within_s=60)
    assert vm_of(machine) == vm
    assert machine.succeeds("kill", "-0", str(vm))


def test_what_does_not_run_is_not_started_by_an_upgrade(
    machine: Machine, packager: Packager
) -> None:
    machine.run("systemctl", "stop", "he-fsm-agent")
    packager.install(__version__)
    assert not machine.succeeds("systemctl", "is-active", "--quiet", "he-fsm-agent")
    assert machine.succeeds("systemctl", "is-active", "--quiet", "he-fsm-broker")
    machine.run("systemctl", "start", "he-fsm-agent")
    until(lambda: is_good(machine), within_s=60)


def test_a_removal_stops_the_daemons_and_leaves_the_vm_and_the_state(
    machine: Machine, packager: Packager, clean: set[str]
) -> None:
    vm = vm_of(machine)
    packager.remove()
    assert machine.succeeds("kill", "-0", str(vm))
    for name in DAEMONS:
        assert not machine.succeeds("systemctl", "is-active", "--quiet", name)
    left = added(machine, clean)
    assert [name for name in left if not re.match(r"(etc|var/lib)/he-fsm|etc/systemd/", name)] == []
    assert {"etc/he-fsm/he-fsm.yaml", "var/lib/he-fsm"} <= left
    machine.run("kill", "-9", str(vm))


def test_a_purge_leaves_nothing(machine: Machine, packager: Packager, clean: set[str]) -> None:
    packager.purge()
    # The shared storage is not this host's alone.
    assert added(machine, clean) == set()
    assert clean - machine.files() == set()
    assert not machine.succeeds("getent", "passwd", "he-fsm")
    assert not machine.succeeds("getent", "group", "he-fsm")
    assert machine.run("ls", "/run").split().count("he-fsm") == 0
    assert "he-fsm" not in machine.run("dpkg-query", "-W", "-f", "${Package} ")
    assert machine.run("rpm", "-qa") == ""
    machine.run("rm", "-r", "/srv/he-fsm")
