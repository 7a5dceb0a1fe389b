"""The section `hypervisor` of kind `qemu`: what the VM is made of, and how it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Choice, Flag, Integer, ListOf, OrNull, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime.config.forms import LineForm, MatchForm, OrNone, PathForm
from he_fsm.runtime.config.kind_form import HypervisorSection, named

# QEMU's own limits are far above these; beyond them a number is a slip of the pen.
_CPUS_MAX: Final = 512
_MEMORY_MAX_MIB: Final = 16 * 1024 * 1024
_ID: Final = "{id}"


MAC: Final = MatchForm(
    "a MAC address like 52:54:00:00:00:64", r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}"
)
# A port of the host at which one of the guest's is reached.
FORWARD: Final = MatchForm(
    "a forwarding like 127.0.0.1:8080:80", r"(\d{1,3}(\.\d{1,3}){3})?:\d{1,5}:\d{1,5}"
)
INTERFACE: Final = MatchForm("an interface's name", r"[^\s/:,]{1,15}")
PEERS: Final = MatchForm(
    "an address like unix:/run/he-fsm/{id}/migrate.sock or tcp:host{id}.example.com:8703",
    r"unix:/[^\0]+|tcp:(\[[0-9a-fA-F:{}id]+\]|[^\s:/]+):\d{1,5}",
)


@attrs.frozen(kw_only=True)
class DiskConfig:
    """One disk of the VM, on storage that all hosts share."""

    path: Path = attrs.field(
        metadata=written_as("path", PathForm(), "the image, a file or a block device")
    )
    format: str = attrs.field(
        default="raw",
        metadata=written_as("format", Choice.of("raw", "qcow2"), "the image's format"),
    )
    cache: str = attrs.field(
        default="none",
        metadata=written_as(
            "cache",
            Choice.of("none", "writethrough", "writeback"),
            "the host's cache; a VM that moves needs `none`, but on one machine",
        ),
    )


@attrs.frozen(kw_only=True)
class FirmwareConfig:
    """UEFI firmware in place of the BIOS; the variables belong to the VM, like its disks."""

    code: Path = attrs.field(
        metadata=written_as(
            "code", PathForm(), "the firmware, such as /usr/share/OVMF/OVMF_CODE_4M.fd"
        )
    )
    variables: Path = attrs.field(
        metadata=written_as(
            "variables",
            PathForm(),
            "the VM's own copy of OVMF_VARS_4M.fd, on storage that all hosts share",
        )
    )


@attrs.frozen(kw_only=True)
class NicConfig:
    """One network card of the VM."""

    kind: str = attrs.field(
        default="bridge",
        metadata=written_as(
            "kind",
            Choice.of("bridge", "tap", "user"),
            "bridge: QEMU's helper connects it to `bridge`; tap: the interface `name`, which is "
            "there; user: through QEMU's own process, with `forwards`",
        ),
    )
    bridge: str = attrs.field(
        default="ovirtmgmt", metadata=written_as("bridge", INTERFACE, "the bridge of kind bridge")
    )
    name: str = attrs.field(
        default="tap0", metadata=written_as("name", INTERFACE, "the interface of kind tap")
    )
    forwards: tuple[str, ...] = attrs.field(
        default=(),
        metadata=written_as(
            "forwards",
            ListOf(FORWARD, "a list of forwardings"),
            "of kind user: `address:port:port of the guest`, by which the host reaches the guest",
        ),
    )
    mac: str = attrs.field(
        default="52:54:00:00:00:64",
        metadata=written_as("mac", MAC, "its address, the same on every host"),
    )
    boot: bool = attrs.field(
        default=False,
        metadata=written_as(
            "boot",
            Flag(),
            "whether the VM boots from this network (PXE) where no disk and no medium boots; "
            "remove it after the installation",
        ),
    )


@attrs.frozen(kw_only=True)
class ConsoleConfig:
    """The VM's screen; nobody sees it without a password, which is given out once."""

    kind: str = attrs.field(
        default="vnc", metadata=written_as("kind", Choice.of("vnc", "spice"), "the protocol")
    )
    address: str = attrs.field(
        default="127.0.0.1",
        metadata=written_as("address", LineForm("an address", ","), "where it is served"),
    )
    port: int = attrs.field(
        default=5900,
        metadata=written_as("port", Integer(5900, 65535), "its port, from 5900 on"),
    )


