"""What sanlock's numbers mean, and what is said where sanlock itself is missing."""

from __future__ import annotations

import errno
import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from he_fsm import errors
from he_fsm.errors import LockspaceError, SanlockMissingError
from he_fsm.runtime.leases.sanlock.daemon import errors as sanlock_errors
from he_fsm.runtime.leases.sanlock.daemon import module as sanlock_module
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.daemon.errors import refusal
from he_fsm.runtime.leases.sanlock.settings import MIB, SanlockSettings

SETTINGS = SanlockSettings(
    lockspace="he", path="/none", resource="engine", resource_path="/none", vm_lock="/none"
)
ALL = (*("EVERYWHERE", "CONNECTING", "JOINING", "LEAVING", "ACQUIRING", "READING"),)


@pytest.mark.parametrize("table", ALL)
def test_every_number_has_a_class_of_its_own_and_a_sentence(table: str) -> None:
    for number, (kind, sentence) in getattr(sanlock_errors, table).items():
        assert kind is not LockspaceError
        assert issubclass(kind, LockspaceError)
        assert getattr(errors, kind.__name__) is kind
        assert sentence[0].islower()
        assert not sentence.endswith(".")
        # The system's numbers are positive, as the module gives them.
        assert number > 0 or number <= sanlock_errors.FIRST
        told = refusal("do it", number, getattr(sanlock_errors, table))
        assert type(told) is kind
        assert told.errno == number
        assert str(told) == f"do it: {sentence} ({number})"


def test_a_number_that_nobody_knows_is_told_as_sanlock_tells_it() -> None:
    told = refusal("do it", -999, sanlock_errors.JOINING, "Something else")
    assert (type(told), str(told)) == (LockspaceError, "do it: Something else (-999)")
    told = refusal("do it", -999, sanlock_errors.JOINING)
    assert str(told) == "do it: sanlock says -999 (-999)"


def test_the_same_number_means_another_thing_to_another_call() -> None:
    kinds = [
        type(refusal("", errno.ENOENT, table))
        for table in (sanlock_errors.CONNECTING, sanlock_errors.ACQUIRING)
    ]
    assert kinds == [errors.SanlockDownError, errors.LeaseMissingError]


def test_without_the_module_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sanlock", raising=False)
    monkeypatch.setattr(sanlock_module, "FOLDERS", ())
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "dist-packages" not in entry])
    with pytest.raises(SanlockMissingError, match="install the system's package python3-sanlock"):
        sanlock_module.load("/run/sanlock")


def test_looking_for_the_module_leaves_the_path_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sanlock", raising=False)
    before = list(sys.path)
    with suppress(SanlockMissingError):
        sanlock_module._imported()
    assert sys.path == before


def test_without_the_command_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("he_fsm.runtime.leases.sanlock.daemon.command._FOLDERS", str(tmp_path))
    with pytest.raises(SanlockMissingError, match="install the system's package sanlock"):
        SanlockDaemon(SETTINGS).status()


def test_settings_go_through_a_command_line() -> None:
    assert SanlockSettings.from_text(SETTINGS.to_text()) == SETTINGS


@pytest.mark.parametrize(
    ("sector_bytes", "align_mib", "host_id_max"),
    [
        (512, 1, 2000),
        (4096, 1, 250),
        (4096, 2, 500),
        (4096, 4, 1000),
        (4096, 8, 2000),
        (512, 2, None),
    ],
)
def test_how_many_hosts_there_is_room_for(
    sector_bytes: int, align_mib: int, host_id_max: int | None
) -> None:
    settings = SanlockSettings(
        lockspace="he",
        path="/none",
        resource="engine",
        resource_path="/none",
        vm_lock="/none",
        sector_bytes=sector_bytes,
        align_bytes=align_mib * MIB,
    )
    assert settings.host_id_max == host_id_max


@pytest.mark.parametrize("io_timeout_s", [0.0, 0.4, 1.5, 10.001])
def test_the_daemon_counts_whole_seconds(io_timeout_s: float) -> None:
    with pytest.raises(LockspaceError, match="whole number of seconds"):
        SETTINGS.daemon_io_timeout(io_timeout_s)
    assert SETTINGS.daemon_io_timeout(10.0) == 10


def test_the_page_names_every_class_with_its_numbers() -> None:
    page = (Path(__file__).parents[5] / "docs" / "sanlock.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+Error)` \| ([^|]*)\|", page, re.MULTILINE))
    numbers: dict[str, set[int]] = {}
    for table in ALL:
        for number, (kind, _) in getattr(sanlock_errors, table).items():
            numbers.setdefault(kind.__name__, set()).add(number)
    for name, found in numbers.items():
        written = re.sub(r"-243 to -245", "-243, -244, -245", rows[name])
        written = re.sub(r"-224 to -228", "-224, -225, -226, -227, -228", written)
        assert {int(word) for word in re.findall(r"-?\d+", written)} >= found - {
            # What any call may meet, whatever it is about.
            errno.EAGAIN,
            errno.EBUSY,
            errno.EPIPE,
            errno.ENOENT,
        }, name
    assert set(rows) >= set(numbers)
    for name in rows:
        assert issubclass(getattr(errors, name), LockspaceError)


def test_the_page_names_tests_that_there_are() -> None:
    root = Path(__file__).parents[5]
    page = (root / "docs" / "sanlock.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = [path.read_text(encoding="utf-8") for path in (root / "tests").rglob("test_*.py")]
    sources += [path.read_text(encoding="utf-8") for path in (root / "he_fsm/testing").glob("*.py")]
    there_are = set(re.findall(r"def (test_\w+)", "\n".join(sources)))
    assert named - there_are == set()
    assert named
