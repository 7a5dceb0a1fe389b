"""The section `hypervisor` of kind `vdsm`: which vdsm, which VM, and how it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Flag, Integer, OrNull, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime.config.forms import PORT, TIME, LineForm, MatchForm, PathForm
from he_fsm.runtime.config.kind_form import HypervisorSection, named
from he_fsm.runtime.ports import Peer
from he_fsm.runtime.vdsm.tls import Certificates

# Source: vdsm 4.50.7, `lib/vdsm/common/config.py.in`.
VDSM_PORT: Final = 54321
_FILE: Final = OrNull(PathForm())
_CONF: Final = "/var/run/ovirt-hosted-engine-ha/vm.conf"
# Where libvirt's system daemon, which vdsm uses, keeps the pid files of its VMs.
_PID_DIR: Final = "/run/libvirt/qemu"
_DRIVER_CONF: Final = "/etc/libvirt/qemu.conf"
# What stands for another host in an address.
PLACES: Final = ("{id}", "{hostname}", "{address}")

PEERS: Final = MatchForm(
    "another host's vdsm like '{address}' or 'host{id}.example.com:54321'",
    r"[^\s/:]+(:\d{1,5})?",
)


@attrs.frozen(kw_only=True)
class VdsmMigrateConfig:
    """How the VM moves to another host while it runs: from vdsm to vdsm."""

    peers: str = attrs.field(
        default="{address}",
        metadata=written_as(
            "peers",
            PEERS,
            "each host's vdsm as the others reach it, with the host's `{id}`, `{hostname}` or "
            "`{address}` in it, and its port where that is not 54321",
        ),
    )
    bandwidth: int = attrs.field(
        default=0,
        metadata=written_as(
            "bandwidth", Integer(0, 1024 * 1024), "at most so many MiB a second; 0: vdsm's own"
        ),
    )

    def address_of(self, peer: Peer) -> str:
        """Return where another host's vdsm is reached."""
        address = self.peers
        for place, value in zip(PLACES, (str(peer.host_id), peer.hostname, peer.address)):
            address = address.replace(place, value)
        return address


@attrs.frozen(kw_only=True)
class VdsmConfig(HypervisorSection):
    """A VM of vdsm, for which libvirt's sanlock plug-in takes the lease."""

    kind: str = named("vdsm", "vdsm: the VM of `conf` in the vdsm at `host`")
    host: str = attrs.field(
        default="localhost",
        metadata=written_as("host", LineForm("a host", "/"), "where this host's vdsm listens"),
    )
    port: int = attrs.field(default=VDSM_PORT, metadata=written_as("port", PORT, "its port"))
    tls: bool = attrs.field(
        default=True,
        metadata=written_as(
            "tls", Flag(), "whether both sides show certificates, and all is encrypted"
        ),
    )
    ca: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as("ca", _FILE, "the certificates that are trusted; null: vdsm's own"),
    )
    cert: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as("cert", _FILE, "this host's certificate; null: vdsm's own"),
    )
    key: Optional[Path] = attrs.field(
        default=None, metadata=written_as("key", _FILE, "its private key; null: vdsm's own")
    )
    vm_id: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "vm_id", OrNull(Text("a UUID")), "the VM's UUID; null: that of `engine.vm_id`"
        ),
    )
    conf: Path = attrs.field(
        default=Path(_CONF),
        metadata=written_as(
            "conf", PathForm(), "the VM's definition, oVirt's vm.conf with `xmlBase64` in it"
        ),
    )
    name: str = attrs.field(
        default="HostedEngine",
        metadata=written_as(
            "name", LineForm("a VM's name", "/"), "the VM's name, by which its process is found"
        ),
    )
    pid_dir: Path = attrs.field(
        default=Path(_PID_DIR),
        metadata=written_as(
            "pid_dir",
            PathForm(),
            "the folder of libvirt's pid files, by which the VM's process is found while vdsm "
            "hangs",
        ),
    )
    driver_conf: Path = attrs.field(
        default=Path(_DRIVER_CONF),
        metadata=written_as(
            "driver_conf",
            PathForm(),
            "the configuration of libvirt's QEMU driver, which names its lock manager",
        ),
    )
    deadline_s: float = attrs.field(
        default=5.0,
        metadata=written_as(
            "deadline", TIME, "a call that vdsm does not answer within it is given up"
        ),
    )
    migrate: VdsmMigrateConfig = attrs.field(
        default=VdsmMigrateConfig(),
        metadata=written_as(
            "migrate",
            Record(VdsmMigrateConfig, "a mapping like {peers: '{address}'}"),
            "how the VM moves to another host while it runs",
        ),
    )

    @property
    def certificates(self) -> Optional[Certificates]:
        """The files for TLS; None: there is none."""
        if not self.tls:
            return None
        own = Certificates()
        return Certificates(
            key=self.key or own.key, certificate=self.cert or own.certificate, ca=self.ca or own.ca
        )

    @property
    def pid_file(self) -> Optional[Path]:
        """Where libvirt notes the VM's process."""
        return self.pid_dir / f"{self.name}.pid"
