"""Questions about the VM: from what it boots, and what it is made of."""

from __future__ import annotations

import re
from typing import Final, Optional

from he_fsm.deploy.asking import readers
from he_fsm.deploy.asking.conditions import SERVICES, has_vm, unless, when
from he_fsm.deploy.asking.question import Look, Machine, Question, Section, Values
from he_fsm.deploy.asking.readers import Value

# Today's minimum of ovirt-hosted-engine-setup is 61 GB; the talk's, which any VM can have, is less.
_DISK_GB: Final = 25
_MEMORY_MB: Final = 4096
_CPUS: Final = 2


# Where agents that start QEMU themselves take migrations; see docs/qemu.md.
_MOVE_PORT: Final = 8703


def _peers(values: Values, _: Machine) -> Optional[Value]:
    """Return where agents meet, if this host's name has its id in it: host1.example.com."""
    own = str(values.get("host_id") or 1)
    first, dot, rest = str(values["hostname"]).partition(".")
    found = re.fullmatch(rf"(\D*){own}", first)
    if found is None or values.get("hypervisor") != "qemu" or values["leases"] == "embedded":
        # libvirt's daemons need certificates of each other before they can be named.
        return ""
    return f"tcp:{found[1]}{{id}}{dot}{rest}:{_MOVE_PORT}"


def _has_image(values: Values, _: Machine) -> bool:
    return values.get("boot") == "disk"


def _has_seed(values: Values, _: Machine) -> bool:
    return values.get("cloud_init") is True


