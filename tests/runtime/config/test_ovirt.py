from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from he_fsm.errors import ConfigError
from he_fsm.policy import OVIRT, TALK
from he_fsm.runtime.config import Config, SmtpConfig, annotated_yaml
from he_fsm.runtime.config.reading import parse_config
from he_fsm.runtime.monitors.section import NetworkMonitorConfig

NOBODY = 65534
DEPLOYED = """\
fqdn=engine.example.com
vmid=3f0a6d5e-0000-4000-8000-000000000001
# a comment = with an equals sign
conf={conf}

storage=nfs.example.com:/exports/he
host_id=2
configured=True
sdUUID=3f0a6d5e-0000-4000-8000-000000000002
ca_subject="C=EN, L=Test, O=Test, CN=Test"
gateway = 192.0.2.1
bridge=ovirtmgmt2
tcp_t_address=
tcp_t_port=None
"""
VM = """\
# Editing the hosted engine VM is only possible via the manager UI\\API
vmId=3f0a6d5e-0000-4000-8000-000000000009
mem Size = 8192  # in MB
devices={device:disk,type:disk}
alone
"""
BROKER = """\
[email]
smtp-server = mail.example.com
smtp-port = 2525
smtp-timeout: 4
source-email = he@example.com
destination-emails = one@example.com, two@example.com ,
[notify]
state_transition = maintenance|up
"""
SCORE = """\
[score]
base-score=3500
network-score-penalty=1700
mgmt-bridge-score-penalty=650
free-memory-score-penalty=450
cpu-load-score-penalty=900
cpu-load-penalty-min=0.3
cpu-load-penalty-max=0.95
not-uptodate-config-penalty=800
engine-retry-score-penalty=60
of-a-later-release=7
"""
OWN = "storage: {path: /srv/he-fsm}\n"


