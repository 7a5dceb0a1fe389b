"""The kind `libvirt` as a configuration names it, and what it finds wrong on a host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Optional
from xml.etree import ElementTree as ET

import pytest
import yaml

from he_fsm.errors import ConfigError
from he_fsm.lab.libvirt.domain import NAME, domain_xml
from he_fsm.runtime import parts
from he_fsm.runtime.config import load_config
from he_fsm.runtime.hypervisors.libvirt.kind import KIND
from he_fsm.runtime.leases.sanlock.section import settings_of
from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT, LibvirtHosts

URL = "https://engine.example.com/ovirt-engine/services/health"


def written(folder: Path, **changes: Any) -> Path:
    plain = {
        "host": {"id": 1},
        "run_dir": str(folder),
        "state_dir": str(folder),
        "storage": {"path": str(folder)},
        "leases": "sanlock",
        "hypervisor": {"kind": "libvirt"},
        "engine": {"health": {"url": URL}},
        "monitors": {"network": {"test": "none"}},
        **changes,
    }
    path = folder / "he-fsm.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value}))
    return path


def test_the_usual_section(tmp_path: Path) -> None:
    section = load_config(written(tmp_path)).hypervisor
    assert (section.uri, section.domain) == ("qemu:///system", "HostedEngine")
    assert section.pid_file == Path("/run/libvirt/qemu/HostedEngine.pid")
    assert section.migrate.peers is None


def test_the_host_id_is_kept_by_the_pid_file(tmp_path: Path) -> None:
    """Who joins the lockspace looks there whether a VM of an earlier time runs."""
    hypervisor = {"kind": "libvirt", "domain": "engine", "pid_dir": "/run/x"}
    config = load_config(written(tmp_path, hypervisor=hypervisor))
    assert settings_of(config).vm_pid_file == "/run/x/engine.pid"
    assert settings_of(load_config(written(tmp_path, hypervisor=None))).vm_pid_file == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leases": None}, "write 'leases: sanlock'"),
        ({"leases": "embedded"}, "write 'leases: sanlock'"),
        ({"engine": {"memory": 1}}, "url"),
        (
            {"hypervisor": {"kind": "libvirt", "migrate": {"peers": "qemu+tls://host2/system"}}},
            "all hosts have one address",
        ),
        ({"hypervisor": {"kind": "libvirt", "uri": "xen:///"}}, "qemu:///system"),
        ({"hypervisor": {"kind": "libvirt", "domain": "a/b"}}, "a domain's name"),
    ],
)
def test_what_can_not_be_used_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=r"he-fsm\.yaml:") as refused:
        load_config(written(tmp_path, **changes))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("peers", "name"),
    [
        (None, None),
        ("qemu+tls://host{id}.example.com/system", "host2.example.com"),
        # Its record tells it.
        ("qemu+tls://{hostname}/system", None),
    ],
)
def test_a_peers_name(tmp_path: Path, peers: Optional[str], name: Optional[str]) -> None:
    section = {"kind": "libvirt", "migrate": {"peers": peers}}
    config = load_config(written(tmp_path, hypervisor=section))
    assert KIND.peer_name(config, 2) == name


def config_of(
    hosts: LibvirtHosts, folder: Path, run_dir: Optional[Path] = None, **section: Any
) -> Path:
    """Write the configuration of host 1, and return its path."""
    lab = hosts.lab
    settings = lab.sanlock.at(1).settings
    return written(
        folder,
        run_dir=str(run_dir or folder),
        sanlock={
            "lockspace": settings.lockspace,
            "resource": settings.resource,
            "path": settings.path,
            "run_dir": settings.run_dir,
        },
        hypervisor={
            "kind": "libvirt",
            "uri": lab.daemons[1].uri,
            "pid_dir": str(lab.daemons[1].pid_dir),
            "driver_conf": str(lab.daemons[1].driver_conf),
            **section,
        },
    )


# What the command does on host 1, in that host's network.
_REACH = """
import sys
from he_fsm.runtime.config import load_config
from he_fsm.runtime.parts import moves_hindered
from he_fsm.runtime.ports import Peer
for found in moves_hindered(load_config(sys.argv[1]), [Peer(2, "host2")]):
    print(found)
