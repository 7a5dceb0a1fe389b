"""The systemd units and snippets, as systemd's own tools judge them."""

from __future__ import annotations

import configparser
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from he_fsm.cli.exits import UNUSABLE
from he_fsm.runtime.service.daemon import EXIT_SUPERSEDED
from he_fsm.scenario.model import World

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
SINGLE = ("he-fsm-agent.service", "he-fsm-broker.service")
TEMPLATES = ("he-fsm-agent@.service", "he-fsm-broker@.service")
UNITS = (*SINGLE, *TEMPLATES)
# Beside the daemons, for people: no host needs it.
DASHBOARD = "he-fsm-dashboard.service"
DROP_INS = {
    "qemu": ("he-fsm-agent.service.d/sanlock-qemu.conf", "he-fsm-broker.service.d/sanlock.conf"),
    "libvirt": (
        "he-fsm-agent.service.d/sanlock-libvirt.conf",
        "he-fsm-broker.service.d/sanlock-libvirt.conf",
    ),
}
# systemd's own scale from 0 (locked in) to 10; what it calls OK ends at 5.
EXPOSURE_MAX = 3.0


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}: it comes with the package systemd")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units, their programs being some that are there."""
    for name in (*UNITS, DASHBOARD):
        text = (FOLDER / name).read_text(encoding="utf-8")
        text, count = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", text)
        assert count == 1
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_units_are_verified(installed: Path) -> None:
    units = (*UNITS, DASHBOARD)
    done = run(tool("systemd-analyze"), "verify", *(str(installed / name) for name in units))
    about_ours = [line for line in done.stderr.splitlines() if "he-fsm" in line]
    assert about_ours == []
    assert done.returncode == 0


@pytest.fixture(params=DROP_INS)
def with_vms(installed: Path, request: pytest.FixtureRequest) -> Path:
    """Return the folder with the units as they are for sanlock, and QEMU or libvirt."""
    for name in DROP_INS[request.param]:
        (installed / name).parent.mkdir()
        shutil.copy(FOLDER / name, installed / name)
    return installed


def test_the_drop_ins_are_verified(with_vms: Path) -> None:
    done = run(tool("systemd-analyze"), "verify", *(str(with_vms / name) for name in UNITS))
    assert [line for line in done.stderr.splitlines() if "he-fsm" in line] == []
    assert done.returncode == 0


def test_the_drop_ins_are_read(with_vms: Path) -> None:
    (drop_in,) = (with_vms / "he-fsm-agent.service.d").iterdir()
    drop_in.write_text("[Service]\nNonsense=1\n", encoding="utf-8")
    done = run(tool("systemd-analyze"), "verify", *(str(with_vms / name) for name in UNITS))
    assert "Nonsense" in done.stderr


@pytest.mark.parametrize("name", [*UNITS, DASHBOARD])
def test_the_units_are_locked_in(installed: Path, name: str) -> None:
    analyze = tool("systemd-analyze")
    done = run(analyze, "security", "--offline=true", "--no-pager", str(installed / name))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd judges running units only")
    exposure = re.search(r"exposure level for [^:]*: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",))
    # Keys are systemd's, letter by letter.
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name, encoding="utf-8")
    return parser


def service(name: str) -> configparser.SectionProxy:
    return unit(name)["Service"]


def test_the_vm_survives_its_agent_and_its_folder() -> None:
    assert service("he-fsm-agent.service")["KillMode"] == "process"
    for name in UNITS:
        assert service(name)["RuntimeDirectoryPreserve"] == "yes"


def test_what_a_restart_would_not_change_is_not_restarted() -> None:
    for names in (SINGLE, TEMPLATES):
        agent, broker = (service(name)["RestartPreventExitStatus"].split() for name in names)
        assert agent == [str(UNUSABLE), str(EXIT_SUPERSEDED)]
        assert broker == [str(UNUSABLE)]


@pytest.mark.parametrize(
    ("name", "restart_s"),
    [(UNITS[0], World().agent_restart_s), (UNITS[1], World().broker_restart_s)],
)
def test_a_daemon_that_has_crashed_is_started_again_as_scenarios_have_it(
    name: str, restart_s: float
) -> None:
    assert service(name)["Restart"] == "on-failure"
    assert service(name)["RestartSec"] == f"{restart_s:g}s"
    # However often it has crashed: the simulator knows no start limit.
    assert unit(name)["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.parametrize(("single", "template"), list(zip(SINGLE, TEMPLATES)))
def test_a_template_is_the_unit_with_another_name_for_each_service(
    single: str, template: str
) -> None:
    text = (FOLDER / template).read_text(encoding="utf-8")
    # A comment stands before the unit, and the description names the service.
    _, _, text = text.partition("docs/services.md.\n")
    text = re.sub(r"(?m)^Description=.*$", "", text)
    for inner, plain in (("/%i.yaml", "/he-fsm.yaml"), ("-%i", ""), ("@%i", "")):
        text = text.replace(inner, plain)
    text = re.sub(r"(he-fsm-\w+)@", r"\1", text)
    wanted = (FOLDER / single).read_text(encoding="utf-8")
    assert text == re.sub(r"(?m)^Description=.*$", "", wanted)


def test_the_dashboard_yields_to_the_daemons_and_writes_nothing() -> None:
    found = service(DASHBOARD)
    assert found["User"] == service(SINGLE[1])["User"]
    assert int(found["OOMScoreAdjust"]) > 0 > int(service(SINGLE[1])["OOMScoreAdjust"])
    assert found["ProtectSystem"] == "strict"
    assert not {"ReadWritePaths", "StateDirectory", "RuntimeDirectory"} & set(found)
    assert found["RestartPreventExitStatus"] == str(UNUSABLE)


def test_a_template_keeps_the_services_of_a_host_apart() -> None:
    for name in TEMPLATES:
        assert service(name)["RuntimeDirectory"] == "he-fsm-%i"
        assert service(name)["StateDirectory"] == "he-fsm-%i"
        assert service(name)["ExecStart"].endswith(" --config /etc/he-fsm/%i.yaml")
    assert unit(TEMPLATES[0])["Unit"]["Wants"] == TEMPLATES[1].replace("@", "@%i")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_the_snippets_make_user_and_folders(tmp_path: Path) -> None:
    sysusers, tmpfiles = tool("systemd-sysusers"), tool("systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    done = run(sysusers, f"--root={tmp_path}", str(FOLDER / "he-fsm.sysusers.conf"))
    assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")
    user = re.search(r"^he-fsm:[^:]*:(\d+):(\d+):", users, re.MULTILINE)
    assert user is not None
    done = run(tmpfiles, f"--root={tmp_path}", "--create", str(FOLDER / "he-fsm.tmpfiles.conf"))
    assert done.returncode == 0, done.stderr
    owner = pwd.getpwuid(0).pw_uid
    for path, uid in (
        ("etc/he-fsm", owner),
        ("run/he-fsm", int(user[1])),
        ("run/he-fsm/hosts", int(user[1])),
        ("var/lib/he-fsm", int(user[1])),
    ):
        status = (tmp_path / path).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (uid, int(user[2]), 0o750)
