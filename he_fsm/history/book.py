"""
Looks as bytes, and bytes as looks: each is written as its difference from the one before.

The content of a frame (`he_fsm.history.frames`) is a part of a zlib stream, which a frame of kind
`K` begins. It is two lines of JSON: what was seen and what was decided. Source: docs/history.md,
"The format", which says what each name means.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.history.frames import KEY, LOOK, Damage, Frame, framed, unframed
from he_fsm.history.look import Decided, Look, Seen, Session
from he_fsm.history.values import SAME, changed, patched
from he_fsm.liveness import Liveness
from he_fsm.memory import Memory
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.placement import Placement
from he_fsm.policy import Policy
from he_fsm.tick import Facts, Identity

# The version of the format; every later release reads it.
FORMAT: Final = 1
# After so many looks one is written in full: what damage can cost.
_KEY_EVERY: Final = 1024
# No look of a whiteboard of 2000 hosts takes more; a bomb would.
_TEXT_BYTES_MAX: Final = 64 * 2**20
_SEEN: Final[dict[str, Any]] = {
    "before": Memory,
    "facts": Facts,
    "own": Optional[HostRecord],
    "whiteboard": Optional[Whiteboard],
}
_DECIDED: Final[dict[str, Any]] = {"liveness": Liveness, "placement": Placement}
_TIMES: Final = ("wake_at", "idle_until")
_DEEDS: Final = ("effects", "alarms")

# Decides anew from what was seen then.
Ask = Callable[[Session, Seen], Decided]


class BookError(HeFsmError):
    """What is kept of a host's decisions can't be read; the message says where and why."""


@attrs.frozen(kw_only=True)
class Recorded:
    """
    A look as it was kept.

    `number` counts a host's looks, over restarts of its agent. `lost`: how many looks just before
    could not be kept. `otherwise`: what is decided today from the same, where that is asked for
    and is something else.
    """

    number: int
    session: Session
    look: Look
    lost: int = 0
    otherwise: Optional[Decided] = None


class Writer:
    """Writes looks one after the other; each frame follows the one before in the same file."""

    def __init__(self, session: Session, number: int = 1) -> None:
        """Begin with the look of this number."""
        self._session = session
        self._number = number
        self._since_key = 0
        self._last: Optional[Look] = None
        self._squeeze = zlib.compressobj()
        # Looks that could not be kept, as of the next one.
        self.lost = 0

    @property
    def number(self) -> int:
        """The number of the next look."""
        return self._number

    def begin_anew(self, session: Optional[Session] = None) -> None:
        """Write the next look in full, as the first of a file has to be."""
        self._session = self._session if session is None else session
        self._last = None

    def frame(self, look: Look) -> bytes:
        """Return the frame of the next look."""
        is_key = self._last is None or self._since_key >= _KEY_EVERY
        last = None if is_key else self._last
        seen = _seen_plain(last, look.seen)
        seen["done_at"] = look.done_at
        if is_key:
            self._squeeze, self._since_key = zlib.compressobj(), 0
            seen = {**_session_plain(self._session, self._number, self.lost), **seen}
        text = _text(seen) + b"\n" + outcome_text(last, look.seen.before, look.decided)
        content = self._squeeze.compress(text) + self._squeeze.flush(zlib.Z_SYNC_FLUSH)
        self._last = look
        self._since_key += 1
        self._number += 1
        self.lost = 0
        return framed(KEY if is_key else LOOK, content)


def _session_plain(session: Session, number: int, lost: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "program": session.program,
        "boot": session.boot,
        "number": number,
        "lost": lost,
        "identity": attrs.asdict(session.identity),
        "policy": attrs.asdict(session.policy),
    }


def _seen_plain(last: Optional[Look], seen: Seen) -> dict[str, Any]:
    before = dict.fromkeys(_SEEN) if last is None else _parts(last)
    patch = {
        name: part
        for name in _SEEN
        if (part := changed(before[name], getattr(seen, name))) is not SAME
    }
    for name in ("score", "score_why"):
        value = getattr(seen, name)
        if last is None or value != getattr(last.seen, name):
            patch[name] = value
    return patch


def _parts(last: Look) -> dict[str, Any]:
    """Return what the parts of the next look differ from: it begins with the memory of this one."""
    seen = last.seen
    return {
        "before": last.decided.memory,
        "facts": seen.facts,
        "own": seen.own,
        "whiteboard": seen.whiteboard,
    }


def outcome_text(last: Optional[Look], before: Memory, decided: Decided) -> bytes:
    """Return what was decided, as it is kept: the same decision has the same bytes."""
    was = None if last is None else last.decided
    plain: dict[str, Any] = {}
    parts = {"memory": changed(before, decided.memory)}
    for name in _DECIDED:
        parts[name] = changed(getattr(was, name, None), getattr(decided, name))
    plain.update((name, part) for name, part in parts.items() if part is not SAME)
    for name in ("edge", *_DEEDS):
        value = getattr(decided, name)
        if value:
            plain[name] = value
    for name in ("reason", *_TIMES):
        value = getattr(decided, name)
        if was is None or value != getattr(was, name):
            plain[name] = value
    return _text(plain)


def _text(plain: Any) -> bytes:
    # Escaped, so that no text that a host reads anywhere is one that can't be written.
    return json.dumps(plain, separators=(",", ":")).encode("ascii")


def read(data: bytes, ask: Optional[Ask] = None) -> Iterator[Union[Recorded, Damage]]:
    """
    Return the looks that bytes hold, in order, and the damage between them.

    Args:
        data: frames, as `Writer` made them, one file or several joined.
        ask: decides anew from what was seen; what comes out otherwise is in `Recorded.otherwise`.

    Raises:
        BookError: a whole frame holds what no release up to this one writes; its number is named.
    """
    reader = _Reader(ask)
    for found in unframed(data):
        yield found if isinstance(found, Damage) else reader.take(found)


@attrs.frozen
class End:
    """Where the whole frames of a file end (bytes), and the number of the last look there."""

    at: int
    number: int
    # There is damage before that, or behind it.
    is_damaged: bool


def end_of(data: bytes) -> End:
    """
    Return where a file of frames ends, and with which look.

    Raises:
        BookError: as of `read`.
    """
    at, key, since_key, is_damaged = 0, None, 0, False
    for found in unframed(data):
        if isinstance(found, Damage):
            is_damaged = True
            continue
        key, since_key = (found, 0) if found.kind == KEY else (key, since_key + 1)
        at = found.ends_at
    if key is None:
        return End(0, 0, is_damaged)
    return End(at, _Reader(None).take(key).number + since_key, is_damaged)


class _Reader:
    """Reads one frame after the other; each rests on those since the last of kind `K`."""

    def __init__(self, ask: Optional[Ask]) -> None:
        self._ask = ask
        self._number = 0
        self._session: Optional[Session] = None
        self._last: Optional[Look] = None
        # The parts of a memory that the writer knew.
        self._known: frozenset[str] = frozenset()
        self._unsqueeze = zlib.decompressobj()

    def take(self, frame: Frame) -> Recorded:
        try:
            return self._take(frame)
        except (BookError, MemoryError):
            raise
        # What is not of the expected form fails in whatever way it does.
        except Exception as error:
            what = f"record {self._number + 1} at byte {frame.at}"
            msg = f"{what}: expected a look of format {FORMAT}, got something else: {error}"
            raise BookError(msg) from error

    def _take(self, frame: Frame) -> Recorded:
        if frame.kind == KEY:
            self._unsqueeze = zlib.decompressobj()
        text = self._unsqueeze.decompress(frame.content, _TEXT_BYTES_MAX)
        if self._unsqueeze.unconsumed_tail:
            msg = f"more than {_TEXT_BYTES_MAX} bytes"
            raise ValueError(msg)
        seen_text, _, decided_text = text.partition(b"\n")
        plain = json.loads(seen_text, parse_constant=_constant)
        lost = 0
        if frame.kind == KEY:
            lost = self._begin(plain)
        session = self._session
        if session is None:
            msg = "a look without the one that it differs from"
            raise ValueError(msg)
        seen, done_at = self._seen(plain), float(plain["done_at"])
        times = (seen.facts.now, seen.wall_at, done_at, seen.facts.boot_now or 0.0)
        if not all(map(math.isfinite, times)):
            msg = "a time that is no number"
            raise ValueError(msg)
        decided, otherwise = self._decided(session, seen, decided_text)
        self._last = Look(seen=seen, decided=decided, done_at=done_at)
        self._number += 1
        return Recorded(
            number=self._number, session=session, look=self._last, lost=lost, otherwise=otherwise
        )

    def _begin(self, plain: dict[str, Any]) -> int:
        """Take what stands in a frame of kind `K` alone; return how many looks were lost."""
        version = plain["format"]
        if version > FORMAT:
            msg = f"format {version} is of a later release; this one reads formats up to {FORMAT}"
            raise BookError(msg)
        self._session = Session(
            identity=_identity(plain["identity"]),
            policy=_made(Policy, plain["policy"]),
            program=str(plain["program"]),
            boot=str(plain["boot"]),
        )
        self._number = int(plain["number"]) - 1
        self._known = frozenset(plain["before"][0])
        self._last = None
        return int(plain["lost"])

    def _seen(self, plain: dict[str, Any]) -> Seen:
        last = self._last
        before = dict.fromkeys(_SEEN) if last is None else _parts(last)
        parts: dict[str, Any] = {
            name: patched(before[name], plain[name], kind) if name in plain else before[name]
            for name, kind in _SEEN.items()
        }
        for name, kind in (("score", int), ("score_why", str)):
            parts[name] = kind(plain[name]) if name in plain else getattr(last and last.seen, name)
        return Seen(**parts)

    def _decided(
        self, session: Session, seen: Seen, text: bytes
    ) -> tuple[Decided, Optional[Decided]]:
        """Return what was decided, and what is decided today where that is something else."""
        if self._ask is None:
            return self._read_decided(seen.before, text), None
        today = self._ask(session, seen)
        if outcome_text(self._last, seen.before, today) == text:
            return today, None
        decided = self._read_decided(seen.before, text)
        return decided, today if is_other(decided, today, self._known) else None

    def _read_decided(self, before: Memory, text: bytes) -> Decided:
        plain = json.loads(text, parse_constant=_constant)
        was = None if self._last is None else self._last.decided
        parts: dict[str, Any] = {
            "memory": patched(before, plain["memory"], Memory) if "memory" in plain else before,
            "edge": plain.get("edge"),
            **{name: tuple(plain.get(name, ())) for name in _DEEDS},
        }
        for name, kind in _DECIDED.items():
            old = getattr(was, name, None)
            parts[name] = patched(old, plain[name], kind) if name in plain else old
        for name, type_ in (("reason", str), *((each, float) for each in _TIMES)):
            parts[name] = type_(plain[name]) if name in plain else getattr(was, name)
        return Decided(**parts)


def is_other(decided: Decided, today: Decided, known: frozenset[str]) -> bool:
    """Whether two decisions differ in anything of which the older release knew (*known*)."""
    patch = changed(decided.memory, today.memory)
    if patch is not SAME and not known.isdisjoint(patch):
        return True
    return attrs.evolve(decided, memory=today.memory) != today


def _identity(plain: dict[str, Any]) -> Identity:
    found: Identity = _made(Identity, plain)
    if type(found.host_id) is not int or not 1 <= found.host_id <= HOST_ID_MAX:
        msg = f"a host id is 1 to {HOST_ID_MAX}"
        raise ValueError(msg)
    if not isinstance(found.hostname, str):
        msg = "a hostname is a text"
        raise TypeError(msg)
    return found


def _made(kind: Any, plain: dict[str, Any]) -> Any:
    """Make an attrs value of its plain fields; what a later release has added is left out."""
    names = attrs.fields_dict(kind)
    for name, value in plain.items():
        is_number = isinstance(value, (int, float))
        if not (is_number and math.isfinite(value)) and not isinstance(value, (str, type(None))):
            msg = f"{name}: expected a number or a text, got {value!r}"
            raise ValueError(msg)
    return kind(**{name: value for name, value in plain.items() if name in names})


def _constant(name: str) -> float:
    """Read what JSON itself has no word for: a time that never comes."""
    if name == "Infinity":
        return float("inf")
    raise ValueError(name)
