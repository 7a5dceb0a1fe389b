"""QEMU's command line for a VM description; what may differ from host to host is said here too."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.qemu.section import (
    ConsoleConfig,
    DiskConfig,
    FirmwareConfig,
    NicConfig,
    VmConfig,
)

# Where the kernel's huge pages are mounted, on every distribution with systemd.
HUGE_PAGES: Final = "/dev/hugepages"
# In the run folder: the agent's monitor, one for people and rehearsals, and the guest's console.
MONITOR: Final = "vm.qmp"
SECOND_MONITOR: Final = "vm.monitor"
CONSOLE_LOG: Final = "vm.console"
# The same as a socket, at which people type.
SERIAL: Final = "vm.serial"
_BINARIES: Final = ("qemu-system-x86_64", "/usr/libexec/qemu-kvm")
_VNC_PORT: Final = 5900
_NETWORK_BOOTS: Final = 200
# Room for translated code, in MiB: QEMU's own choice is a GiB, which counts as the VM's memory.
_ACCELS: Final = {"tcg": "tcg,tb-size=64"}


def binary_of(vm: VmConfig) -> str:
    """
    Return QEMU's program.

    Raises:
        HypervisorError: there is none.
    """
    names = _BINARIES if vm.binary is None else (str(vm.binary),)
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        msg = f"there is no {' or '.join(names)}: install QEMU (qemu-system-x86, qemu-kvm)"
        raise HypervisorError(msg)
    return found


def command(
    vm: VmConfig, run_dir: Path, accel: str, *, awaits: bool, paused: bool = False
) -> tuple[str, ...]:
    """
    Return the command that becomes the VM.

    Args:
        vm: what it is made of.
        run_dir: the folder of its sockets.
        accel: kvm or tcg.
        awaits: it executes nothing before a state has come: of a migration, or a saved one.
        paused: it executes nothing before somebody lets it.

    Raises:
        HypervisorError: QEMU is not installed.
    """
    parts = [
        *(binary_of(vm), "-name", f"{_escaped(vm.name)},process={_escaped(vm.name)}"),
        *(
            "-machine",
            _machine(vm),
            "-accel",
            _ACCELS.get(accel, accel),
            "-smp",
            str(vm.cpus),
            "-m",
            f"{vm.memory}M",
        ),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *_monitor("agent", run_dir / MONITOR),
        *_monitor("people", run_dir / SECOND_MONITOR),
        *("-chardev", _serial(run_dir)),
        *("-serial", "chardev:console"),
    ]
    if vm.cpu is not None:
        parts += ["-cpu", vm.cpu]
    if vm.huge_pages:
        # All at once: a VM that finds too few of them ends at its start, not in the middle.
        parts += ["-mem-path", HUGE_PAGES, "-mem-prealloc"]
    if vm.kernel is not None:
        parts += ["-kernel", str(vm.kernel), "-append", vm.append]
    if vm.initrd is not None:
        parts += ["-initrd", str(vm.initrd)]
    if vm.firmware is not None:
        parts += _firmware(vm.firmware)
    for number, disk in enumerate(vm.disks):
        parts += _disk(number, disk)
    if vm.cdrom is not None:
        parts += _cdrom(vm.cdrom)
    for number, nic in enumerate(vm.nics):
        parts += _nic(number, nic)
    if vm.console is not None:
        parts += _console(vm.console)
    # Last of all devices: those before keep their addresses, by which guests name them.
    parts += _reporters(vm)
    if awaits:
        parts += ["-incoming", "defer"]
    if paused:
        parts += ["-S"]
    return tuple(parts)


def fingerprint(vm: VmConfig) -> str:
    """Return what two hosts' descriptions must have in common for a VM to move between them."""
    same = {
        "machine": [vm.machine, vm.cpu, vm.cpus, vm.memory],
        # The paths of one storage may differ from host to host.
        "disks": [disk.format for disk in vm.disks],
        "nics": [nic.mac for nic in vm.nics],
        "console": None if vm.console is None else vm.console.kind,
        **({} if vm.cdrom is None else {"cdrom": True}),
        **({"boot": True} if any(nic.boot for nic in vm.nics) else {}),
        **({} if vm.firmware is None else {"firmware": True}),
        # pvpanic has no state: a VM moves between hosts of which one does not have it.
        **({} if vm.watchdog is None else {"watchdog": vm.watchdog}),
    }
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()


def _serial(run_dir: Path) -> str:
    # The log has what is said while nobody is connected, too.
    path, log = _escaped(run_dir / SERIAL), _escaped(run_dir / CONSOLE_LOG)
    return f"socket,id=console,path={path},server=on,wait=off,logfile={log},logappend=off"


