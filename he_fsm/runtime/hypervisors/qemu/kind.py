"""The hypervisor `qemu`, as a configuration names it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Optional

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import lacking, nearest, refusal
from he_fsm.errors import ConfigError, HypervisorError, MissingExtraError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.doctor.certificates import ending_soon
from he_fsm.runtime.hypervisors.qemu.access import QemuVm
from he_fsm.runtime.hypervisors.qemu.command import binary_of
from he_fsm.runtime.hypervisors.qemu.migration.channel import (
    host_of,
    is_local,
    read_secret,
)
from he_fsm.runtime.hypervisors.qemu.migration.encryption import CREDENTIALS
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, QemuConfig, VmConfig
from he_fsm.runtime.kinds import HypervisorKind
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, Port, VmAccess

_EMBEDDED: Final = "embedded"
_WHO: Final = 'the hypervisor "qemu"'
_ONE_MACHINE: Final = Finding(
    what="leases: embedded keeps apart the hosts of this machine alone; a host on another machine "
    "could start a second engine VM on the same disk",
    mend="use leases: sanlock unless all hosts are this machine",
    is_fatal=False,
)
# It says what options it has at once (seconds).
_ANSWERS_S: Final = 5.0
# The first and the last port that a program gets which asks for any.
_KERNELS_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """
    Make the adapter.

    Raises:
        MissingExtraError: the library for QEMU's monitor is not installed.
        HypervisorError: the secret for migrations can't be used.
    """
    try:
        from he_fsm.runtime.hypervisors.qemu.host import QemuSettings  # noqa: PLC0415 - optional
        from he_fsm.runtime.hypervisors.qemu.hypervisor import QemuHypervisor  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "qemu", "kind qemu") from error
    settings = QemuSettings(
        host_id=config.host.id,
        run_dir=config.run_dir,
        vm=_vm(config),
        move=config.hypervisor.move,
    )
    return QemuHypervisor(settings, lease)


def access(config: Config) -> VmAccess:
    """Make what finds the VM's process by its record."""
    return QemuVm(config.run_dir, _vm(config))


def check(config: Config, tree: Tree) -> None:
    """Refuse a VM that can't be made, or judged, or moved."""
    hypervisor, vm = config.hypervisor, config.hypervisor.vm
    if vm is None:
        raise lacking(tree, ("hypervisor",), "vm", _WHO)
    if config.engine.health.url is None:
        raise lacking(tree, ("engine", "health"), "url", _WHO)
    if vm.kernel is None and not vm.disks:
        message = "the VM has nothing to boot: give it 'disks', or a 'kernel'"
        raise refusal(nearest(tree, "hypervisor", "vm"), message)
    if vm.kernel is None and vm.initrd is not None:
        message = '"initrd" needs the key "kernel" beside it'
        raise refusal(nearest(tree, "hypervisor", "vm", "initrd"), message)
    if vm.memory_limit is not None and vm.memory_limit <= vm.memory:
        message = f"expected more than the guest's own memory ({vm.memory} MiB)"
        raise refusal(nearest(tree, "hypervisor", "vm", "memory_limit"), message)
    if config.leases == _EMBEDDED and "leases" not in tree.pairs:
        # safety: file locks keep apart the hosts of one machine alone.
        message = (
            "kind qemu runs a real VM, and the default leases keep apart the hosts of one machine "
            "alone; write 'leases: sanlock', or 'leases: embedded' if all hosts are this machine"
        )
        raise refusal(nearest(tree, "hypervisor", "kind"), message)
    _check_move(hypervisor.move, tree)


def peer_name(config: Config, host_id: int) -> Optional[str]:
    """Return the name of another host's agent in `move.peers`; None: the address has none."""
    address = config.hypervisor.move.address_of(host_id)
    if address is None or is_local(address):
        return None
    return host_of(address).strip("[]")


def needs(config: Config) -> Sequence[Finding]:
    """Need QEMU, the library for its monitor, and the files that the configuration names."""
    found = tuple(_missing(_vm(config), config.hypervisor.move))
    if config.leases == _EMBEDDED:
        return (_ONE_MACHINE, *found)
    return found


