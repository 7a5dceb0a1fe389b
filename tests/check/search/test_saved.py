from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from he_fsm.check.expand import Bounds
from he_fsm.check.search.explore import explore
from he_fsm.check.search.explored import begun
from he_fsm.check.search.saved import load, save
from he_fsm.errors import HeFsmError
from tests.check import wrong
from tests.check.exploring import explored, judged
from tests.check.search.test_exploring import FEW, told


def test_what_is_saved_is_read_back_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "check.gz"
    parts = begun(Bounds(hosts=2, faults=1, kinds=frozenset(FEW)))
    explore(parts, time_s=0.0)
    explore(parts, time_s=0.0)
    save(parts, path)
    again = load(path)
    assert again.bounds == parts.bounds
    assert told(again) == told(parts)
    assert not again.is_whole
    explore(again)
    assert told(again) == told(explored(*FEW))


def test_broken_properties_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong.nobody_kills_a_vm_whose_lease_has_run_out(monkeypatch)
    found = explored("cut")
    save(found, tmp_path / "check.gz")
    assert judged(load(tmp_path / "check.gz")) == judged(found)


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "check.gz"
    path.write_bytes(b"before")
    save(explored("clock"), path)
    assert load(path).is_whole
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no file of he-fsm check"),
        (b"text", "no file of he-fsm check"),
        (gzip.compress(b"{}", mtime=0)[:-6], "no file of he-fsm check"),
        (gzip.compress(b"{", mtime=0), "no file of he-fsm check"),
        (gzip.compress(b"[]", mtime=0), "no file of this release's he-fsm check"),
        (
            gzip.compress(b'{"format": "another"}', mtime=0),
            "no file of this release's he-fsm check",
        ),
        (gzip.compress(b'{"format": "he-fsm check 4"}', mtime=0), "it is damaged"),
        (
            gzip.compress(json.dumps({"format": "he-fsm check 4", "bounds": 1}).encode(), mtime=0),
            "it is damaged",
        ),
    ],
    ids=[
        "nothing",
        "no gzip",
        "cut short",
        "half an object",
        "a list",
        "another format",
        "a format alone",
        "bounds that are none",
    ],
)
def test_what_is_no_saved_check_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "check.gz"
    path.write_bytes(content)
    with pytest.raises(HeFsmError, match=expected):
        load(path)


def test_what_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(HeFsmError, match=r"can't write .*nowhere.*: No such file"):
        save(explored("clock"), tmp_path / "nowhere" / "check.gz")
    with pytest.raises(HeFsmError, match=r"can't read .*: No such file"):
        load(tmp_path / "nothing.gz")