@attrs.frozen(kw_only=True)
class VmConfig:
    """What a QEMU VM is made of; the same on every host, but for the host's own paths."""

    name: str = attrs.field(
        default="HostedEngine",
        metadata=written_as("name", LineForm("a name", ","), "what the process is called"),
    )
    cpus: int = attrs.field(
        default=4, metadata=written_as("cpus", Integer(1, _CPUS_MAX), "its processors")
    )
    memory: int = attrs.field(
        default=16384,
        metadata=written_as("memory", Integer(16, _MEMORY_MAX_MIB), "its memory, in MiB"),
    )
    memory_limit: Optional[int] = attrs.field(
        default=None,
        metadata=written_as(
            "memory_limit",
            OrNull(Integer(64, _MEMORY_MAX_MIB)),
            "how much writable memory its process may map, in MiB (RLIMIT_DATA), the guest's "
            "included; null: no limit",
        ),
    )
    disks: tuple[DiskConfig, ...] = attrs.field(
        default=(),
        metadata=written_as(
            "disks",
            ListOf(Record(DiskConfig, "a mapping like {path: /srv/engine.raw}"), "a list of disks"),
            "its disks; QEMU's own locks are off, the lease alone protects them",
        ),
    )
    nics: tuple[NicConfig, ...] = attrs.field(
        default=(NicConfig(),),
        metadata=written_as(
            "nics",
            ListOf(Record(NicConfig, "a mapping like {bridge: ovirtmgmt}"), "a list of cards"),
            "its network cards",
        ),
    )
    console: Optional[ConsoleConfig] = attrs.field(
        default=None,
        metadata=written_as(
            "console",
            OrNull(Record(ConsoleConfig, "a mapping like {kind: vnc}")),
            "its screen; null: none",
        ),
    )
    cdrom: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "cdrom",
            OrNull(PathForm()),
            "an install medium (ISO), booted where no disk boots; remove it after the "
            "installation; null: none",
        ),
    )
    firmware: Optional[FirmwareConfig] = attrs.field(
        default=None,
        metadata=written_as(
            "firmware",
            OrNull(Record(FirmwareConfig, "a mapping like {code: OVMF_CODE.fd, variables: ...}")),
            "UEFI; null: the BIOS of QEMU",
        ),
    )
    kernel: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "kernel", OrNull(PathForm()), "a kernel to boot; null: the first disk is booted"
        ),
    )
    initrd: Optional[Path] = attrs.field(
        default=None, metadata=written_as("initrd", OrNull(PathForm()), "the kernel's first files")
    )
    append: str = attrs.field(
        default="",
        metadata=written_as("append", Text(may_be_empty=True), "the kernel's command line"),
    )
    accel: str = attrs.field(
        default="auto",
        metadata=written_as(
            "accel",
            Choice.of("auto", "kvm", "tcg"),
            "kvm: the processor's own virtualisation; tcg: emulated, slow; auto: kvm where a "
            "trial shows that it works",
        ),
    )
    machine: str = attrs.field(
        default="q35",
        metadata=written_as(
            "machine",
            MatchForm("a machine like q35 or pc-q35-7.2", r"[\w.-]+"),
            "QEMU's machine type; give one with a version where hosts have different QEMUs",
        ),
    )
    huge_pages: bool = attrs.field(
        default=False,
        metadata=written_as(
            "huge_pages",
            Flag(),
            "whether its memory is huge pages, which every host keeps free for it "
            "(vm.nr_hugepages); the free ones count as free memory then",
        ),
    )
    cpu: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "cpu",
            OrNull(LineForm("a processor")),
            "QEMU's processor type, one that all hosts have; null: QEMU's default",
        ),
    )
    panic: bool = attrs.field(
        default=True,
        metadata=written_as(
            "panic",
            Flag(),
            "whether the VM has the device pvpanic, by which a guest reports that its kernel has "
            "panicked: the VM then ends at once; no for a machine without an ISA bus",
        ),
    )
    watchdog: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "watchdog",
            OrNone(Choice.of("i6300esb", "itco")),
            "a watchdog that the guest may use, and that ends the VM when it fires: i6300esb, a "
            "device of its own, or itco, that of the machine q35; none: there is none",
        ),
    )
    binary: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "binary",
            OrNull(PathForm()),
            "the program; null: qemu-system-x86_64, or /usr/libexec/qemu-kvm",
        ),
    )
    saved_state: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "saved_state",
            OrNull(PathForm()),
            "for demonstrations: begin with this saved state of the same VM instead of booting",
        ),
    )


@attrs.frozen(kw_only=True)
class MoveConfig:
    """How a QEMU VM moves from host to host while it runs."""

    peers: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "peers",
            OrNull(PEERS),
            "where each host's agent waits for migrations, with its host id for `{id}`; "
            "null: there are none",
        ),
    )
    secret_file: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "secret_file",
            OrNull(PathForm()),
            "the file of a secret that all hosts have, and others can't read; `tcp:` needs it",
        ),
    )
    tls: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "tls",
            OrNull(PathForm()),
            "the folder of QEMU's x509 credentials (ca-cert.pem, server-cert.pem, server-key.pem, "
            "client-cert.pem, client-key.pem): the memory is encrypted, and both sides are "
            "verified; null: the memory crosses the network as it is",
        ),
    )
    bandwidth: int = attrs.field(
        default=0,
        metadata=written_as(
            "bandwidth", Integer(0, 1024 * 1024), "at most so many MiB a second; 0: no limit"
        ),
    )

    def address_of(self, host_id: int) -> Optional[str]:
        """Return where a host's agent waits for migrations."""
        return None if self.peers is None else self.peers.replace(_ID, str(host_id))


@attrs.frozen(kw_only=True)
class QemuConfig(HypervisorSection):
    """A real VM, run by QEMU itself."""

    kind: str = named("qemu", "qemu: a real VM, `vm`")
    vm: Optional[VmConfig] = attrs.field(
        default=None,
        metadata=written_as(
            "vm",
            OrNull(Record(VmConfig, "a mapping like {cpus: 4, memory: 16384}")),
            "the QEMU VM",
        ),
    )
    move: MoveConfig = attrs.field(
        default=MoveConfig(),
        metadata=written_as(
            "move",
            Record(MoveConfig, "a mapping like {peers: 'tcp:host{id}:8703'}"),
            "how the QEMU VM moves to another host while it runs",
        ),
    )
