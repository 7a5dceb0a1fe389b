"""The section `hypervisor` of kind `libvirt`: which domain of which daemon, and how it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Choice, Flag, Integer, OrNull
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime.config.forms import LineForm, MatchForm, PathForm
from he_fsm.runtime.config.kind_form import HypervisorSection, named
from he_fsm.runtime.ports import Peer

# Who takes the engine's lease for the domain.
PLUGIN: Final = "plugin"
HOLDER: Final = "holder"
# Where libvirt's system daemon keeps the pid files of its VMs.
PID_DIR: Final = "/run/libvirt/qemu"
# The configuration of its QEMU driver.
DRIVER_CONF: Final = "/etc/libvirt/qemu.conf"
# What stands for another host in an address.
PLACES: Final = ("{id}", "{hostname}", "{address}")

URI: Final = MatchForm(
    "an address of a libvirt daemon like qemu:///system", r"qemu(\+[a-z]+)?://\S*"
)
PEERS: Final = MatchForm(
    "an address of a libvirt daemon like qemu+tls://{hostname}/system", r"qemu(\+[a-z]+)?://\S+"
)
DATA: Final = MatchForm(
    "an address like tcp://{hostname} or unix:///run/he-fsm/{id}.sock", r"(tcp|rdma|unix)://\S+"
)


@attrs.frozen(kw_only=True)
class MigrateConfig:
    """How the domain moves to another host while it runs: from daemon to daemon (peer to peer)."""

    peers: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "peers",
            OrNull(PEERS),
            "each host's libvirt daemon as the other daemons reach it, with the host's `{id}`, "
            "`{hostname}` or `{address}` in it; null: the domain does not move",
        ),
    )
    data: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "data",
            OrNull(DATA),
            "where the VM's memory is sent to, with the same placeholders; null: libvirt chooses",
        ),
    )
    tunnelled: bool = attrs.field(
        default=False,
        metadata=written_as(
            "tunnelled",
            Flag(),
            "whether the memory goes through the daemons' own connection, encrypted as that is",
        ),
    )
    tls: bool = attrs.field(
        default=False,
        metadata=written_as(
            "tls",
            Flag(),
            "whether QEMU encrypts the memory, by the certificates that its `qemu.conf` names",
        ),
    )
    unsafe: bool = attrs.field(
        default=False,
        metadata=written_as(
            "unsafe",
            Flag(),
            "whether libvirt moves a domain whose storage it does not know to be shared; needed "
            "for file systems other than NFS, GFS2, OCFS2, Ceph and the like",
        ),
    )
    bandwidth: int = attrs.field(
        default=0,
        metadata=written_as(
            "bandwidth", Integer(0, 1024 * 1024), "at most so many MiB a second; 0: no limit"
        ),
    )

    def address_of(self, peer: Peer) -> Optional[str]:
        """Return where another host's libvirt daemon is reached; None: the domain does not move."""
        return None if self.peers is None else filled(self.peers, peer)

    def data_address_of(self, peer: Peer) -> Optional[str]:
        """Return where another host takes the VM's memory; None: libvirt chooses."""
        return None if self.data is None else filled(self.data, peer)


def filled(address: str, peer: Peer) -> str:
    """Return an address with the facts of *peer* for its placeholders."""
    for place, value in zip(PLACES, (str(peer.host_id), peer.hostname, peer.address)):
        address = address.replace(place, value)
    return address


@attrs.frozen(kw_only=True)
class LibvirtConfig(HypervisorSection):
    """A domain of libvirt, for which its own sanlock plug-in or a holder takes the lease."""

    kind: str = named("libvirt", "libvirt: the domain `domain` of the daemon at `uri`")
    uri: str = attrs.field(
        default="qemu:///system",
        metadata=written_as("uri", URI, "this host's libvirt daemon"),
    )
    domain: str = attrs.field(
        default="HostedEngine",
        metadata=written_as(
            "domain",
            LineForm("a domain's name", "/"),
            "the domain's name; it is defined on every host, with the same UUID",
        ),
    )
    lease: str = attrs.field(
        default=PLUGIN,
        metadata=written_as(
            "lease",
            Choice.of(PLUGIN, HOLDER),
            "who takes the engine's lease for the domain: `plugin`, libvirt's own sanlock plug-in, "
            "or `holder`, a process of he_fsm's, where the plug-in can't be had",
        ),
    )
    definition: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "definition",
            OrNull(PathForm()),
            "the file, or block device of 2 MiB, on the shared storage that holds the domain's "
            "definition (`he-fsm vm define`); null: each host starts the domain that its own "
            "libvirt knows",
        ),
    )
    pid_dir: Path = attrs.field(
        default=Path(PID_DIR),
        metadata=written_as(
            "pid_dir",
            PathForm(),
            "the folder of the daemon's pid files, by which the VM's process is found while the "
            "daemon hangs",
        ),
    )
    driver_conf: Path = attrs.field(
        default=Path(DRIVER_CONF),
        metadata=written_as(
            "driver_conf",
            PathForm(),
            "the configuration of the daemon's QEMU driver, which names its lock manager",
        ),
    )
    migrate: MigrateConfig = attrs.field(
        default=MigrateConfig(),
        metadata=written_as(
            "migrate",
            Record(MigrateConfig, "a mapping like {peers: 'qemu+tls://{hostname}/system'}"),
            "how the domain moves to another host while it runs",
        ),
    )

    @property
    def is_plugin(self) -> bool:
        """Whether libvirt's plug-in takes the lease."""
        return self.lease == PLUGIN

    @property
    def pid_file(self) -> Optional[Path]:
        """Where the daemon notes the VM's process."""
        return self.pid_dir / f"{self.domain}.pid"
