"""From an empty directory to an engine that fails over, and back: on real daemons."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from he_fsm.testing.waiting import until
from tests.runtime.deploy.deploying import DeployedHost, DeploySite


def deployed(site: DeploySite, host: DeployedHost, words: list[str]) -> str:
    done = site.run(words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("Hosted Engine successfully set up\n")
    host.start()
    return done.stdout


def test_three_hosts_from_an_empty_directory(site: DeploySite) -> None:
    """A first host and two further ones; its power is cut; the engine comes back; one leaves."""
    first, *others = hosts = [site.host(number) for number in (1, 2, 3)]
    said = deployed(site, first, first.first_words())
    assert "Installing on first host" in said
    assert site.engine_is_up() is first
    for host in others:
        said = deployed(site, host, host.deploy_words())
        assert "this host joins, with the answers given there" in said
    assert [host.number for host in hosts] == ["1", "2", "3"]
    until(lambda: all(host.report().get("alive") == [1, 2, 3] for host in hosts))
    first.lose_power()
    here = site.engine_is_up()
    assert here in others
    _leaves(site, here)
    other = next(host for host in others if host is not here)
    assert site.engine_is_up() is other
    assert not here.config.exists()
    until(lambda: sorted(other.report().get("alive", ())) == [int(other.number)])
    _its_id_is_free_again(site, here)


def _leaves(site: DeploySite, host: DeployedHost) -> None:
    """The engine moves away; nobody but this test stops the daemons, where no systemd runs."""
    words = ["undeploy", "--config", str(host.config), "--yes"]
    number = host.number

    def stop(_: subprocess.Popen[str]) -> None:
        threading.Thread(target=host.stop).start()

    status, said = site.run_until(words, "stop the agent first, then the broker", stop)
    assert status == 0, said
    assert "this host is empty" in said
    assert said.endswith(f"Host {number} is out of its cluster\n")


def _its_id_is_free_again(site: DeploySite, host: DeployedHost) -> None:
    done = site.run(host.deploy_words("--dry-run"))
    assert f"Host ID                            : {host.folder.name[-1]}\n" in done.stdout


@pytest.mark.long
def test_a_further_host_has_the_first_ones_configuration(site: DeploySite) -> None:
    first, second = site.host(1), site.host(2)
    deployed(site, first, first.first_words("--memory-mb", "5000"))
    deployed(site, second, second.deploy_words())
    one, two = (yaml.safe_load(host.config.read_text(encoding="utf-8")) for host in (first, second))
    own = ("host", "run_dir", "state_dir", "ovirt")
    assert {key: value for key, value in one.items() if key not in own} == {
        key: value for key, value in two.items() if key not in own
    }
    assert two["engine"]["memory"] == 5000


@pytest.mark.long
def test_a_host_whose_engine_can_t_leave_stays(site: DeploySite) -> None:
    first, second = site.host(1), site.host(2)
    deployed(site, first, first.first_words())
    assert site.engine_is_up() is first
    deployed(site, second, second.deploy_words())
    until(lambda: first.report().get("alive") == [1, 2])
    assert site.run(["maintenance", "local", "--config", str(second.config)]).returncode == 0
    until(lambda: second.report().get("state") == "LocalMaintenance")
    done = site.run(["undeploy", "--config", str(first.config), "--yes", "--wait", "3s"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "[ ERROR ] the engine has not left, so this host stays" in done.stdout
    assert first.config.exists()
    assert first.report()["vm"] == "up"


def test_a_dry_run_touches_nothing(site: DeploySite) -> None:
    host = site.host(1)
    before = site.tree()
    done = site.run(host.first_words("--dry-run"))
    assert done.returncode == 0
    assert site.tree() == before
    assert f"write a whiteboard for 64 hosts in {site.shared}/whiteboard" in done.stdout
    assert "Nothing was done: --dry-run" in done.stdout


@pytest.mark.long
def test_answers_come_from_ovirts_file(site: DeploySite) -> None:
    """Types and all; a confirmation, too."""
    host = site.host(1)
    answers = site.folder / "answers.conf"
    answers.write_text(
        "[environment:default]\n"
        f"OVEHOSTED_STORAGE/storageDomainConnection=str:{site.shared}\n"
        "OVEHOSTED_STORAGE/domainType=str:directory\n"
        "OVEHOSTED_NETWORK/gateway=str:127.0.0.1\n"
        "OVEHOSTED_NETWORK/fqdn=str:engine.example.com\n"
        "OVEHOSTED_VM/vmMemSizeMB=int:4321\n"
        "OVEHOSTED_VM/vmCDRom=none:None\n"
        "OVEHOSTED_CORE/confirmSettings=bool:True\n"
        "HE_FSM/hypervisor=str:embedded\n",
        encoding="utf-8",
    )
    words = ["deploy", *host.words("--config-append", answers)]
    done = site.run(words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(host.folder / "ovirt" / "vm.conf").read_text(encoding="utf-8").startswith("vmId=")
    written = (host.folder / "ovirt" / "answers.conf").read_text(encoding="utf-8")
    assert "OVEHOSTED_VM/vmMemSizeMB=int:4321\n" in written
    # What was written answers everything, once more.
    again = site.folder / "again.conf"
    again.write_text(written.replace(str(site.shared), f"{site.shared}2"), encoding="utf-8")
    (site.folder / "other").mkdir()
    other = DeploySite(site.folder / "other").host(1)
    said = site.run(["deploy", *other.words("--config-append", again, "--dry-run")])
    assert (said.returncode, said.stderr) == (0, "")