def _missing(vm: VmConfig, move: MoveConfig) -> Iterator[Finding]:
    if find_spec("qemu") is None:
        yield Finding(what=str(MissingExtraError.of("qemu", "qemu", "kind qemu")))
    try:
        binary_of(vm)
    except HypervisorError as error:
        yield Finding(what=str(error), path=vm.binary)
    if vm.console is not None and vm.console.kind == "spice":
        yield from _missing_spice(vm)
    for name, path in (("kernel", vm.kernel), ("initrd", vm.initrd), ("state", vm.saved_state)):
        if path is not None and not path.exists():
            yield Finding(what=f"the VM's {name} {path} does not exist", path=path)
    for disk in vm.disks:
        if not _exists(disk.path):
            # The storage may not be there yet.
            what = f"the VM's disk {disk.path} can't be found"
            yield Finding(what=what, is_fatal=False, path=disk.path)
    try:
        read_secret(move.secret_file)
    except HypervisorError as error:
        yield Finding(what=str(error), path=move.secret_file)
    yield from _missing_encryption(move)


def _missing_encryption(move: MoveConfig) -> Iterator[Finding]:
    """Look for the credentials; warn where a VM's memory would cross a network unencrypted."""
    if move.tls is not None:
        for name in CREDENTIALS:
            path = move.tls / name
            if not path.exists():
                yield Finding(what=f"migrations by TLS need the file {path}", path=path)
            elif path.name.endswith("-cert.pem"):
                yield from ending_soon(path)
    elif move.peers is not None and not _is_on_this_machine(move.peers):
        yield Finding(
            what="a VM's memory crosses the network unencrypted when it moves",
            mend="make x509 credentials, and name their folder in hypervisor.move.tls",
            is_fatal=False,
        )


def _is_on_this_machine(peers: str) -> bool:
    host = host_of(peers).strip("[]")
    return peers.startswith("unix:") or host.startswith("127.") or host in ("localhost", "::1")


def _missing_spice(vm: VmConfig) -> Iterator[Finding]:
    """Ask QEMU whether it has SPICE, which is a package of its own from Debian 12 on."""
    with suppress(HypervisorError, OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603 - the configured QEMU, with words of ours
            [binary_of(vm), "-spice", "help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWERS_S,
            check=False,
        )
        # QEMU ends with 1 where it has SPICE, too.
        if b"no option group" in done.stderr:
            mend = "install qemu-system-modules-spice, or use console.kind: vnc"
            yield Finding(what="this QEMU has no SPICE console", mend=mend)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _vm(config: Config) -> VmConfig:
    vm: VmConfig = config.hypervisor.vm
    if vm is None:
        # The configuration was read with this checked; one that was made by hand may lack it.
        msg = "hypervisor.vm is missing: what the QEMU VM is made of"
        raise ConfigError(msg)
    return vm


def _check_move(move: MoveConfig, tree: Tree) -> None:
    if move.peers is None:
        return
    node = nearest(tree, "hypervisor", "move", "peers")
    if "{id}" not in move.peers:
        raise refusal(node, "expected {id} in it, or all hosts have one address")
    if move.peers.startswith("tcp:") and move.secret_file is None:
        raise refusal(node, '"tcp:" needs the key "secret_file" beside it')


def ports(config: Config) -> Sequence[Port]:
    """Return the agent's own, and those that the kernel chooses for a VM's memory."""
    move: MoveConfig = config.hypervisor.move
    own = move.address_of(config.host.id)
    if own is None or _is_on_this_machine(own):
        return ()
    found = [Port(number, number, "a move to this host") for number in (_port_of(own),) if number]
    with suppress(OSError, ValueError):
        first, last = _KERNELS_PORTS.read_text(encoding="ascii").split()
        found.append(Port(int(first), int(last), "the memory of a VM that moves to this host"))
    return found


def _port_of(address: str) -> int:
    """Return the port of a `tcp:` address; 0: it has none."""
    number = address.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


KIND: Final = HypervisorKind(
    section=QemuConfig,
    make=make,
    access=access,
    check=check,
    needs=needs,
    peer_name=peer_name,
    ports=ports,
)
