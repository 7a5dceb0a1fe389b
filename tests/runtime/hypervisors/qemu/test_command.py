from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from he_fsm.errors import ConfigError, HypervisorError, MissingExtraError
from he_fsm.runtime import parts
from he_fsm.runtime.config import annotated_yaml, parse_config
from he_fsm.runtime.hypervisors.qemu.accel import KVM, TCG, runs_with, usable_accel
from he_fsm.runtime.hypervisors.qemu.command import MONITOR, binary_of, command, fingerprint
from he_fsm.runtime.hypervisors.qemu.section import (
    ConsoleConfig,
    DiskConfig,
    FirmwareConfig,
    NicConfig,
    VmConfig,
)
from he_fsm.testing.waiting import until

RUN_DIR = Path("/run/he,fsm")
TRUE = Path("/bin/true")
VM = VmConfig(binary=TRUE, disks=(DiskConfig(path=Path("/srv/engine,1.raw")),))


def words(vm: VmConfig, option: str) -> list[str]:
    """Return what follows each of an option's occurrences."""
    made = command(vm, RUN_DIR, TCG, awaits=False)
    return [after for before, after in zip(made, made[1:]) if before == option]


def test_a_comma_in_a_path_ends_nothing() -> None:
    chardevs = words(VM, "-chardev")
    [console] = [each for each in chardevs if "id=console" in each]
    assert "path=/run/he,,fsm/vm.serial,server" in console
    assert "logfile=/run/he,,fsm/vm.console,logappend" in console
    file = json.loads(words(VM, "-blockdev")[0])
    assert file["filename"] == "/srv/engine,1.raw"


def test_the_lease_alone_protects_the_disk() -> None:
    file, image = map(json.loads, words(VM, "-blockdev"))
    assert (file["locking"], file["cache"]["direct"]) == ("off", True)
    assert image["driver"] == "raw"
    device = json.loads(words(VM, "-device")[0])
    assert (device["share-rw"], device["werror"], device["rerror"]) == (True, "stop", "stop")


def test_a_bridge_a_tap_and_a_user_network() -> None:
    nics = (
        NicConfig(bridge="ovirtmgmt"),
        NicConfig(kind="tap", name="tap3"),
        NicConfig(kind="user", forwards=("127.0.0.1:8080:80", ":2222:22")),
    )
    backends = [json.loads(each) for each in words(attrs.evolve(VM, nics=nics), "-netdev")]
    assert backends[0] == {"type": "bridge", "id": "net0", "br": "ovirtmgmt"}
    assert (backends[1]["ifname"], backends[1]["script"]) == ("tap3", "no")
    assert backends[2]["hostfwd"] == [{"str": "tcp:127.0.0.1:8080-:80"}, {"str": "tcp::2222-:22"}]


def test_a_card_from_which_the_vm_boots_comes_after_disks_and_media() -> None:
    first, second = (
        json.loads(each)
        for each in words(attrs.evolve(VM, nics=(NicConfig(boot=True), NicConfig())), "-device")
        if "virtio-net-pci" in each
    )
    assert (first["bootindex"], "romfile" in first) == (200, False)
    assert ("bootindex" in second, second["romfile"]) == (False, "")
    booting = attrs.evolve(VM, nics=(NicConfig(boot=True),))
    assert fingerprint(booting) != fingerprint(attrs.evolve(VM, nics=(NicConfig(),)))


def test_huge_pages_are_taken_at_the_start() -> None:
    huge = attrs.evolve(VM, huge_pages=True)
    assert words(huge, "-mem-path") == ["/dev/hugepages"]
    assert "-mem-prealloc" in command(huge, RUN_DIR, TCG, awaits=False)
    # A VM moves between hosts with such pages and hosts without.
    assert fingerprint(huge) == fingerprint(VM)


def test_no_screen_is_open_to_everybody() -> None:
    assert words(attrs.evolve(VM, console=ConsoleConfig(port=5903)), "-vnc") == [
        "127.0.0.1:3,password=on"
    ]
    [spice] = words(attrs.evolve(VM, console=ConsoleConfig(kind="spice")), "-spice")
    assert "disable-ticketing" not in spice


def test_a_vm_that_awaits_a_state_executes_nothing() -> None:
    assert command(VM, RUN_DIR, TCG, awaits=True)[-2:] == ("-incoming", "defer")
    assert "-incoming" not in command(VM, RUN_DIR, TCG, awaits=False)


