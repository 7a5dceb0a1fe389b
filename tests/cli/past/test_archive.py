"""Archives that anybody may have sent: nothing is unpacked, everything is bounded and named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Callable

import pytest

from he_fsm.cli.past import archive
from he_fsm.history.frames import KEY, framed
from tests.cli.conftest import Ran
from tests.history.recordings import recorded, ring_of

RING = ring_of(recorded()["2"])
MANIFEST = json.dumps({"format": 1, "missing": {}}).encode()
ABSOLUTE = "/tmp/he-fsm-absolute"  # noqa: S108 - never written
Refused = Callable[..., str]


def tar_of(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def whole(*more: tuple[str, bytes]) -> bytes:
    return tar_of(
        ("he-fsm-capture/manifest.json", MANIFEST),
        ("he-fsm-capture/ring/000000000001.ring", RING),
        *more,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.tar.gz"


def test_what_is_not_known_is_neither_read_nor_written(
    run: Callable[..., Ran], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path.write_bytes(
        whole(
            ("../outside", b"x"),
            (ABSOLUTE, b"x"),
            ("he-fsm-capture/ring/../../outside.ring/x", b"x"),
            ("he-fsm-capture/log/agent.log", b"x"),
        )
    )
    assert run("replay", path).status == 0
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.gz"]
    assert not Path(ABSOLUTE).exists()


def test_links_are_not_followed(refused: Refused, path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("he-fsm-capture/manifest.json")
        info.size = len(MANIFEST)
        tar.addfile(info, io.BytesIO(MANIFEST))
        link = tarfile.TarInfo("he-fsm-capture/ring/000000000001.ring")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    path.write_bytes(out.getvalue())
    assert refused("replay", path) == f"{path}: it has no decisions: no file *.ring"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected an archive of he-fsm capture (a tar, compressed by gzip), and this file"),
        (b"no archive", "expected an archive of he-fsm capture (a tar, compressed by gzip), and"),
        (b"no archive", "and this is none; he-fsm capture writes one"),
        (gzip.compress(b"no tar" * 200, mtime=0), "what is in it is no whole tar"),
        (whole()[:-2000], "a part of it is missing or damaged: copy it again"),
        (whole()[: len(whole()) // 2], "a part of it is missing or damaged: copy it again"),
        (tar_of(("other/file", b"x")), "expected he-fsm-capture/manifest.json"),
        (
            tar_of(("he-fsm-capture/manifest.json", b"{")),
            "he-fsm-capture/manifest.json: expected JSON",
        ),
        (
            tar_of(("he-fsm-capture/manifest.json", b"[" * 100_000)),
            "he-fsm-capture/manifest.json: expected JSON",
        ),
        (
            tar_of(("he-fsm-capture/manifest.json", b"[]")),
            "manifest.json: expected an object with a number `format`",
        ),
        (
            tar_of(("he-fsm-capture/manifest.json", b'{"format": 2}')),
            "manifest.json: format 2 is of a later release; this one reads up to 1",
        ),
        (
            tar_of(
                ("he-fsm-capture/manifest.json", b'{"format": 1, "missing": {"ring": "no disk"}}')
            ),
            "it has no decisions: no disk",
        ),
        (
            tar_of(
                ("he-fsm-capture/manifest.json", MANIFEST),
                ("he-fsm-capture/ring/1.ring", framed(KEY, b"x")),
            ),
            "he-fsm-capture/ring/1.ring: record 1 at byte 0: expected a look of format 1",
        ),
        (
            tar_of(
                ("he-fsm-capture/manifest.json", MANIFEST),
                ("he-fsm-capture/ring/1.ring", b"garbage"),
            ),
            "it holds no whole look",
        ),
    ],
)
def test_what_is_no_archive_is_named_with_its_member_and_what_was_expected(
    refused: Refused, path: Path, data: bytes, says: str
) -> None:
    path.write_bytes(data)
    said = refused("replay", path)
    assert said.startswith(f"{path}: ")
    assert says in said


def test_words_of_an_archive_control_no_terminal(refused: Refused, path: Path) -> None:
    missing = json.dumps({"format": 1, "missing": {"ring": "\x1b[2J"}}).encode()
    path.write_bytes(tar_of(("he-fsm-capture/manifest.json", missing)))
    assert refused("replay", path).endswith(r"it has no decisions: \x1b[2J")
    name = "he-fsm-capture/ring/\x1b.ring"
    path.write_bytes(tar_of(("he-fsm-capture/manifest.json", MANIFEST), (name, framed(KEY, b"x"))))
    assert r"ring/\x1b.ring: record 1" in refused("replay", path)


def test_a_member_that_is_too_large_is_refused(refused: Refused, path: Path) -> None:
    path.write_bytes(tar_of(("he-fsm-capture/manifest.json", b" " * (2**20 + 1))))
    assert refused("replay", path).endswith("1048577 bytes, expected 1048576 at most")


def test_no_more_is_unpacked_than_an_archive_can_have(
    refused: Refused, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_UNPACKED_MAX", 2**20)
    path.write_bytes(whole(("he-fsm-capture/bomb", bytes(2**22))))
    assert refused("replay", path).endswith("more than 1048576 bytes when it is unpacked")


def test_members_without_end_are_refused(
    refused: Refused, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MEMBERS_MAX", 5)
    path.write_bytes(whole(*((f"x{number}", b"") for number in range(10))))
    assert refused("replay", path).endswith("more than 5 members")


def test_an_archive_that_is_not_there_is_named(run: Callable[..., Ran], path: Path) -> None:
    ran = run("replay", path)
    assert ran.status == 2
    assert "does not exist" in ran.err


def test_bytes_changed_anywhere_end_in_a_sentence_or_are_noticed(
    run: Callable[..., Ran], path: Path
) -> None:
    data = gzip.decompress(whole())
    for at in range(0, len(data), len(data) // 20):
        changed = bytearray(data)
        changed[at] ^= 0x55
        path.write_bytes(gzip.compress(bytes(changed), 1, mtime=0))
        ran = run("replay", path)
        assert ran.status in (0, 2)
        assert "Traceback" not in ran.err
