"""What is wrong with a domain and its host where a holder keeps the lease; what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.hypervisors.libvirt.definition.findings import (
    Circumstances,
    findings,
    lease_findings,
)
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read
from he_fsm.runtime.hypervisors.libvirt.holder.settings import HolderSettings, MovedNote
from he_fsm.runtime.hypervisors.lock_manager import driver_findings
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from tests.runtime.hypervisors.libvirt.test_definition import PLACE, XML, changed
from tests.runtime.hypervisors.libvirt.test_kind import written

BY_HAND = "refuses nobody who starts, resumes or restores the domain HostedEngine by hand"


def said(xml: str, *, is_fatal: bool, **around: Any) -> list[str]:
    found = findings(read(xml), Circumstances(place=PLACE, is_plugin=False, **around))
    return [each.what for each in found if each.is_fatal is is_fatal]


def test_a_domain_without_a_lease_is_as_it_should_be() -> None:
    xml = changed("devices/lease", remove=True)
    assert said(xml, is_fatal=True, moves=True) == []
    (warning,) = said(xml, is_fatal=False, moves=True)
    assert BY_HAND in warning


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # The same lease, by another path.
        {"path": "/mnt/same"},
        # Another name at the same place.
        {"resource": "other"},
    ],
)
def test_the_engines_lease_twice_is_fatal(changes: dict[str, str]) -> None:
    (fatal,) = [
        each
        for each in lease_findings(read(XML), attrs.evolve(PLACE, **changes), is_plugin=False)
        if each.is_fatal
    ]
    assert "each of the two would refuse the other" in fatal.what
    assert "write lease: plugin" in fatal.mend


def test_another_lease_is_no_matter() -> None:
    place = attrs.evolve(PLACE, resource="other", offset=2 << 20)
    assert not any(each.is_fatal for each in lease_findings(read(XML), place, is_plugin=False))


def test_a_domain_that_libvirt_starts_by_itself_is_fatal() -> None:
    xml = changed("devices/lease", remove=True)
    (fatal,) = said(xml, is_fatal=True, is_autostarted=True)
    assert fatal == (
        "libvirt starts the domain HostedEngine by itself (autostart), without the engine's lease"
    )


def test_the_drivers_lock_manager_is_not_needed(tmp_path: Path) -> None:
    conf = tmp_path / "qemu.conf"
    assert driver_findings(conf, is_plugin=False) == ()
    conf.write_text('lock_manager = "sanlock"\n')
    (warning,) = driver_findings(conf, is_plugin=False)
    assert not warning.is_fatal
    assert "require_lease_for_disks = 0" in warning.what


@pytest.mark.parametrize(
    ("uri", "is_refused"),
    [
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/run/x", False),
        ("qemu+tcp://host1/system", True),
        ("qemu+ssh://root@host1/system", True),
    ],
)
def test_the_daemon_has_to_be_this_hosts(tmp_path: Path, uri: str, is_refused: bool) -> None:
    path = written(tmp_path, hypervisor={"kind": "libvirt", "uri": uri, "lease": "holder"})
    if not is_refused:
        assert not load_config(path).hypervisor.is_plugin
        return
    with pytest.raises(ConfigError, match="a daemon of this host"):
        load_config(path)


def test_a_way_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, hypervisor={"kind": "libvirt", "lease": "file"})
    with pytest.raises(ConfigError, match="unknown word"):
        load_config(path)


def test_settings_are_read_as_they_were_written() -> None:
    settings = HolderSettings(
        own="module:make", lease="{}", host_id=1, state=Path("/run/vm.json"), pid=7, ticks=8
    )
    assert HolderSettings.from_text(settings.to_text()) == settings


@pytest.mark.parametrize(
    ("to", "host_id", "version", "is_good"),
    [
        pytest.param(2, 2, 8, True, id="for this host"),
        pytest.param(0, 2, 8, True, id="wherever it went to"),
        pytest.param(3, 2, 8, False, id="for another host"),
        pytest.param(2, 2, 9, False, id="others in between"),
        pytest.param(2, 2, 7, False, id="older than the lease"),
    ],
)
def test_a_note_is_for_the_next_owner(to: int, host_id: int, version: int, is_good: bool) -> None:
    note = MovedNote.from_bytes(MovedNote(to=to, version=7).to_bytes())
    assert note is not None
    assert note.is_for(host_id, version) is is_good


@pytest.mark.parametrize("text", [b"", b"x", b"[]", b"7", b"{}", b'{"to": 1}', b'{"to": "x"}'])
def test_what_is_no_note_says_nothing(text: bytes) -> None:
    assert MovedNote.from_bytes(text) is None


def test_the_record_names_the_holder(tmp_path: Path) -> None:
    record = VmRecord(pid=7, started_ticks=1, phase=Phase.RUNNING, port=0, since=0.0)
    assert (record.has_holder, record.lease_pid, record.holder_lives) == (False, 7, False)
    file = VmFile(tmp_path / "vm.json")
    file.write(attrs.evolve(record, holder_pid=8, holder_ticks=1))
    found = file.read()
    assert found is not None
    # No process of that number was started then.
    assert (found.has_holder, found.lease_pid, found.holder_lives) == (True, 8, False)
