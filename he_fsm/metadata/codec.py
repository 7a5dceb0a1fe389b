"""
Decode the slots of the whiteboard to records, and encode records to slots.

Every slot is judged by its own bytes alone, and no bytes can raise an error: a slot is a record,
a problem with a name, or empty. Source: docs/metadata-format.md, which also says where this
reader is stricter than oVirt's.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final, Optional, Union

import attrs

from he_fsm.errors import RecordFieldError, RecordTooLongError
from he_fsm.metadata.engine import engine_from_text, engine_json
from he_fsm.metadata.layout import HOST_ID_MAX, PARSE_VERSION, RECORD_BYTES, SLOT_BYTES
from he_fsm.metadata.record import HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.text import decoded_text, shown
from he_fsm.metadata.told import (
    policy_line,
    release_line,
    told_watchdog_s,
    watchdog_line,
    without_lines,
)

# What a slot that is not empty turns out to be.
SlotContent = Union[HostRecord, SlotProblem]

TEXT_BYTES: Final = SLOT_BYTES - RECORD_BYTES
# The format of 2013 has seven fields; later formats append more.
_FIELDS_MIN: Final = 7
_CRC_FIELD: Final = 9
_NO_CRC: Final = b"00000000"
_LOOKS_LIKE_CRC: Final = re.compile(rb"[0-9a-f]{8}")
_LEADING_DIGITS: Final = re.compile(rb"[0-9]+")
# No writer writes control characters: a record that holds one is torn, or noise.
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
# What an unknown, newer layout may look like after its version: `2;{"ts": 88123}`.
_UNKNOWN_LAYOUT: Final = re.compile(r"[0-9]+[;:,{\[][^\x00-\x1f\x7f]*")


class _DamageError(Exception):
    """Why a slot can't be believed; never leaves this module."""

    def __init__(
        self, word: ProblemWord, detail: str, newer_timestamp: Optional[int] = None
    ) -> None:
        super().__init__(detail)
        self.word = word
        self.detail = detail
        self.newer_timestamp = newer_timestamp


def decode_slot(
    host_id: int,
    block: bytes,
    *,
    version: int = PARSE_VERSION,
    score_max: Optional[int] = None,
) -> Optional[SlotContent]:
    """
    Decode one host's slot; never raises, whatever the bytes.

    The checksum is verified before any number is used, and the host id in the record must be the
    slot's own. A newer record has a `newer_timestamp` only if it is intact. A slot whose layout is
    not known (`2;{...}`) is reported as too new, without a timestamp.

    Args:
        host_id: the slot's number, 1 to 2000.
        block: the slot; bytes missing at its end count as NUL, bytes beyond 4096 are not read.
        version: the newest parse version that is read; all older ones are read too.
        score_max: the highest score that is accepted; None: any from 0.

    Returns:
        The record, or the problem with it; None where the slot is empty (begins with NUL).
    """
    if not block or not block[0]:
        return None
    try:
        return _decode_record(host_id, block, version, score_max)
    except _DamageError as damage:
        return SlotProblem(
            host_id=host_id,
            word=damage.word,
            detail=damage.detail,
            newer_timestamp=damage.newer_timestamp,
        )