def test_a_guest_can_report_its_death_and_qemu_ends_with_it() -> None:
    assert words(VM, "-action") == ["panic=shutdown,watchdog=poweroff"]
    assert words(VM, "-device")[-1] == "pvpanic"
    assert "pvpanic" not in words(attrs.evolve(VM, panic=False), "-device")
    watched = attrs.evolve(VM, watchdog="i6300esb")
    # Behind all others, which keep their places.
    assert words(watched, "-device")[-2:] == ["pvpanic", "i6300esb,id=watchdog0"]
    assert words(attrs.evolve(VM, watchdog="itco"), "-global") == ["ICH9-LPC.noreboot=false"]


def test_pvpanic_has_no_state_and_a_watchdog_has() -> None:
    assert fingerprint(attrs.evolve(VM, panic=False)) == fingerprint(VM)
    assert fingerprint(attrs.evolve(VM, watchdog="i6300esb")) != fingerprint(VM)


def test_hosts_may_differ_in_paths_but_not_in_the_vm() -> None:
    elsewhere = attrs.evolve(VM, binary=None, disks=(DiskConfig(path=Path("/mnt/engine.raw")),))
    assert fingerprint(elsewhere) == fingerprint(VM)
    assert fingerprint(attrs.evolve(VM, memory=VM.memory + 1)) != fingerprint(VM)


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(HypervisorError, match="/nowhere/qemu"):
        binary_of(VmConfig(binary=Path("/nowhere/qemu")))


@pytest.mark.qemu
def test_a_trial_tells_whether_a_guest_runs() -> None:
    binary = shutil.which("qemu-system-x86_64")
    if binary is None:
        pytest.skip("QEMU is not installed: qemu-system-x86")
    assert runs_with(binary, TCG)
    assert not runs_with(binary, "no-such-accelerator")
    assert usable_accel(binary) == (KVM if runs_with(binary, KVM) else TCG)


def test_a_program_that_is_no_qemu_runs_no_guest() -> None:
    assert not runs_with("/bin/true", TCG)
    assert not runs_with("/nowhere/qemu", TCG)


# The configuration.

MINIMAL = """\
host: {id: 1}
storage: {path: /srv}
monitors: {network: {test: none}}
ovirt: none
engine: {health: {url: http://engine/}}
leases: sanlock
hypervisor:
  kind: qemu
  vm: {memory: 512, disks: [{path: engine.raw, format: qcow2}]}
  move: {peers: 'tcp:host{id}:8703', secret_file: secret}
"""


def test_a_qemu_vm_is_described_in_the_configuration(tmp_path: Path) -> None:
    config = parse_config(MINIMAL, "f.yaml", tmp_path)
    vm = config.hypervisor.vm
    assert vm is not None
    assert vm.disks == (DiskConfig(path=tmp_path / "engine.raw", format="qcow2"),)
    assert vm.nics == (NicConfig(),)
    assert config.hypervisor.move.address_of(7) == "tcp:host7:8703"
    again = parse_config(annotated_yaml(config), "f.yaml", tmp_path)
    assert again == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  vm: {memory: 512, disks: [{path: engine.raw, format: qcow2}]}\n",
            "",
            'f.yaml:8:3: hypervisor: the hypervisor "qemu" needs the key "vm"',
        ),
        (
            "engine: {health: {url: http://engine/}}\n",
            "",
            'f.yaml:1:1: engine.health: the hypervisor "qemu" needs the key "url"; write engine:',
        ),
        ("disks: [{path: engine.raw, format: qcow2}]", "cpus: 1", "nothing to boot"),
        ("memory: 512,", "initrd: i,", 'hypervisor.vm.initrd: "initrd" needs the key "kernel"'),
        ("memory: 512,", "memory: 512, memory_limit: 512,", "more than the guest's own memory"),
        ("memory: 512,", "memory: 512, nics: [{mac: 'x'}],", "expected a MAC address like"),
        ("memory: 512,", "nics: [{kind: user, forwards: ['80']}],", "expected a forwarding like"),
        ("memory: 512,", "nics: [{bridge: 'a,b'}],", "expected an interface's name"),
        ("host{id}", "host", "expected {id} in it"),
        ("tcp:host{id}:8703", "udp:host{id}:1", "expected an address like unix:"),
        (", secret_file: secret", "", 'move.peers: "tcp:" needs the key "secret_file"'),
    ],
)
def test_a_vm_that_can_not_be_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(MINIMAL.replace(old, new), "f.yaml", tmp_path)