class Site:
    """oVirt's files of one host, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("setup", "agent", "state", "run"):
            (root / name).mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        return path

    def deploy(self, text: str = DEPLOYED) -> Path:
        return self.write("setup/hosted-engine.conf", text.replace("{conf}", str(self.vm_conf)))

    @property
    def vm_conf(self) -> Path:
        return self.root / "elsewhere" / "vm.conf"

    def read(self, own: str = OWN, run_dir: Optional[str] = "run") -> Config:
        text = f"{own}\novirt:\n  dir: setup\n  agent_dir: agent\n  state_dir: state\n"
        if run_dir is not None:
            text += f"  run_dir: {run_dir}\n"
        return parse_config(text, "f.yaml", self.root)

    def said(self, own: str = OWN) -> str:
        with pytest.raises(ConfigError) as caught:
            self.read(own)
        return str(caught.value)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_deployed_host_needs_little_of_its_own(site: Site) -> None:
    path = site.deploy()
    config = site.read()
    assert config.host.id == 2
    assert config.health_url == "http://engine.example.com/ovirt-engine/services/health"
    assert config.engine.vm_id == "3f0a6d5e-0000-4000-8000-000000000001"
    assert config.storage.domain_id == "3f0a6d5e-0000-4000-8000-000000000002"
    assert config.monitors.network == NetworkMonitorConfig(test="ping", address="192.0.2.1")
    assert config.monitors.bridge.name == "ovirtmgmt2"
    assert config.notify.smtp is None
    # Other hosts of the cluster may run oVirt's own agents, whose scores go by its numbers.
    assert config.policy == OVIRT
    assert config.origins["policy.base"] == str(path)
    assert config.origins["host.id"] == f"{path}:7"
    assert config.origins["monitors.network.address"] == f"{path}:11"
    assert config.origins["storage.path"] == "f.yaml:1"


def test_our_own_file_wins_value_by_value(site: Site) -> None:
    site.deploy()
    site.write("state/broker.conf", BROKER)
    config = site.read(
        "host: {id: 5}\nstorage: {path: /s, domain_id: null}\nnotify: {smtp: {port: 26}}\n"
        "engine: {health: {timeout: 3}}\nmonitors: {network: {count: 2}, bridge: {name: br0}}"
    )
    assert config.host.id == 5
    assert config.storage.domain_id is None
    assert config.monitors.bridge.name == "br0"
    assert config.monitors.network == NetworkMonitorConfig(address="192.0.2.1", count=2)
    assert config.engine.health.timeout_s == 3
    assert config.engine.health.url == "http://engine.example.com/ovirt-engine/services/health"
    assert config.notify.smtp is not None
    assert (config.notify.smtp.port, config.notify.smtp.server) == (26, "mail.example.com")


def test_an_empty_section_of_ours_says_nothing(site: Site) -> None:
    site.deploy()
    assert site.read(OWN + "host:\nmonitors:\n  network:\nengine:\n") == site.read()


def test_a_bridge_that_is_read_from_a_file_keeps_its_file(site: Site) -> None:
    site.deploy()
    bridge = site.read(OWN + "monitors: {bridge: {path: b}}").monitors.bridge
    assert (bridge.name, bridge.path) == ("ovirtmgmt", site.root / "b")


@pytest.mark.parametrize(
    ("theirs", "own", "wanted"),
    [
        ("", "{}", NetworkMonitorConfig(address="192.0.2.1")),
        ("network_test=ping", "{}", NetworkMonitorConfig(address="192.0.2.1")),
        ("network_test=dns", "{}", NetworkMonitorConfig(test="dns")),
        ("network_test=none", "{}", NetworkMonitorConfig(test="none")),
        ("network_test=None", "{}", NetworkMonitorConfig(address="192.0.2.1")),
        ("network_test=dns", "{test: ping}", NetworkMonitorConfig(address="192.0.2.1")),
        ("network_test=dns", "{test: none}", NetworkMonitorConfig(test="none")),
        (
            "network_test=tcp\ntcp_t_address=192.0.2.9\ntcp_t_port=443",
            "{}",
            NetworkMonitorConfig(test="tcp", address="192.0.2.9", port=443),
        ),
        (
            "tcp_t_address=192.0.2.9\ntcp_t_port=443",
            "{test: tcp, port: 80}",
            NetworkMonitorConfig(test="tcp", address="192.0.2.9", port=80),
        ),
    ],
)
def test_the_network_is_tested_as_the_test_that_counts_wants_it(
    site: Site, theirs: str, own: str, wanted: NetworkMonitorConfig
) -> None:
    site.deploy(DEPLOYED + theirs)
    assert site.read(f"{OWN}monitors: {{network: {own}}}").monitors.network == wanted


def test_a_test_that_lacks_its_address_in_both_files_is_refused(site: Site) -> None:
    path = site.deploy(DEPLOYED + "network_test=tcp")
    message = 'monitors.network: the test "tcp" needs the key "address"'
    assert f"{path}:15:14: {message}" in site.said()


def test_the_memory_comes_from_the_file_that_the_deployment_names(site: Site) -> None:
    site.deploy()
    site.vm_conf.parent.mkdir()
    site.vm_conf.write_text(VM.replace("8192", "5120"), encoding="utf-8")
    assert site.read(run_dir=None).engine.memory == 5120
    site.vm_conf.rename(site.vm_conf.with_name("vm.conf.fallback"))
    assert site.read(run_dir=None).engine.memory == 5120
    # What our file says is where it is.
    site.write("run/vm.conf", VM)
    config = site.read()
    assert config.engine.memory == 8192
    assert config.engine.vm_id == "3f0a6d5e-0000-4000-8000-000000000001"
    assert config.origins["engine.memory"] == f"{site.root}/run/vm.conf:3"


def test_white_space_and_comments_of_a_vm_conf_mean_nothing(site: Site) -> None:
    site.deploy(DEPLOYED.replace("vmid=", "#vmid="))
    site.write("run/vm.conf", "\n#memSize=1\n m e m Size\t= 20 48#4\nvmId = a b\nmemSize=\n=\nx\n")
    assert site.read().engine.memory == 2048
    assert site.read().engine.vm_id == "ab"
    site.write("run/vm.conf", "memSize=2048\nmemSize=4096\n")
    assert site.read().engine.memory == 4096


def test_a_broker_conf_sends_mails_as_ovirts_broker_does(site: Site) -> None:
    site.deploy()
    path = site.write("state/broker.conf", BROKER)
    config = site.read()
    assert config.notify.smtp == SmtpConfig(
        server="mail.example.com",
        port=2525,
        sender="he@example.com",
        recipients=("one@example.com", "two@example.com"),
        timeout_s=4.0,
    )
    assert config.notify.transitions == "maintenance|up"
    assert config.origins["notify.smtp.port"] == f"{path}:3"
    assert config.origins["notify.smtp.to"] == f"{path}:6"


@pytest.mark.parametrize("text", ["", "[email]\n", "[notify]\nstate_transition=\n"])
def test_what_a_broker_conf_leaves_out_has_its_default(site: Site, text: str) -> None:
    site.deploy()
    site.write("state/broker.conf", text)
    assert site.read().notify.smtp == SmtpConfig()
    assert site.read().notify.transitions is None


def test_mails_can_be_turned_off(site: Site) -> None:
    site.deploy()
    site.write("state/broker.conf", BROKER)
    notify = site.read(OWN + "notify: {smtp: null}").notify
    assert notify.smtp is None
    assert notify.transitions == "maintenance|up"


def test_the_broker_conf_of_2013_is_found_and_the_newer_one_wins(site: Site) -> None:
    site.deploy()
    site.write("agent/broker.conf", BROKER)
    assert site.read().notify.smtp is not None
    site.write("state/broker.conf", "[email]\nsmtp-port=99\n")
    assert site.read().notify.smtp == SmtpConfig(port=99)


def test_values_of_the_section_default_count_in_every_section(site: Site) -> None:
    site.deploy()
    path = site.write("state/broker.conf", "[DEFAULT]\nSMTP-Port = 77\n[email]\nsmtp-server=m\n")
    config = site.read()
    assert config.notify.smtp == SmtpConfig(server="m", port=77)
    assert config.origins["notify.smtp.port"] == f"{path}:2"


CHANGED = attrs.evolve(
    OVIRT,
    base_score=3500,
    gateway_weight=1700,
    bridge_weight=650,
    memory_weight=450,
    cpu_load_weight=900,
    cpu_load_low=0.3,
    cpu_load_high=0.95,
    config_weight=800,
    failed_start_penalty=60,
)


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ("", CHANGED),
        ("policy: ovirt", CHANGED),
        ("policy: {base: ovirt, base_score: 1}", attrs.evolve(CHANGED, base_score=1)),
        ("policy: {loop_s: 5}", attrs.evolve(CHANGED, loop_s=5.0)),
        ("policy: talk", TALK),
        ("policy: {base: talk, loop_s: 5}", attrs.evolve(TALK, loop_s=5.0)),
    ],
)
def test_scores_of_an_agent_conf_change_the_policy_of_ovirt_alone(
    site: Site, own: str, wanted: object
) -> None:
    site.deploy()
    site.write("agent/agent.conf", SCORE)
    assert site.read(OWN + own).policy == wanted


def test_an_agent_conf_without_scores_changes_nothing(site: Site) -> None:
    site.deploy()
    site.write("agent/agent.conf", "[agent]\nbase-score=1\n[score]\nunknown=1\n")
    assert site.read().policy == OVIRT


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("setup/hosted-engine.conf", "host_id=1\nnonsense\n", ":2:1: expected KEY=VALUE, got 'non"),
        ("setup/hosted-engine.conf", "=1\n", ":1:1: expected KEY=VALUE, got '=1'"),
        ("setup/hosted-engine.conf", "x=1\nhost_id =  one\n", ":2:12: host_id: expected a whole"),
        ("setup/hosted-engine.conf", "host_id=0\n", ":1:9: host_id: expected 1 or more, got '0'"),
        ("setup/hosted-engine.conf", "host_id=1\nfqdn=a b\n", ":2:6: fqdn: expected an address"),
        (
            "setup/hosted-engine.conf",
            "host_id=1\nnetwork_test=pin\n",
            ":2:14: network_test: unknown word 'pin', did you mean 'ping'?",
        ),
        ("run/vm.conf", "a=b\nmemSize=lots\n", ":2:9: memSize: expected a number, got 'lots'"),
        ("run/vm.conf", "memSize=-1\n", ":1:9: memSize: expected 0 or more, got '-1'"),
        ("state/broker.conf", "smtp-port=1\n", ":1:1: expected [SECTION] or KEY = VALUE, got"),
        ("state/broker.conf", "[email]\n\nwhat\n", ":3:1: expected [SECTION] or KEY = VALUE, got"),
        ("state/broker.conf", "[email]\nsmtp-port = x\n", ":2:13: smtp-port: expected a whole"),
        ("state/broker.conf", "[email]\ndestination-emails=,\n", ":2:20: destination-emails: exp"),
        ("state/broker.conf", "[email]\na=1\nA=2\n", ":3:1: a stands here twice"),
        ("state/broker.conf", "[email]\n[email]\n", ":2:1: [email] stands here twice"),
        ("state/broker.conf", "[notify]\nstate_transition=(\n", ":2:18: state_transition: expect"),
        ("agent/agent.conf", "[score]\nbase-score=many\n", ":2:12: base-score: expected a whole"),
        (
            "agent/agent.conf",
            "[score]\ncpu-load-penalty-min=-1",
            ":2:22: cpu-load-penalty-min: cpu",
        ),
    ],
)
def test_what_can_not_be_understood_is_refused_where_it_stands(
    site: Site, name: str, text: str, message: str
) -> None:
    site.deploy()
    path = site.write(name, text)
    said = site.said()
    assert said.startswith(str(path))
    assert message in said


def test_noise_is_refused_with_its_place(site: Site) -> None:
    path = site.deploy()
    path.write_bytes(b"host_id=1\nfqdn=\xff\n")
    assert f"{path}:2:6: not UTF-8 (byte 0xff); where oVirt's files are not meant" in site.said()


def test_a_file_that_is_there_and_can_not_be_read_is_an_error(site: Site) -> None:
    (site.root / "setup" / "hosted-engine.conf").mkdir()
    said = site.said()
    assert "hosted-engine.conf: can't be read: Is a directory; where oVirt's files" in said
    assert said.endswith("set 'ovirt: none'")


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be nobody for a moment, as root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_of_others_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        site = Site(Path(name))
        path = site.deploy()
        site.read()
        path.chmod(0)
        with ordinary_user():
            assert f"{path}: can't be read: Permission denied" in site.said()


OWN_ALONE = OWN + "host: {id: 9}\nmonitors: {network: {test: none}}\n"


def test_a_host_that_is_not_deployed_has_no_files_of_ovirt(site: Site) -> None:
    site.deploy(DEPLOYED.replace("configured=True", "configured=False"))
    site.write("state/broker.conf", BROKER)
    site.write("agent/agent.conf", SCORE)
    config = site.read(OWN_ALONE)
    assert set(config.origins) == {
        *("storage.path", "host.id", "monitors.network.test"),
        *("ovirt.dir", "ovirt.agent_dir", "ovirt.state_dir", "ovirt.run_dir"),
    }


def test_files_that_are_not_there_are_not_missed(site: Site) -> None:
    config = site.read(OWN_ALONE.replace("id: 9", "id: 4"))
    assert config.host.id == 4
    assert config.engine.health.url is None


def test_the_files_can_be_left_alone(site: Site) -> None:
    site.deploy("nonsense")
    for none in ("none", "null", ""):
        text = f"{OWN_ALONE}ovirt: {none}\n"
        assert parse_config(text, "f.yaml", site.root).ovirt is None


@pytest.mark.parametrize(
    ("ovirt", "message"),
    [
        ("nowhere", "f.yaml:1:8: ovirt: expected a mapping like {dir: /etc/ovirt-hosted-engine}"),
        ("{folder: x}", "f.yaml:1:9: ovirt.folder: unknown key"),
        ("{dir: }", "f.yaml:1:13: ovirt.dir: expected a path, got nothing (null)"),
    ],
)
def test_where_the_files_are_is_checked_too(ovirt: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"ovirt: {ovirt}\n{OWN_ALONE}", "f.yaml", Path("/srv"))
    assert message in str(caught.value)


def test_what_is_shown_of_ovirts_files_is_the_same_configuration(site: Site) -> None:
    site.deploy()
    site.write("run/vm.conf", VM)
    site.write("state/broker.conf", BROKER)
    site.write("agent/agent.conf", SCORE)
    config = site.read()
    shown = annotated_yaml(config)
    assert f"# {site.root}/agent/agent.conf:2" in shown
    assert parse_config(shown, "shown.yaml", site.root) == config


@given(
    name=st.sampled_from(
        ["setup/hosted-engine.conf", "run/vm.conf", "state/broker.conf", "agent/agent.conf"]
    ),
    text=st.lists(
        st.sampled_from([*"=[]#:; \n\t\r%\x0b\u2028é1", "host_id", "memSize", "email", "score"])
    ).map("".join),
    before=st.sampled_from(["", "[email]\n", "[score]\nbase-score", "host_id=1\nmemSize"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, before: str
) -> None:
    site = Site(tmp_path_factory.mktemp("site"))
    path = site.write(name, before + text)
    said = ""
    try:
        site.read(OWN_ALONE)
    except ConfigError as e:
        said = str(e)
    assert not said or said.startswith((str(path), "f.yaml"))
