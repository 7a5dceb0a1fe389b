"""This machine as the questions need it: what it has, and what it can tell about an answer."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import socket
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

from he_fsm.deploy.asking.question import Look, Machine
from he_fsm.deploy.asking.readers import Value
from he_fsm.deploy.carrying.course import ran
from he_fsm.deploy.planning.told import Fitness
from he_fsm.errors import DeployError, HeFsmError
from he_fsm.runtime.monitors.probes.ping import Ping
from he_fsm.runtime.service.asking import Asking

INTERFACES: Final = Path("/sys/class/net")
_VDSM: Final = Path("/run/vdsm/vdsmd.lock")
_SYSTEMD: Final = Path("/run/systemd/system")
# A gateway may need a moment for the first packet (tries, seconds each).
_PINGS: Final = 3
_PING_S: Final = 2.0
_RESOLVES_S: Final = 10.0
# Every ISO 9660 image says so there (bytes). Source: ECMA-119, 8.1.
_ISO_AT: Final = 32769
_ISO: Final = b"CD001"


def has_systemd() -> bool:
    """Whether systemd runs here; as sd_booted(3) finds out."""
    return _SYSTEMD.is_dir() and shutil.which("systemctl") is not None


def firewalld_runs() -> bool:
    """Whether firewalld runs here, and can be asked."""
    try:
        return ran(["firewall-cmd", "--state"]).strip() == "running"
    except DeployError:
        return False


def connections() -> tuple[str, ...]:
    """
    Return the names of NetworkManager's connections.

    Raises:
        DeployError: it is not installed, or does not run.
    """
    words = ["nmcli", "-t", "-f", "NAME", "connection", "show"]
    return tuple(ran(words, package="network-manager (NetworkManager)").splitlines())


def machine_here(fitness: Fitness) -> Machine:
    """Return what this machine has, with a new address and a new UUID for the VM."""
    nics = sorted(path.name for path in INTERFACES.iterdir()) if INTERFACES.is_dir() else []
    bridges = [name for name in nics if (INTERFACES / name / "bridge").is_dir()]
    return Machine(
        hypervisors=tuple(_hypervisors()),
        interfaces=tuple(nics),
        bridges=tuple(bridges),
        nics=tuple(name for name in nics if name not in bridges and _is_card(name)),
        firewall="firewalld" if firewalld_runs() else "",
        # The prefix of QEMU's and libvirt's own cards.
        mac="52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3)),
        vm_id=str(uuid.uuid4()),
        hostname=fitness.hostname or os.uname().nodename,
        cpu=fitness.cpus[0] if fitness.cpus else "",
        emulated=fitness.machines[0] if fitness.machines else "",
    )


def _hypervisors() -> list[str]:
    found = []
    if _VDSM.exists():
        found.append("vdsm")
    names = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm")
    if any(map(shutil.which, names)) and find_spec("qemu") is not None:
        found.append("qemu")
    if shutil.which("libvirtd") or shutil.which("virtqemud"):
        found.append("libvirt")
    return found


def _is_card(name: str) -> bool:
    """Whether an interface belongs to a device: no loopback, tunnel, or end of a pair."""
    return (INTERFACES / name / "device").exists()


@attrs.frozen
class ThisMachine:
    """Looks at answers; implements `Surroundings`."""

    pings: int = _PINGS

    def problem(self, look: Look, value: Value) -> str:
        """Return why an answer can't be used, as the end of a sentence; empty: it can."""
        return _LOOKS[look](self, str(value))

    def _silent(self, address: str) -> str:
        ping = Ping(address, _PING_S)
        try:
            if any(ping.is_answered() for _ in range(self.pings)):
                return ""
        except HeFsmError as error:
            return f"can't be looked at: {error}"
        return "does not answer a ping: is this the gateway, and is the network up?"

    def _unresolved(self, name: str) -> str:
        late = DeployError(f"the name servers did not answer within {_RESOLVES_S:g} s")
        asking = Asking("resolve", _RESOLVES_S, lambda: late)
        try:
            asking.ask(lambda: socket.getaddrinfo(name, None))
        except OSError as error:
            return f"does not resolve here ({error.strerror}): add it to the DNS, or to /etc/hosts"
        except HeFsmError as error:
            return f"does not resolve here: {error}"
        return ""

    def _no_medium(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                file.seek(_ISO_AT)
                return "" if file.read(len(_ISO)) == _ISO else "is no ISO image"
        except OSError as error:
            return f"can't be read: {error.strerror}"

    def _no_image(self, path: str) -> str:
        try:
            with Path(path).open("rb") as file:
                return "" if file.read(1) else "is empty"
        except OSError as error:
            return f"can't be read: {error.strerror}"

    def _no_device(self, path: str) -> str:
        try:
            return "" if Path(path).is_block_device() else "is no block device here"
        except OSError as error:
            return f"can't be looked at: {error.strerror}"

    def _no_program(self, command: str) -> str:
        program = shlex.split(command)[0]
        return "" if shutil.which(program) else f"can't be run: there is no program {program} here"

    def _no_nic(self, name: str) -> str:
        return "" if (INTERFACES / name).exists() else "is no network interface of this host"


_LOOKS: Final[dict[Look, Callable[[ThisMachine, str], str]]] = {
    Look.ANSWERS_PING: ThisMachine._silent,  # noqa: SLF001 - a table of its own methods
    Look.RESOLVES: ThisMachine._unresolved,  # noqa: SLF001 - as above
    Look.MEDIUM: ThisMachine._no_medium,  # noqa: SLF001 - as above
    Look.IMAGE: ThisMachine._no_image,  # noqa: SLF001 - as above
    Look.DEVICE: ThisMachine._no_device,  # noqa: SLF001 - as above
    Look.PROGRAM: ThisMachine._no_program,  # noqa: SLF001 - as above
    Look.NIC: ThisMachine._no_nic,  # noqa: SLF001 - as above
}
