"""
A host with oVirt's own broker and agent, beside the lab's vdsm, sanlock and QEMU.

Their code is a copy of a checkout of oVirt/ovirt-hosted-engine-ha, in which the places that its
build fills in, and those that it has written out, lead into the host's folder. What a host of oVirt
has besides is here as small programs: `hosted-engine` with the options that the agent calls, and
`service`, which says that sanlock and vdsmd run.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Optional

from he_fsm.lab.ovirt.definition import VM_ID
from he_fsm.runtime.vdsm.tls import Certificates
from he_fsm.testing.waiting import until

BLANK: Final = "00000000-0000-0000-0000-000000000000"
# Image and volume of each of oVirt's own volumes.
METADATA: Final = ("10000000-0000-4000-8000-000000000001", "10000000-0000-4000-8000-000000000002")
LOCKSPACE: Final = ("20000000-0000-4000-8000-000000000001", "20000000-0000-4000-8000-000000000002")
SHARED: Final = ("30000000-0000-4000-8000-000000000001", "30000000-0000-4000-8000-000000000002")
# Slots of the whiteboard, and what one has (bytes).
SLOTS: Final = 65
SLOT_BYTES: Final = 4096
FIELDS_BYTES: Final = 512
_PLACES: Final = {
    "/etc/ovirt-hosted-engine": "etc",
    "/rhev/data-center/mnt": "mnt",
    "/run/vdsm/storage": "run/storage",
}
_FILLED_IN: Final = {
    "ENGINE_HA_RUNDIR": "run",
    "ENGINE_HA_STATEDIR": "state",
    "ENGINE_HA_CONFDIR": "etc-ha",
    "ENGINE_HA_LOGDIR": "log",
    "ENGINE_SETUP_BINDIR": "bin",
}
_LOG = """[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=long
[logger_root]
level=DEBUG
handlers=file
[handler_file]
class=FileHandler
args=('{path}',)
level=DEBUG
formatter=long
[formatter_long]
format=%(asctime)s %(levelname)s %(name)s: %(message)s
"""
_HOSTED_ENGINE = '''#!{python}
"""What the agent calls of hosted-engine: by vdsm, as the original does."""
import http.client, sys
sys.path.insert(0, {tree!r})
from pathlib import Path
from he_fsm.runtime.hypervisors.vdsm.definition import parse
from he_fsm.runtime.vdsm.client import OwnClient
from he_fsm.runtime.vdsm.connection import Address
from he_fsm.runtime.vdsm.tls import Certificates
from he_fsm.testing.waiting import until
option = sys.argv[1]
if option == "--check-liveliness":
    connection = http.client.HTTPConnection("127.0.0.1", {page_port}, timeout=5)
    try:
        connection.request("GET", {page!r})
        sys.exit(0 if connection.getresponse().status == 200 else 1)
    except OSError as error:
        sys.exit(str(error))
place = Address("127.0.0.1", {vdsm_port}, Certificates(*map(Path, {certificates!r})))
client = OwnClient(place)
vm = {{"vmID": {vm_id!r}}}
try:
    if option == "--vm-start":
        xml = parse(Path({conf!r}).read_text()).xml
        client.call("VM.create", {{**vm, "vmParams": {{"vmId": {vm_id!r}, "xml": xml}}}}, 30)
    elif option == "--vm-shutdown":
        client.call("VM.shutdown", {{**vm, "delay": 10, "message": "down", "timeout": 30}}, 30)
    elif option == "--vm-poweroff":
        client.call("VM.destroy", vm, 30)
    else:
        sys.exit(f"unexpected: {{sys.argv}}")
finally:
    client.close()
'''


class OriginalHost:
    """Folders, code and processes of one host; nothing runs before `start`."""

    def __init__(
        self,
        folder: Path,
        checkout: Path,
        interop: Path,
        images: Path,
        *,
        host_id: int,
        domain: str,
        vdsm_port: int,
        page_port: int,
        page: str,
        certificates: Certificates,
        sanlock_dir: str,
    ) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sanlock_dir = sanlock_dir
        self._interop = interop
        for name in (*_PLACES.values(), *_FILLED_IN.values()):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # The domain is where vdsm would have mounted it, and has linked it to.
        (folder / "mnt" / "lab" / domain).mkdir(parents=True)
        (folder / "run" / "storage" / domain).symlink_to(images)
        self._copy_code(checkout, vdsm_port)
        self._write_settings(host_id, domain)
        self._write_programs(vdsm_port, page_port, page, certificates)

    def start(self, *names: str) -> None:
        """Start `broker` and `agent`, or those that are named."""
        for name in names or ("broker", "agent"):
            module = f"ovirt_hosted_engine_ha.{name}.{name}"
            code = f"from {module} import {name.title()}; {name.title()}().run()"
            with (self.folder / "log" / f"{name}.out").open("ab") as out:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-c", code],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=self._environment(),
                    cwd=self.folder,
                )
            if name == "broker":
                # The agent ends where there is none, and an init system starts it anew.
                until((self.folder / "run" / "broker.socket").exists)

    def stop(self, *names: str) -> None:
        """Stop them as an init system does, the agent first."""
        for name in names or ("agent", "broker"):
            process = self.processes.pop(name, None)
            if process is not None:
                process.terminate()
                process.wait(60)

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def set_global_maintenance(self, *, is_on: bool) -> None:
        """Set or end the cluster's flag by oVirt's own client library."""
        code = (
            "from ovirt_hosted_engine_ha.client import client\n"
            f"client.HAClient().set_maintenance_mode('GLOBAL', {is_on})\n"
        )
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env=self._environment(),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def log(self, name: str = "agent") -> str:
        path = self.folder / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def state(self) -> Optional[str]:
        """Return the state that the agent is in, by its log."""
        found = re.findall(r"Current state (\w+) \(score: (\d+)\)", self.log())
        return found[-1][0] if found else None

    def _environment(self) -> Mapping[str, str]:
        packages = "/usr/lib/python3/dist-packages"
        places = (self.folder / "lib", self._interop / "lib", self._interop / "packages", packages)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SANLOCK_RUN_DIR": self._sanlock_dir,
        }

    def _copy_code(self, checkout: Path, vdsm_port: int) -> None:
        name = "ovirt_hosted_engine_ha"
        library = self.folder / "lib"
        shutil.copytree(checkout / name, library / name)
        for path in (library / name).rglob("*"):
            if path.suffix not in (".py", ".in") or path.name.endswith(".conf.in"):
                continue
            text = path.read_text("utf-8")
            for place, folder in _PLACES.items():
                text = text.replace(place, str(self.folder / folder))
            text = re.sub(r"@(\w+)@", self._filled_in, text)
            # vdsm's port is no setting of the agent's, and other labs may be on this machine.
            text = text.replace(
                'client.connect(host="localhost",',
                f'client.connect(host="localhost", port={vdsm_port},',
            )
            path.with_suffix("" if path.suffix == ".in" else ".py").write_text(text, "utf-8")
        # There is none on this machine, and its Python module comes with it.
        (library / "selinux.py").write_text("def is_selinux_enabled():\n    return 0\n")
        for daemon in ("agent", "broker"):
            conf = self.folder / "etc-ha" / f"{daemon}-log.conf"
            conf.write_text(_LOG.format(path=self.folder / "log" / f"{daemon}.log"))

        # What else runs on this machine is no matter of these tests.
        conf = self.folder / "etc-ha" / "agent.conf"
        conf.write_text("[score]\ncpu-load-score-penalty=0\nfree-memory-score-penalty=0\n")

    def _filled_in(self, found: re.Match[str]) -> str:
        if found[1] in _FILLED_IN:
            return str(self.folder / _FILLED_IN[found[1]])
        return "root" if found[1].startswith("VDSM_") else found[1]

    def _write_settings(self, host_id: int, domain: str) -> None:
        volumes = {"metadata": METADATA, "lockspace": LOCKSPACE, "conf": SHARED}
        settings = {
            "fqdn": "engine.example.org",
            "vmid": VM_ID,
            "vm_disk_id": "40000000-0000-4000-8000-000000000001",
            "vm_disk_vol_id": "40000000-0000-4000-8000-000000000002",
            "storage": "lab",
            "domainType": "fc",
            "spUUID": BLANK,
            "sdUUID": domain,
            "connectionUUID": BLANK,
            "host_id": host_id,
            "vdsm_use_ssl": "true",
            "gateway": "127.0.0.1",
            "bridge": "eth0",
            "network_test": "none",
            "configured": "True",
        }
        for name, (image, volume) in volumes.items():
            settings[f"{name}_image_UUID"] = image
            settings[f"{name}_volume_UUID"] = volume
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / "etc" / "hosted-engine.conf").write_text(text)
        (self.folder / "state" / "hosted-engine.conf").write_text(text)
        (self.folder / "state" / "ha.conf").write_text(
            "local_maintenance=False\nlocal_maintenance_manual=False\n"
        )

    def _write_programs(
        self, vdsm_port: int, page_port: int, page: str, certificates: Certificates
    ) -> None:
        tree = str(Path(__file__).parents[4])
        programs = {
            "service": "#!/bin/sh\nexit 0\n",
            "hosted-engine": _HOSTED_ENGINE.format(
                python=sys.executable,
                tree=tree,
                page_port=page_port,
                page=page,
                vdsm_port=vdsm_port,
                vm_id=VM_ID,
                conf=str(self.folder / "run" / "vm.conf"),
                certificates=[
                    str(each)
                    for each in (certificates.key, certificates.certificate, certificates.ca)
                ],
            ),
        }
        for name, text in programs.items():
            path = self.folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)


def write_volumes(images: Path, vm_conf: str) -> dict[str, Path]:
    """
    Make the three volumes that all hosts of a cluster share; return where they are, by name.

    The configuration's is the archive that oVirt's setup makes.
    """
    paths = {}
    for name, (image, volume) in (("board", METADATA), ("lock", LOCKSPACE), ("conf", SHARED)):
        paths[name] = images / image / volume
        paths[name].parent.mkdir(parents=True)
    paths["board"].write_bytes(bytes(SLOTS * SLOT_BYTES))
    paths["lock"].write_bytes(bytes(1 << 20))
    contents = {
        "version": "2.5.2",
        "fhanswers.conf": "[environment:default]\n",
        "hosted-engine.conf": "fqdn=engine.example.org\n",
        "broker.conf": "[email]\nsmtp-server=\n[notify]\nstate_transition=\n",
        "vm.conf": vm_conf,
    }
    with tarfile.open(paths["conf"], "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return paths
