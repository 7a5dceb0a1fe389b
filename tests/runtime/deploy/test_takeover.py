"""A host with vdsm is taken over: the engine runs on, and all is as before where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest
import yaml
from click.testing import CliRunner

from he_fsm.cli.main import cli
from he_fsm.errors import DeployError, HeFsmError
from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.lab.ovirt.host import OvirtHost
from he_fsm.lab.ovirt.lab import OvirtLab
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.testing.waiting import until
from tests.cli.conftest import environment
from tests.lab.guest import skipped_without_packages
from tests.rehearse.scenes import scenario_of
from tests.runtime.deploy.test_edges import SYSTEMCTL
from tests.runtime.hypervisors.qemu.qemu_hosts import short_folder
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK

REAL = [
    *NEEDS_SANLOCK,
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab's network is root's"),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU"),
]
SPEED = 10.0
# What oVirt's installer writes of the engine and of the whiteboard's volume.
DEPLOYMENT = """fqdn=engine.example.com
vmid={vm_id}
host_id=1
sdUUID=4d1e4b6c-0000-4000-8000-000000000001
metadata_image_UUID=4d1e4b6c-0000-4000-8000-000000000002
metadata_volume_UUID=4d1e4b6c-0000-4000-8000-000000000003
gateway=192.0.2.1
bridge=ovirtmgmt
"""
# The command, where a stand-in is systemd.
CODE = (
    "import sys; from pathlib import Path; from he_fsm.deploy.carrying import machine;"
    " machine._SYSTEMD = Path(sys.argv.pop(1)); from he_fsm.cli.main import main; main()"
)


@attrs.define
class Taken:
    """A host of a lab, on which other agents have run, and a stand-in for systemd."""

    lab: OvirtLab
    folder: Path

    @property
    def host(self) -> OvirtHost:
        return self.lab.hosts["1"]

    @property
    def config(self) -> Path:
        return self.folder / "etc" / "he-fsm.yaml"

    def prepare(self) -> None:
        """Write what oVirt's installer has left, the settings of the lab, and the stand-in."""
        for name in ("ovirt", "bin", "pids"):
            (self.folder / name).mkdir()
        (self.folder / "ovirt" / "hosted-engine.conf").write_text(
            DEPLOYMENT.format(vm_id=VM_ID), encoding="ascii"
        )
        plain: dict[str, Any] = yaml.safe_load(
            (self.host.folder / "config.yaml").read_text("utf-8")
        )
        plain["ovirt"] = {"dir": str(self.folder / "ovirt"), "run_dir": None}
        plain["storage"]["whiteboard"] = f"{plain['storage']['path']}/whiteboard"
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
        program = self.folder / "bin" / "systemctl"
        program.write_text(
            SYSTEMCTL.format(
                python=sys.executable,
                log=str(self.folder / "systemctl.log"),
                pids=str(self.folder / "pids"),
                config=str(self.config),
            ),
            encoding="utf-8",
        )
        program.chmod(0o755)

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the command on the host's network."""
        words = ["deploy", "--hypervisor", "vdsm", "--config", str(self.config)]
        words += ["--settings", str(self.folder / "settings.yaml"), *more]
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            self.host.within([sys.executable, "-c", CODE, str(self.folder), *words]),
            env=environment({"PATH": path, "PYTHONPATH": str(Path(__file__).parents[3])}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def calls(self) -> list[str]:
        return (self.folder / "systemctl.log").read_text(encoding="ascii").splitlines()

    def end(self) -> None:
        """End the daemons that the stand-in has started."""
        if (self.folder / "bin").exists():
            subprocess.run(
                [self.folder / "bin" / "systemctl", "stop", "he-fsm-agent", "he-fsm-broker"],
                check=False,
                timeout=60,
            )


def state_of(client: BrokerClient) -> Optional[str]:
    """Return the state of a host's agent; None: nothing answers."""
    with suppress(HeFsmError):
        return client.last_report().get("state")
    return None


@pytest.fixture
def taken() -> Iterator[Taken]:
    scenario = scenario_of("hosts: 1\nuntil: 60s")
    with short_folder() as folder:
        (folder / "lab").mkdir()
        with skipped_without_packages():
            lab = OvirtLab(spec_of(scenario, SPEED), folder / "lab")
        found = Taken(lab, folder)
        lab.set_up()
        try:
            lab.start()
            until(lambda: state_of(found.host.client) == "EngineUp", within_s=90.0)
            yield found
        finally:
            found.end()
            lab.close()


@pytest.mark.parametrize("taken", [pytest.param(None, marks=REAL)], indirect=True)
def test_the_engine_runs_on_whatever_becomes_of_the_takeover(taken: Taken) -> None:
    """The host's other agents are ours, of another configuration; then units are refused once."""
    host = taken.host
    taken.prepare()
    host.stop_agent()
    host.kill_broker()
    before = host.vm()
    assert before is not None
    looked = taken.run("--dry-run")
    assert looked.returncode == 0, looked.stderr
    assert "disable --now ovirt-ha-agent ovirt-ha-broker" in looked.stdout
    assert not taken.config.exists()
    (taken.folder / "pids" / "refused").touch()
    failed = taken.run("--yes")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "Nothing is left of this deployment" in failed.stdout
    assert not taken.config.exists()
    assert taken.calls()[0] == "disable --now ovirt-ha-agent ovirt-ha-broker"
    assert taken.calls()[-1] == "enable --now ovirt-ha-broker ovirt-ha-agent"
    (taken.folder / "pids" / "refused").unlink()
    done = taken.run("--yes")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "Hosted Engine successfully taken over" in done.stdout
    until(lambda: state_of(host.client) == "EngineUp", within_s=60.0)
    after = host.vm()
    assert after is not None
    assert after.pid == before.pid
    written = yaml.safe_load(taken.config.read_text(encoding="utf-8"))
    assert (written["hypervisor"]["kind"], written["leases"]) == ("vdsm", "vdsm")


def test_a_host_that_ovirt_has_not_set_up_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        yaml.safe_dump({"state_dir": str(tmp_path / "s"), "ovirt": {"dir": str(tmp_path)}}),
        encoding="utf-8",
    )
    words = ["deploy", "--hypervisor", "vdsm", "--config", str(tmp_path / "he-fsm.yaml")]
    refused = CliRunner().invoke(cli, [*words, "--settings", str(settings), "--yes"])
    assert isinstance(refused.exception, DeployError)
    assert "hosted-engine.conf has no host_id, vmid, fqdn" in str(refused.exception)
    assert "oVirt's own installer first" in str(refused.exception)
    assert list(tmp_path.iterdir()) == [settings]