def _decode_record(
    host_id: int, block: bytes, version: int, score_max: Optional[int]
) -> HostRecord:
    record = block[:RECORD_BYTES].rstrip(b"\0")
    fields = _split(record, version)
    parse_version = int(fields[0])
    if parse_version > version:
        raise _newer(host_id, record, fields, version)
    count = len(fields)
    if count < _FIELDS_MIN:
        msg = f"the record has {count} fields, {_FIELDS_MIN} is the least"
        raise _DamageError(ProblemWord.GARBAGE, msg)
    feature_version = _number("feature version", fields[1])
    if feature_version < PARSE_VERSION:
        msg = (
            f"its feature version is {feature_version}, the oldest that is read is {PARSE_VERSION}"
        )
        raise _DamageError(ProblemWord.TOO_OLD, msg)
    _check_intact(record, fields, has_crc=count > _CRC_FIELD)
    written_id, timestamp = _number("host id", fields[3]), _time("timestamp", fields[2])
    text = decoded_text(block)
    found = HostRecord(
        host_id=written_id,
        timestamp=timestamp,
        score=_number("score", fields[4]),
        engine=engine_from_text(fields[5].decode()),
        hostname=fields[6].decode(),
        local_maintenance=count > 7 and _number("maintenance flag", fields[7]) > 0,
        stopped=count > 8 and _number("stopped flag", fields[8]) > 0,
        # The last two fields exist only together; before them every host had its own vm.conf.
        # No decision reads them, so a bad value there does not make the record invalid.
        conf_on_shared_storage=count > 11 and _number_or_0(fields[10]) > 0,
        local_conf_timestamp=_number_or_0(fields[11]) if count > 11 else 0,
        parse_version=parse_version,
        feature_version=feature_version,
        watchdog_s=told_watchdog_s(written_id, timestamp, text),
        text=text,
    )
    if found.host_id != host_id:
        raise _wrong_id(host_id, found.host_id)
    if found.score < 0 or (score_max is not None and found.score > score_max):
        limit = "up" if score_max is None else f"to {score_max}"
        msg = f"the score is {found.score}, scores go from 0 {limit}"
        raise _DamageError(ProblemWord.RANGE, msg)
    return found


def _split(record: bytes, version: int) -> list[bytes]:
    """Split a record that is UTF-8 and begins with a version and `|`."""
    try:
        text = record.decode()
    except UnicodeDecodeError as error:
        msg = f"the record is not UTF-8 at byte {error.start}"
        raise _DamageError(ProblemWord.GARBAGE, msg) from None
    fields = record.split(b"|")
    if fields[0].isdigit():
        if len(fields) > 1:
            return fields
        msg = f"there is nothing but {shown(record)}"
        raise _DamageError(ProblemWord.GARBAGE, msg)
    digits = _LEADING_DIGITS.match(record)
    if digits is None:
        msg = f"the record begins with {shown(record[:16])}, not with a version"
        raise _DamageError(ProblemWord.GARBAGE, msg)
    if int(digits[0]) > version and _UNKNOWN_LAYOUT.fullmatch(text):
        msg = f"its parse version is {int(digits[0])}, of a layout that is not known"
        raise _DamageError(ProblemWord.TOO_NEW, msg)
    msg = f"the record begins with {shown(record[:16])}, not with a version and '|'"
    raise _DamageError(ProblemWord.GARBAGE, msg)


def _newer(host_id: int, record: bytes, fields: Sequence[bytes], version: int) -> _DamageError:
    """Distinguish an intact record of a newer release from garbage that begins with a digit."""
    parse_version = int(fields[0])
    if len(fields) < _FIELDS_MIN:
        msg = f"it begins like parse version {parse_version}, but has only {len(fields)} fields"
        return _DamageError(ProblemWord.GARBAGE, msg)
    has_crc = len(fields) > _CRC_FIELD and _LOOKS_LIKE_CRC.fullmatch(fields[_CRC_FIELD]) is not None
    _check_intact(record, fields, has_crc=has_crc)
    timestamp = _time("timestamp", fields[2])
    written_id = _number("host id", fields[3])
    if written_id != host_id:
        return _wrong_id(host_id, written_id)
    msg = f"its parse version is {parse_version}, this release reads up to {version}"
    # Without a checksum a flipped digit looks like a newer release. A real newer release raises
    # its feature version as well.
    if not has_crc and _number("feature version", fields[1]) < parse_version:
        return _DamageError(ProblemWord.TOO_NEW, f"{msg}, but its feature version is lower")
    return _DamageError(ProblemWord.TOO_NEW, msg, timestamp)


def _wrong_id(host_id: int, written_id: int) -> _DamageError:
    msg = f"slot {host_id} holds a record of host {written_id}"
    return _DamageError(ProblemWord.WRONG_ID, msg)


def _check_intact(record: bytes, fields: Sequence[bytes], *, has_crc: bool) -> None:
    if has_crc:
        _check_crc(fields)
    control = _CONTROL.search(record)
    if control is not None:
        msg = f"there is a control character at byte {control.start()} of the record"
        raise _DamageError(ProblemWord.GARBAGE, msg)


