"""What oVirt's files say that means nothing here is named, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from he_fsm.cli.config import config
from he_fsm.runtime.config.ovirt.notes import ovirt_notes
from tests.runtime.config.test_ovirt import BROKER, DEPLOYED, OWN, SCORE, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.deploy()
    return site


def notes(site: Site) -> list[str]:
    return [str(each) for each in ovirt_notes(site.read(OWN).ovirt)]


def test_files_as_ovirt_writes_them_are_no_news(site: Site) -> None:
    site.write("state/broker.conf", BROKER)
    site.write("agent/agent.conf", SCORE.replace("of-a-later-release=7\n", ""))
    assert notes(site) == []
    assert ovirt_notes(None) == ()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "agent/agent.conf",
            "[score]\ngateway-score-penalty=1600\n",
            (
                ":2:23: gateway-score-penalty: this key means nothing in [score]: write"
                " network-score-penalty"
            ),
        ),
        (
            "agent/agent.conf",
            "[score]\ncpu-load-penalty-mix=0.4\n",
            (
                "cpu-load-penalty-mix: this key means nothing in [score], did you mean"
                " 'cpu-load-penalty-m"
            ),
        ),
        (
            "state/broker.conf",
            "[email]\nsmtp-host = mail.example.com\n",
            "smtp-host: this key means nothing in [email]: write smtp-server",
        ),
        (
            "state/broker.conf",
            "[email]\nsmtp-server = mail.example.com:587\n",
            (
                "smtp-server: the port does not belong here: write smtp-server ="
                " mail.example.com and smtp-port = 587"
            ),
        ),
        (
            "state/broker.conf",
            "[notify]\nstate_transition = up|EngineUnexpectedlyDown\n",
            ":2:20: state_transition: no edge between states here matches 'EngineUnexpectedlyDown'",
        ),
        (
            "state/broker.conf",
            '[email]\nsmtp-server = "mail.example.com"\n',
            "smtp-server: the quotes are part of the value here: write mail.example.com",
        ),
    ],
)
def test_what_means_nothing_is_named_with_its_place(
    site: Site, name: str, text: str, says: str
) -> None:
    path = site.write(name, text)
    (said,) = notes(site)
    assert said.startswith(f"{path}:2:")
    assert says in said


def test_an_address_of_ipv6_is_asked_in_brackets(site: Site) -> None:
    path = site.deploy(DEPLOYED.replace("fqdn=engine.example.com", "fqdn=2001:db8::1"))
    assert site.read(OWN).health_url == "http://[2001:db8::1]/ovirt-engine/services/health"
    (said,) = notes(site)
    assert said.startswith(f"{path}:1:6: fqdn: an IPv6 address, asked as http://[2001:db8::1]/")


def test_a_host_that_is_not_configured_is_said(site: Site) -> None:
    for word in ("False", "true", '"True"'):
        path = site.deploy(DEPLOYED.replace("configured=True", f"configured={word}"))
        own = f"{OWN}host: {{id: 9}}\nmonitors: {{network: {{test: none}}}}\n"
        (said,) = map(str, ovirt_notes(site.read(own).ovirt))
        assert said.startswith(f"{path}:8:12: configured: nothing in oVirt's files is used")


def test_config_check_shows_them_as_notes(site: Site) -> None:
    site.write("agent/agent.conf", "[score]\ngateway-score-penalty=1600\n")
    folders = "ovirt: {dir: setup, agent_dir: agent, state_dir: state}\n"
    path = site.write("he-fsm.yaml", OWN + folders)
    result = CliRunner().invoke(config, ["check", "--config", str(path)])
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.output.splitlines() if "gateway-score-penalty" in line)
    assert line.startswith("note: ")