OF_VM: Final = (
    Question(
        key="boot",
        section=Section.VM,
        prompt="Please specify the device to boot the VM from (cdrom, disk, pxe)",
        read=readers.one_of("cdrom", "disk", "pxe"),
        default="cdrom",
        ovirt="OVEHOSTED_VM/vmBoot",
        label="Boot type",
        applies=lambda values, machine: has_vm(values, machine) and not machine.joins,
    ),
    Question(
        key="cdrom",
        section=Section.VM,
        prompt="Please specify path to installation media you would like to use",
        read=readers.path,
        ovirt="OVEHOSTED_VM/vmCDRom",
        label="ISO image (for cdrom boot)",
        look=Look.MEDIUM,
        applies=when("boot", "cdrom"),
    ),
    Question(
        key="image",
        section=Section.VM,
        prompt="Please specify path to the pre-installed image (qcow2, raw or OVA) you would like"
        " to use",
        read=readers.path,
        ovirt="OVEHOSTED_VM/ovfArchive",
        label="Disk image (for disk boot)",
        look=Look.IMAGE,
        applies=_has_image,
    ),
    Question(
        key="cloud_init",
        section=Section.VM,
        prompt="Would you like to use cloud-init to customize the appliance on the first boot"
        " (Yes, No)",
        read=readers.yes_no,
        default=True,
        label="cloud-init",
        applies=_has_image,
    ),
    Question(
        key="vm_address",
        section=Section.VM,
        prompt="Please enter the IP address of the engine VM with its prefix, or nothing for DHCP",
        read=readers.cidr,
        default="",
        is_optional=True,
        ovirt="OVEHOSTED_VM/cloudinitVMStaticCIDR",
        label="VM address",
        applies=_has_seed,
    ),
    Question(
        key="vm_dns",
        section=Section.VM,
        prompt="Please enter the address of a DNS server for the engine VM",
        read=readers.address,
        default="",
        is_optional=True,
        ovirt="OVEHOSTED_VM/cloudinitVMDNS",
        applies=lambda values, _: bool(values.get("vm_address")),
    ),
    Question(
        key="root_password",
        section=Section.VM,
        prompt="Enter root password that will be used for the engine appliance",
        read=readers.password,
        ovirt="OVEHOSTED_VM/cloudinitRootPwd",
        is_secret=True,
        applies=_has_seed,
    ),
    Question(
        key="root_key",
        section=Section.VM,
        prompt="Please enter the ssh public key for the root user, or nothing to skip",
        read=readers.line,
        default="",
        is_optional=True,
        ovirt="OVEHOSTED_VM/rootSshPubkey",
        applies=_has_seed,
    ),
    Question(
        key="engine_setup",
        section=Section.VM,
        prompt="Automatically execute engine-setup on the engine appliance on first boot (Yes, No)",
        read=readers.yes_no,
        default=True,
        ovirt="OVEHOSTED_VM/cloudinitExecuteEngineSetup",
        applies=lambda values, machine: (
            _has_seed(values, machine) and values.get("ovirt_engine") is not False
        ),
        is_asked=False,
    ),
    Question(
        key="cpus",
        section=Section.VM,
        prompt="Please specify the number of virtual CPUs for the VM",
        read=readers.whole(1, 512),
        default=_CPUS,
        ovirt="OVEHOSTED_VM/vmVCpus",
        label="Number of CPUs",
        applies=has_vm,
    ),
    Question(
        key="cpu_model",
        section=Section.VM,
        prompt="Please specify the CPU model of the VM, one that every host can run",
        read=readers.word,
        default=lambda _, machine: machine.cpu,
        is_optional=True,
        ovirt="OVEHOSTED_VDSM/cpu",
        label="CPU model",
        applies=has_vm,
        is_asked=False,
    ),
    Question(
        key="emulated",
        section=Section.VM,
        prompt="Please specify the emulated machine, one that every host can run",
        read=readers.word,
        default=lambda _, machine: machine.emulated,
        is_optional=True,
        ovirt="OVEHOSTED_VM/emulatedMachine",
        label="Emulated machine",
        applies=has_vm,
        is_asked=False,
    ),
    Question(
        key="disk_gb",
        section=Section.VM,
        prompt="Please specify the disk size of the VM in GB",
        read=readers.whole(1, 65536),
        default=_DISK_GB,
        ovirt="OVEHOSTED_STORAGE/imgSizeGB",
        label="Image size GB",
        applies=has_vm,
    ),
    Question(
        key="memory_mb",
        section=Section.VM,
        prompt="Please specify the memory size of the VM in MB",
        read=readers.whole(16, 16 * 1024 * 1024),
        default=_MEMORY_MB,
        ovirt="OVEHOSTED_VM/vmMemSizeMB",
        label="Memory size MB",
        applies=unless("hypervisor", *SERVICES),
    ),
    Question(
        key="huge_pages",
        section=Section.VM,
        prompt="Please say whether the VM's memory is huge pages (Yes, No)",
        read=readers.yes_no,
        default=False,
        is_asked=False,
        applies=has_vm,
    ),
    Question(
        key="mac",
        section=Section.VM,
        prompt="You may specify a unicast MAC address for the VM",
        read=readers.mac,
        default=lambda _, machine: machine.mac,
        ovirt="OVEHOSTED_VM/vmMACAddr",
        is_asked=False,
        applies=has_vm,
    ),
    Question(
        key="vm_id",
        section=Section.VM,
        prompt="You may specify the VM's UUID",
        read=readers.uuid,
        default=lambda _, machine: machine.vm_id,
        ovirt="OVEHOSTED_VM/vmUUID",
        is_asked=False,
    ),
    Question(
        key="console",
        section=Section.VM,
        prompt="Please specify the console type you would like to use to connect to the VM"
        " (vnc, spice)",
        read=readers.one_of("vnc", "spice"),
        default="vnc",
        ovirt="OVEHOSTED_VDSM/consoleType",
        label="Console type",
        applies=has_vm,
    ),
    Question(
        key="domain",
        section=Section.VM,
        prompt="Please specify libvirt's definition of the VM, in place of what the answers make",
        read=readers.path,
        default="",
        is_optional=True,
        is_asked=False,
        look=Look.IMAGE,
        applies=lambda values, machine: values["hypervisor"] == "libvirt" and not machine.joins,
    ),
    Question(
        key="peers",
        section=Section.VM,
        prompt="Please specify where the hosts' agents meet to move the VM",
        read=readers.line,
        default=_peers,
        is_optional=True,
        is_asked=False,
        label="Moves by",
        applies=has_vm,
    ),
)