def _check_crc(fields: Sequence[bytes]) -> None:
    stated = fields[_CRC_FIELD]
    # All fields count, also later ones that this release does not know.
    body = b"|".join([*fields[:_CRC_FIELD], _NO_CRC, *fields[_CRC_FIELD + 1 :]])
    computed = b"%08x" % zlib.crc32(body)
    if stated != computed:
        msg = f"checksum is {shown(stated)}, the fields give {shown(computed)}"
        raise _DamageError(ProblemWord.CRC, msg)


def _number(name: str, field: bytes) -> int:
    """Read an ASCII decimal number, and none of the other forms that `int` takes."""
    if field.isdigit() or (field[:1] == b"-" and field[1:].isdigit()):
        return int(field)
    raise _DamageError(ProblemWord.GARBAGE, f"the {name} is {shown(field)}, not a number")


def _number_or_0(field: bytes) -> int:
    """Read a number that no decision depends on; return 0 for anything that is no number."""
    try:
        return _number("number", field)
    except _DamageError:
        return 0


def _time(name: str, field: bytes) -> int:
    number = _number(name, field)
    if number < 0:
        raise _DamageError(ProblemWord.GARBAGE, f"the {name} is {number}, below 0")
    return number


def encode_slot(
    record: HostRecord,
    text: str = "",
    *,
    version: int = PARSE_VERSION,
    policy_print: str = "",
    release: str = "",
) -> bytes:
    """
    Encode one host's slot: exactly 4096 bytes, so that no older text remains.

    A *text* (see `human_text`) that does not fit is cut between two characters; behind it stands
    what the record tells other hosts (`he_fsm.metadata.told`), which is never cut: the watchdog's
    time, and, unless they are empty, *policy_print*, the fingerprint of the writer's policy, and
    *release*, its release. Raises what `encode_record` raises.
    """
    told = watchdog_line(record.host_id, record.timestamp, record.watchdog_s)
    told += policy_line(record.host_id, record.timestamp, policy_print)
    told += release_line(record.host_id, record.timestamp, release)
    line = told.encode()
    raw = without_lines(text).encode("utf-8", "replace")
    if line and raw and not raw.endswith(b"\n"):
        raw += b"\n"
    room = TEXT_BYTES - len(line)
    if len(raw) > room:
        # A line that is cut ends before the next one begins.
        end = b"\n" if line else b""
        raw = raw[: room - len(end)].decode("utf-8", "ignore").encode() + end
    return encode_record(record, version=version) + (raw + line).ljust(TEXT_BYTES, b"\0")


def encode_record(record: HostRecord, *, version: int = PARSE_VERSION) -> bytes:
    """
    Encode the part that machines read: today's 12 fields, padded with NUL to 512 bytes.

    *version* is written as parse and feature version, whatever those of the record are.

    Raises:
        RecordTooLongError: the fields take more than 512 bytes; it names the longest text.
        RecordFieldError: a field holds a value that readers would misread.
    """
    engine = engine_json(record.engine)
    _check_fields(record, engine)
    head = (
        f"{version:d}|{version:d}|{record.timestamp:d}|{record.host_id:d}|{record.score:d}|{engine}"
        f"|{record.hostname}|{record.local_maintenance:d}|{record.stopped:d}|"
    ).encode()
    tail = b"|%d|%d" % (record.conf_on_shared_storage, record.local_conf_timestamp)
    crc = zlib.crc32(tail, zlib.crc32(_NO_CRC, zlib.crc32(head)))
    raw = b"%b%08x%b" % (head, crc, tail)
    if len(raw) > RECORD_BYTES:
        raise _too_long(record, engine, len(raw))
    return raw.ljust(RECORD_BYTES, b"\0")


