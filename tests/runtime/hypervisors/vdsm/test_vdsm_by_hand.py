"""`hosted-engine` on hosts with vdsm: real VMs under real leases, by the original's calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from he_fsm.cli.hosted_engine import CONFIG_VARIABLE
from he_fsm.cli.hosted_engine import run as hosted_engine
from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.snapshot import VmState
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.vdsm.vdsm_hosts import NEEDS_VDSM, VdsmHosts

pytestmark = NEEDS_VDSM
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(
    hosts: VdsmHosts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Run `hosted-engine` on a host."""

    def ran(host_id: int, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv(CONFIG_VARIABLE, str(config_of(hosts, host_id)))
        status = hosted_engine(words)
        found = capsys.readouterr()
        return status, found.out, found.err

    return ran


def config_of(hosts: VdsmHosts, host_id: int) -> str:
    sanlock, section = hosts.lab.sanlock.at(host_id).settings, hosts.configs[host_id]
    path = hosts.folder / f"he-fsm-{host_id}.yaml"
    plain = {
        "host": {"id": host_id},
        "run_dir": str(hosts.run_dir(host_id)),
        "storage": {"path": str(hosts.folder), "domain_id": sanlock.lockspace},
        "leases": "vdsm",
        "vdsm": {
            "image": "i",
            "volume": sanlock.resource,
            "path": sanlock.path,
            "resource_path": sanlock.resource_path,
            "resource_offset": sanlock.resource_offset,
            "run_dir": sanlock.run_dir,
            "clock_rate": sanlock.clock_rate,
        },
        "hypervisor": {
            "kind": "vdsm",
            "vm_id": VM_ID,
            "host": section.host,
            "port": section.port,
            "tls": False,
            "conf": str(section.conf),
            "name": section.name,
            "pid_dir": str(section.pid_dir),
            "driver_conf": str(section.driver_conf),
        },
        "engine": {"health": {"url": "http://127.0.0.1/"}},
        "monitors": {"network": {"test": "none"}},
        "policy": {"io_timeout_s": hosts.lab.rules.io_timeout_s},
        "ovirt": "none",
    }
    path.write_text(yaml.safe_dump(plain))
    return str(path)


def test_the_vm_is_started_and_ended_by_vdsm_beside_the_agent(hosts: VdsmHosts, said: Said) -> None:
    # Nobody's agent tells what follows here: the order is carried out all the same.
    status, out, err = said(1, "--vm-start")
    assert (status, out) == (0, "VM in WaitForLaunch\n")
    assert "not known what the agents do next" in err
    hosts.reaches(1, VmState.UP)
    assert hosts.owner() == 1
    # vdsm says Powering up for a minute.
    status, out, _ = said(1, "--vm-start")
    assert (status, out.partition("status is ")[2]) in ((1, "Up\n"), (1, "Powering up\n"))
    status, out, err = said(2, "--vm-start")
    assert (status, out) == (1, "VM failed to launch\n")
    assert err == "hosted-engine: host 1 holds the engine's lease\n"
    assert said(2, "--vm-poweroff")[:2] == (1, "")
    assert said(2, "--console") == (0, "The engine VM is not on this host\n", "")
    assert said(1, "--vm-shutdown")[:2] == (0, "")
    hosts.reaches(1, VmState.ABSENT)
    until(lambda: hosts.owner() is None)
    assert said(2, "--vm-start")[:2] == (0, "VM in WaitForLaunch\n")
    hosts.reaches(2, VmState.UP)
    assert said(2, "--vm-poweroff")[:2] == (0, "")
    hosts.reaches(2, VmState.ABSENT)


def test_a_definition_without_the_engines_lease_is_not_started(
    hosts: VdsmHosts, said: Said
) -> None:
    hosts.write_conf(None)
    status, out, err = said(1, "--vm-start")
    assert (status, out) == (1, "VM failed to launch\n")
    assert "does not name the engine's lease" in err
    hosts.conf.unlink()
    status, out, err = said(1, "--vm-start")
    assert (status, out) == (1, "")
    assert "was not fetched from the shared storage yet" in err
    assert hosts.state(1) is VmState.ABSENT
    hosts.write_conf(hosts.lab.place())


def test_leases_of_vdsm_are_not_written_anew(hosts: VdsmHosts, said: Said) -> None:
    status, _, err = said(1, "--reinitialize-lockspace", "--force")
    assert status == 1
    assert "made by vdsm" in err
    assert hosts.state(1) is VmState.ABSENT
