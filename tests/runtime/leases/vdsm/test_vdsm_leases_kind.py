"""The leases `vdsm` as a configuration names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from he_fsm.errors import ConfigError
from he_fsm.runtime.config import Config, load_config
from he_fsm.runtime.hypervisors.vdsm.kind import KIND as HYPERVISOR
from he_fsm.runtime.leases.vdsm import section as sections
from he_fsm.runtime.leases.vdsm.joins import ServeSettings
from he_fsm.runtime.leases.vdsm.kind import KIND
from he_fsm.runtime.leases.vdsm.section import settings_of

DOMAIN = "5ab4e0ac-5d4c-4a52-b0a2-3a4b2f6a1f37"
VM_ID = "11111111-2222-4333-8444-555555555555"
URL = "http://engine.example.com/ovirt-engine/services/health"


def written(folder: Path, **changes: Any) -> Path:
    plain = {
        "host": {"id": 1},
        "run_dir": str(folder),
        "state_dir": str(folder),
        "storage": {"path": str(folder), "domain_id": DOMAIN},
        "leases": "vdsm",
        "vdsm": {"image": "i", "volume": "v", "path": "/srv/ids"},
        "hypervisor": {"kind": "vdsm", "vm_id": VM_ID},
        "engine": {"health": {"url": URL}},
        "monitors": {"network": {"test": "none"}},
        "ovirt": "none",
        **changes,
    }
    path = folder / "he-fsm.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in plain.items() if value}))
    return path


def loaded(folder: Path, **changes: Any) -> Config:
    return load_config(written(folder, **changes))


def test_the_usual_section(tmp_path: Path) -> None:
    section = loaded(tmp_path).hypervisor
    assert (section.host, section.port, section.tls) == ("localhost", 54321, True)
    assert section.pid_file == Path("/run/libvirt/qemu/HostedEngine.pid")
    assert section.deadline_s == 5.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leases": None}, "write 'leases: vdsm'"),
        ({"leases": "sanlock"}, "write 'leases: vdsm'"),
        ({"engine": {"memory": 1}}, "url"),
        ({"hypervisor": {"kind": "vdsm"}}, 'needs the key "vm_id"'),
        (
            {"hypervisor": {"kind": "vdsm", "vm_id": "x", "migrate": {"peers": "host2"}}},
            "all hosts have one address",
        ),
        ({"hypervisor": {"kind": "vdsm", "vm_id": "x", "migrate": {"peers": "a b"}}}, "peers"),
        ({"hypervisor": {"kind": "vdsm", "vm_id": "x", "deadline": "0s"}}, "deadline"),
        ({"hypervisor": {"kind": "vdsm", "vm_id": "x", "name": "a/b"}}, "a VM's name"),
        ({"vdsm": {"volume": "v", "path": "/srv/ids"}}, 'needs the key "image"'),
        ({"vdsm": {"image": "i", "path": "/srv/ids"}}, 'needs the key "volume"'),
        ({"storage": {"path": "/srv"}}, 'needs the key "domain"'),
        (
            {"vdsm": {"image": "i", "volume": "v", "path": f"/dev/{DOMAIN}/ids"}},
            "is a volume group",
        ),
    ],
)
def test_what_can_not_be_used_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=r"he-fsm\.yaml:") as refused:
        loaded(tmp_path, **changes)
    assert message in str(refused.value)


def test_leases_of_vdsm_are_for_vms_of_vdsm(tmp_path: Path) -> None:
    hypervisor = {"kind": "qemu", "vm": {"disks": [{"path": "/srv/engine.raw"}]}}
    with pytest.raises(ConfigError, match="leases: vdsm are those of a VM of vdsm"):
        loaded(tmp_path, hypervisor=hypervisor)


def test_a_domain_of_files_is_found_where_vdsm_mounts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "_MOUNTS", tmp_path)
    monkeypatch.setattr(sections, "_DEVICES", tmp_path / "dev")
    config = loaded(tmp_path, vdsm={"image": "i", "volume": "v"})
    # Until vdsm has connected it, nobody knows where it is: a finding, and no refusal.
    with pytest.raises(ConfigError, match="is not connected on this host"):
        settings_of(config)
    assert "is not connected" in "\n".join(map(str, KIND.needs(config)))
    ids = tmp_path / "host:_srv" / DOMAIN / "dom_md" / "ids"
    ids.parent.mkdir(parents=True)
    ids.touch()
    found = settings_of(config)
    assert (found.lockspace, found.resource) == (DOMAIN, "v")
    assert found.path == str(ids)
    assert found.resource_path == f"{tmp_path}/host:_srv/{DOMAIN}/images/i/v.lease"
    assert found.vm_pid_file == "/run/libvirt/qemu/HostedEngine.pid"


def test_a_domain_of_block_storage_has_its_leases_in_a_device_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "_MOUNTS", tmp_path / "none")
    monkeypatch.setattr(sections, "_DEVICES", tmp_path)
    ids = tmp_path / DOMAIN / "ids"
    ids.parent.mkdir()
    ids.touch()
    leases = {"image": "i", "volume": "v", "resource_offset": 100 << 20}
    found = settings_of(loaded(tmp_path, vdsm=leases))
    assert (found.path, found.resource_offset) == (str(ids), 100 << 20)
    assert found.resource_path == str(tmp_path / DOMAIN / "leases")


def test_what_serves_the_storage_is_told_all(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    told = ServeSettings.from_text(KIND.settings(config))
    assert told.sanlock == settings_of(config)
    assert (told.vdsm.port, told.vdsm.key) == (54321, "/etc/pki/vdsm/keys/vdsmkey.pem")


def test_nothing_is_set_up_that_is_vdsms(tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    leases = {"volume": "v", "path": str(ids), "resource_path": str(ids)}
    config = loaded(tmp_path, vdsm=leases)
    with pytest.raises(Exception, match="oVirt's deployment makes the storage domain"):
        KIND.set_up(config)
    ids.touch()
    assert not KIND.set_up(config).is_new
    assert ids.read_bytes() == b""


@pytest.mark.parametrize(
    ("ovirt", "conf"), [({}, "/var/run/x/vm.conf"), ({"run_dir": "/srv/run"}, "/srv/run/vm.conf")]
)
def test_an_ovirt_hosts_own_files_say_all_that_is_not_written(
    tmp_path: Path, ovirt: dict[str, str], conf: str
) -> None:
    (tmp_path / "hosted-engine.conf").write_text(
        f"fqdn=engine.example.com\nvmid={VM_ID}\nhost_id=3\nsdUUID={DOMAIN}\nvm_disk_id=i\n"
        "vm_disk_vol_id=v\nvdsm_use_ssl=false\nconf=/var/run/x/vm.conf\nbridge=ovirtmgmt\n"
        "gateway=192.0.2.1\n"
    )
    path = tmp_path / "he-fsm.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "storage": {"path": str(tmp_path)},
                "leases": "vdsm",
                "vdsm": {"path": "/srv/ids"},
                "hypervisor": {"kind": "vdsm"},
                "ovirt": {"dir": str(tmp_path), **ovirt},
            }
        )
    )
    config = load_config(path)
    assert (config.host.id, config.engine.vm_id) == (3, VM_ID)
    assert (config.hypervisor.tls, config.hypervisor.conf) == (False, Path(conf))
    found = settings_of(config)
    assert (found.lockspace, found.resource) == (DOMAIN, "v")
    assert found.resource_path.endswith("/images/i/v.lease")


@pytest.mark.parametrize(
    ("peers", "name"),
    [("{address}", None), ("host{id}.example.com:54321", "host2.example.com"), ("h{id}", "h2")],
)
def test_a_peers_name(tmp_path: Path, peers: str, name: Any) -> None:
    hypervisor = {"kind": "vdsm", "vm_id": VM_ID, "migrate": {"peers": peers}}
    assert HYPERVISOR.peer_name(loaded(tmp_path, hypervisor=hypervisor), 2) == name


def test_what_a_host_lacks_is_found(tmp_path: Path) -> None:
    hypervisor = {
        "kind": "vdsm",
        "vm_id": VM_ID,
        "conf": str(tmp_path / "vm.conf"),
        "driver_conf": str(tmp_path / "qemu.conf"),
        "host": "127.0.0.1",
        "port": 1,
        "tls": False,
    }
    found = {
        finding.what: finding
        for finding in HYPERVISOR.needs(loaded(tmp_path, hypervisor=hypervisor))
    }
    text = "\n".join(found)
    assert f"{tmp_path}/qemu.conf sets no lock_manager" in text
    assert f"there is no {tmp_path}/vm.conf" in text
    assert "127.0.0.1:1" in text