def _check_fields(record: HostRecord, engine: str) -> None:
    if not 1 <= record.host_id <= HOST_ID_MAX:
        msg = f"host id {record.host_id} is not one of 1 to {HOST_ID_MAX}"
        raise RecordFieldError(msg, "host_id")
    for name in ("timestamp", "score"):
        if getattr(record, name) < 0:
            msg = f"the {name} of host {record.host_id} is {getattr(record, name)}, below 0"
            raise RecordFieldError(msg, name)
    if "|" in engine:
        msg = f"the engine status of host {record.host_id} holds the separator '|': {engine!a}"
        raise RecordFieldError(msg, "engine")
    try:
        hostname = record.hostname.encode()
    except UnicodeEncodeError:
        msg = f"the hostname of host {record.host_id} is not Unicode: {record.hostname!a}"
        raise RecordFieldError(msg, "hostname") from None
    if b"|" in hostname or _CONTROL.search(hostname):
        msg = (
            f"the hostname of host {record.host_id} holds '|' or a control character: "
            f"{record.hostname!a}"
        )
        raise RecordFieldError(msg, "hostname")


def _too_long(record: HostRecord, engine: str, size: int) -> RecordTooLongError:
    sizes = {"hostname": len(record.hostname.encode()), "engine": len(engine)}
    field = max(sizes, key=lambda name: sizes[name])
    msg = (
        f"the record of host {record.host_id} takes {size} bytes, {RECORD_BYTES} fit: "
        f"its {field} takes {sizes[field]}"
    )
    return RecordTooLongError(msg, field)


@attrs.frozen
class GlobalBlock:
    """
    Slot 0, the cluster's own.

    `maintenance` is None if the slot can't be believed; `problem` says why (word `empty` if nothing
    was ever written). `rejected_lines` counts the lines that were skipped, because their key is
    unknown or missing. `until`: when a maintenance that is on ends by itself, in seconds since 1970
    (UTC); None: somebody ends it.
    """

    maintenance: Optional[bool]
    problem: Optional[SlotProblem] = None
    rejected_lines: int = 0
    until: Optional[int] = None


_UNTIL: Final = "maintenance-until"
_TIME: Final = re.compile("[0-9]{1,12}")
_BOOLEANS: Final = {**dict.fromkeys("tTyY1", True), **dict.fromkeys("fFnN0", False)}


def decode_global(block: bytes) -> GlobalBlock:
    """
    Decode slot 0; never raises, and no damage reads as "on" or "off".

    A boolean is read by its first letter (t, y, 1 or f, n, 0), as oVirt does. Blanks around key
    and value are ignored. Lines that contradict each other, and a block without a `maintenance`
    line, are garbage. An end (`maintenance-until`) that is no time is skipped.
    """
    if not block or not block[0]:
        return _global_problem(ProblemWord.EMPTY, "nothing was ever written there", 0)
    try:
        text = block[:SLOT_BYTES].rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        return _global_problem(ProblemWord.GARBAGE, f"it is not UTF-8 at byte {error.start}", 0)
    if "\0" in text:
        return _global_problem(ProblemWord.GARBAGE, "there is something after its end", 0)
    lines = [line.partition("=") for line in text.split("\n")]
    values = [
        value.strip()
        for key, separator, value in lines
        if separator and key.strip() == "maintenance"
    ]
    untils = [int(value) for key, _, value in lines if key == _UNTIL and _TIME.fullmatch(value)]
    rejected = len(lines) - len(values) - len(untils)
    flags = {_BOOLEANS.get(value[:1]) for value in values}
    if len(flags) == 1 and None not in flags:
        is_on = flags.pop()
        until = untils[0] if is_on and len(set(untils)) == 1 else None
        return GlobalBlock(is_on, None, rejected, until)
    if not flags:
        msg = "it has no line maintenance=0 or maintenance=1"
    else:
        msg = "maintenance is neither on nor off: " + ", ".join(ascii(v[:20]) for v in values[:3])
    return _global_problem(ProblemWord.GARBAGE, msg, rejected)


def _global_problem(word: ProblemWord, detail: str, rejected_lines: int) -> GlobalBlock:
    problem = SlotProblem(host_id=0, word=word, detail=detail)
    return GlobalBlock(None, problem, rejected_lines)


def encode_global(maintenance: bool, until: Optional[int] = None) -> bytes:
    """
    Encode slot 0 exactly as oVirt does: 4096 bytes, no newline at the end.

    *until*, the end of a maintenance that is on, is a second line, which oVirt's readers skip.
    """
    end = f"\n{_UNTIL}={until}" if maintenance and until is not None else ""
    return f"maintenance={maintenance:d}{end}".encode().ljust(SLOT_BYTES, b"\0")
