"""Looks that nobody has made: whatever stands in them, a sentence comes out, and no trace."""

from __future__ import annotations

import copy
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from he_fsm.history.frames import KEY, Frame, framed, unframed
from tests.cli.conftest import Ran
from tests.history.recordings import recorded, ring_of

ODD: tuple[Any, ...] = (
    *(None, True, -1, 10**30, 1e308, float("inf"), "x", "\x1b[2J\n", [], {}, [[]], [{"a": 1}]),
    *({"a": 1}, [None]),
)
TRIES = 120


def texts(ring: bytes) -> Iterator[list[Any]]:
    """Return what was seen and what was decided, look by look, as plain objects."""
    squeezed = zlib.decompressobj()
    for frame in unframed(ring):
        assert isinstance(frame, Frame)
        yield [json.loads(line) for line in squeezed.decompress(frame.content).split(b"\n")]


def ring_of_texts(looks: list[list[Any]]) -> bytes:
    squeeze, frames = zlib.compressobj(), []
    for number, lines in enumerate(looks):
        text = b"\n".join(json.dumps(line).encode() for line in lines)
        content = squeeze.compress(text) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        frames.append(framed(b"L" if number else KEY, content))
    return b"".join(frames)


def places(plain: Any) -> Iterator[tuple[Any, Any]]:
    """Return every container of a document with every key of it."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for key, value in items:
        yield plain, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def test_whatever_stands_in_a_look_ends_in_an_answer_or_a_sentence(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    draws = random.Random(1)  # noqa: S311 - a test
    looks = list(texts(ring_of(recorded()["2"][:30])))
    ring = tmp_path / "000000000001.ring"
    ring.write_bytes(ring_of_texts(looks))
    assert run("replay", tmp_path).status == 0
    statuses = set()
    for number in range(TRIES):
        forged = copy.deepcopy(looks)
        # In the first look everything stands in full.
        container, key = draws.choice(list(places(forged[0 if number % 3 else 20])))
        container[key] = draws.choice(ODD)
        ring.write_bytes(ring_of_texts(forged))
        ran = run("replay", tmp_path, "--all", "--scenario", tmp_path / "made.yaml")
        statuses.add(ran.status)
        assert "\x1b" not in ran.out + ran.err
        if ran.status == 2:
            assert ran.err.count("\n") == 1, ran.err
    assert statuses == {0, 1, 2}