def test_a_real_vm_is_not_run_under_the_locks_of_one_machine_unless_that_is_asked_for(
    tmp_path: Path,
) -> None:
    default = MINIMAL.replace("leases: sanlock\n", "")
    with pytest.raises(ConfigError, match=r"f.yaml:7:9: hypervisor.kind: .*'leases: sanlock'"):
        parse_config(default, "f.yaml", tmp_path)
    asked_for = default + "leases: embedded\n"
    config = parse_config(asked_for, "f.yaml", tmp_path)
    (finding,) = [each for each in parts.findings(config) if "leases: embedded" in each.what]
    assert "could start a second engine VM" in finding.what
    assert not finding.is_fatal


@pytest.mark.parametrize(
    ("peers", "is_warned"),
    [
        ("tcp:host{id}:8703", True),
        ("tcp:192.0.2.{id}:8703", True),
        ("tcp:127.0.0.{id}:8703", False),
        ("unix:/run/{id}/migrate.sock", False),
    ],
)
def test_memory_that_would_cross_a_network_unencrypted_is_warned_of(
    tmp_path: Path, peers: str, is_warned: bool
) -> None:
    config = parse_config(MINIMAL.replace("tcp:host{id}:8703", peers), "f.yaml", tmp_path)
    said = [
        each for each in parts.findings(config) if "crosses the network unencrypted" in each.what
    ]
    assert [each.is_fatal for each in said] == ([False] if is_warned else [])


def test_credentials_that_are_missing_are_named(tmp_path: Path) -> None:
    config = parse_config(
        MINIMAL.replace("secret_file:", "tls: tls, secret_file:"), "f.yaml", tmp_path
    )
    said = "\n".join(each.what for each in parts.findings(config))
    for name in ("ca-cert", "server-cert", "server-key", "client-cert", "client-key"):
        assert f"migrations by TLS need the file {tmp_path}/tls/{name}.pem" in said
    assert "unencrypted" not in said


def test_who_lacks_the_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "he_fsm.runtime.hypervisors.qemu.hypervisor", None)
    with pytest.raises(MissingExtraError, match="he-fsm"):
        parts.make_hypervisor(parse_config(MINIMAL, "f.yaml", tmp_path))


def test_an_install_medium_is_read_only_and_booted_after_the_disks() -> None:
    vm = attrs.evolve(VM, cdrom=Path("/srv/install,1.iso"))
    medium = json.loads(words(vm, "-blockdev")[-1])
    assert (medium["filename"], medium["read-only"]) == ("/srv/install,1.iso", True)
    (device,) = (each for each in words(vm, "-device") if "ide-cd" in each)
    assert json.loads(device)["bootindex"] == 100
    # A host without the medium can't receive the VM.
    assert fingerprint(vm) != fingerprint(VM)


def test_uefi_has_its_code_for_all_and_its_variables_for_this_vm() -> None:
    firmware = FirmwareConfig(code=Path("/fw/CODE.fd"), variables=Path("/srv/VARS.fd"))
    vm = attrs.evolve(VM, firmware=firmware)
    assert words(vm, "-machine") == ["q35,pflash0=firmware,pflash1=variables"]
    code, variables = map(json.loads, words(vm, "-blockdev")[:2])
    assert (code["filename"], code["read-only"]) == ("/fw/CODE.fd", True)
    assert (variables["filename"], variables["locking"]) == ("/srv/VARS.fd", "off")
    assert fingerprint(vm) != fingerprint(VM)


@pytest.mark.qemu
@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_qemu_takes_a_medium_and_firmware(tmp_path: Path) -> None:
    for name, size in (("disk", 1 << 20), ("iso", 1 << 20), ("code", 1 << 17), ("vars", 1 << 17)):
        (tmp_path / name).write_bytes(bytes(size))
    vm = VmConfig(
        memory=64,
        cpus=1,
        disks=(DiskConfig(path=tmp_path / "disk", cache="writeback"),),
        nics=(),
        cdrom=tmp_path / "iso",
        firmware=FirmwareConfig(code=tmp_path / "code", variables=tmp_path / "vars"),
    )
    # It awaits a state, so that nothing of these empty files is executed.
    made = command(vm, tmp_path, TCG, awaits=True)
    with subprocess.Popen(made, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: (tmp_path / MONITOR).exists() or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
        finally:
            process.kill()