def _monitor(name: str, path: Path) -> tuple[str, ...]:
    return (
        *("-chardev", f"socket,id={name},path={_escaped(path)},server=on,wait=off"),
        *("-mon", f"chardev={name},mode=control"),
    )


def _disk(number: int, disk: DiskConfig) -> tuple[str, ...]:
    cache = {"direct": disk.cache == "none", "no-flush": False}
    file = {
        "driver": "host_device" if disk.path.is_block_device() else "file",
        "filename": str(disk.path),
        "node-name": f"file{number}",
        # safety: the lease alone says who may write. QEMU's own locks reach no further than one
        # machine, and there they would hide a lease that is missing.
        "locking": "off",
        "cache": cache,
    }
    image = {
        "driver": disk.format,
        "file": f"file{number}",
        "node-name": f"disk{number}",
        "cache": cache,
    }
    device = {
        "driver": "virtio-blk-pci",
        "id": f"vd{number}",
        "drive": f"disk{number}",
        # The other side of a migration has it open too.
        "share-rw": True,
        "write-cache": "off" if disk.cache == "writethrough" else "on",
        # An error pauses the VM, so that the guest does not see it: the hosts decide.
        "werror": "stop",
        "rerror": "stop",
    }
    return (
        *("-blockdev", json.dumps(file)),
        *("-blockdev", json.dumps(image)),
        *("-device", json.dumps(device)),
    )


def _machine(vm: VmConfig) -> str:
    if vm.firmware is None:
        return vm.machine
    return f"{vm.machine},pflash0=firmware,pflash1=variables"


def _firmware(firmware: FirmwareConfig) -> tuple[str, ...]:
    code = {
        "driver": "file",
        "filename": str(firmware.code),
        "node-name": "firmware",
        "read-only": True,
    }
    # safety: as for disks, the lease alone says who may write.
    variables = {
        "driver": "file",
        "filename": str(firmware.variables),
        "node-name": "variables",
        "locking": "off",
    }
    return ("-blockdev", json.dumps(code), "-blockdev", json.dumps(variables))


def _cdrom(medium: Path) -> tuple[str, ...]:
    image = {
        "driver": "host_device" if medium.is_block_device() else "file",
        "filename": str(medium),
        "node-name": "medium",
        "read-only": True,
    }
    # The firmware tries the disks first: an installed system boots, an empty disk does not.
    device = {"driver": "ide-cd", "id": "cd0", "drive": "medium", "bootindex": 100}
    return ("-blockdev", json.dumps(image), "-device", json.dumps(device))


def _nic(number: int, nic: NicConfig) -> tuple[str, ...]:
    backend: dict[str, Any] = {"type": nic.kind, "id": f"net{number}"}
    if nic.kind == "bridge":
        backend["br"] = nic.bridge
    elif nic.kind == "tap":
        backend |= {"ifname": nic.name, "script": "no", "downscript": "no"}
    else:
        backend["hostfwd"] = [{"str": _forward(each)} for each in nic.forwards]
    device: dict[str, Any] = {
        "driver": "virtio-net-pci",
        "netdev": f"net{number}",
        "mac": nic.mac,
    }
    if nic.boot:
        # After the disks and the medium.
        device["bootindex"] = _NETWORK_BOOTS + number
    else:
        # Nothing is booted from the network, and the file may be missing.
        device["romfile"] = ""
    return ("-netdev", json.dumps(backend), "-device", json.dumps(device))


def _forward(forward: str) -> str:
    outside, _, inside = forward.rpartition(":")
    return f"tcp:{outside}-:{inside}"


def _reporters(vm: VmConfig) -> tuple[str, ...]:
    """Return the devices by which a guest reports its own death; QEMU ends with either report."""
    parts: tuple[str, ...] = ("-action", "panic=shutdown,watchdog=poweroff")
    if vm.panic:
        # On the ISA bus: guests of every age know it, and it takes no slot of the PCI bus.
        parts += ("-device", "pvpanic")
    if vm.watchdog == "i6300esb":
        parts += ("-device", "i6300esb,id=watchdog0")
    elif vm.watchdog == "itco":
        # Up to machine 7.2 a strap of the chip-set keeps it from doing anything.
        parts += ("-global", "ICH9-LPC.noreboot=false")
    return parts


def _console(console: ConsoleConfig) -> tuple[str, ...]:
    address = _escaped(console.address)
    if console.kind == "vnc":
        display = f"{address}:{console.port - _VNC_PORT},password=on"
        return ("-vnc", display, "-device", "VGA")
    # No password is set yet, so nobody gets in; it is never a word of the command line.
    return ("-spice", f"addr={address},port={console.port}", "-device", "VGA")


def _escaped(value: object) -> str:
    """Write a value in one of QEMU's lists, whose items end with a comma."""
    return str(value).replace(",", ",,")