"""


def reached(hosts: LibvirtHosts, path: Path) -> str:
    command = [sys.executable, "-c", _REACH, str(path)]
    done = subprocess.run(
        hosts.lab.network.within("1", command),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


class TestOnAHost:
    """With libvirt's real daemon."""

    pytestmark = NEEDS_LIBVIRT

    def test_a_host_that_is_well_lacks_nothing(self, hosts: LibvirtHosts, tmp_path: Path) -> None:
        assert list(KIND.needs(load_config(config_of(hosts, tmp_path)))) == []

    def test_what_a_domain_has_wrong_is_found(self, hosts: LibvirtHosts, tmp_path: Path) -> None:
        hosts.lab.define(1, domain_xml(hosts.lab.guest, hosts.lab.disk, None))
        hosts.by_hand(1, "setAutostart", 1)
        try:
            found = [str(each) for each in KIND.needs(load_config(config_of(hosts, tmp_path)))]
        finally:
            hosts.by_hand(1, "setAutostart", 0)
        assert [each.partition(":")[0] for each in found] == [
            f"the domain {NAME} has no <lease>",
            f"libvirt starts the domain {NAME} by itself (autostart), beside the agent",
        ]

    def test_what_is_not_there_is_found(self, hosts: LibvirtHosts, tmp_path: Path) -> None:
        (unknown,) = KIND.needs(load_config(config_of(hosts, tmp_path, domain="nobody")))
        assert unknown.is_fatal
        assert unknown.what == "libvirt knows no domain nobody on this host"
        uri = "qemu+unix:///system?socket=/nowhere"
        (no_daemon,) = KIND.needs(load_config(config_of(hosts, tmp_path, uri=uri)))
        assert not no_daemon.is_fatal
        assert "systemctl start libvirtd" in no_daemon.mend

    def test_what_keeps_the_domain_from_moving_is_found(
        self, hosts: LibvirtHosts, tmp_path: Path
    ) -> None:
        migrate = {"peers": "qemu+tcp://10.99.1.{id}/system", "unsafe": True}
        path = config_of(hosts, tmp_path, migrate=migrate)
        assert reached(hosts, path) == ""
        hosts.lab.daemons[2].close()
        try:
            found = reached(hosts, path)
        finally:
            hosts.lab.daemons[2].start()
        assert "migrate.peers: host 2 at qemu+tcp://10.99.1.2/system: " in found
        assert reached(hosts, config_of(hosts, tmp_path)) == ""

    def test_a_cpu_that_a_host_has_not_is_known(self, hosts: LibvirtHosts) -> None:
        from he_fsm.runtime.hypervisors.libvirt.reach import runs_cpu

        with hosts.lab.domain(2) as other:
            capabilities = ET.fromstring(other.raw.getCapabilities())
            here = capabilities.find("host/cpu")
            assert here is not None
            assert runs_cpu(other, ET.tostring(here, encoding="unicode"))
            # No CPU has all of these: AMD left one out before it brought the next.
            own = {feature.get("name") for feature in here.iter("feature")}
            for name in {"3dnow", "xop", "amx-tile"} - own:
                ET.SubElement(here, "feature", name=name)
            assert not runs_cpu(other, ET.tostring(here, encoding="unicode"))

    def test_the_adapter_of_a_configuration_starts_the_domain(
        self, hosts: LibvirtHosts, tmp_path: Path
    ) -> None:
        config = load_config(config_of(hosts, tmp_path))
        hypervisor = parts.make_hypervisor(config)
        try:
            hypervisor.start()
            until(lambda: hypervisor.observe().vm.state is VmState.UP)
            vm = parts.make_access(config).identity()
            assert vm is not None
            assert vm.name == NAME
            hypervisor.power_off()
            until(lambda: hypervisor.observe().vm.state is VmState.ABSENT)
        finally:
            hypervisor.close()
