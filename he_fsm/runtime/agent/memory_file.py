"""What an agent remembers across restarts: endings, the VM's troubles, moves, alarms, slot 0."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Final, Optional

import attrs
import cattrs

from he_fsm.errors import HeFsmError
from he_fsm.memory import Memory
from he_fsm.remembered import FailedStarts, Moves, RaisedAlarm, VmWatch
from he_fsm.runtime.service.files import write_json
from he_fsm.serialise import teach

_log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# The file says when the agent was last known to run: so old may that be, while nothing else changes
# (seconds).
_AGAIN_S: Final = 600.0
# An alarm is repeated within days, whatever the policy (seconds).
_NEXT_MAX_S: Final = 31 * 86_400.0
# Clocks are read one after the other.
_ROUNDING_S: Final = 1.0
_CONVERTER: Final = cattrs.Converter()
teach(_CONVERTER)


@attrs.frozen(kw_only=True)
class _Saved:
    """
    The file's content; times are on the monotonic clock of the boot that *boot_id* names.

    `wall_at` is what the wall clock showed at `saved_at`. What an older release did not write is
    not known.
    """

    boot_id: str
    saved_at: float
    failed: FailedStarts
    vm: Optional[VmWatch]
    moves: Moves
    wall_at: Optional[float] = None
    alarms: tuple[RaisedAlarm, ...] = ()
    well_since: Optional[float] = None
    global_maintenance: Optional[bool] = None
    looked_at: Optional[float] = None
    boot_ahead: Optional[float] = None
    keeps_engine: bool = False
    global_until: Optional[int] = None


def boot_id() -> str:
    """Name this boot of the machine: monotonic times mean nothing in another."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class MemoryFile:
    """
    A JSON file that is replaced as a whole, whenever what it holds has changed.

    When the host looked last is part of it only while that counts: while the VM is seen bad or
    paused, it is written with every look, and else every few minutes.
    """

    def __init__(self, path: Path) -> None:
        """Use *path*; its folder exists."""
        self._path = path
        self._last: Optional[tuple[object, ...]] = None
        self._last_at = -math.inf

    def load(self, now: float, wall_now: float) -> Memory:
        """
        Return the memory that a new agent begins with.

        A file that is not there is no error; one that can't be used raises `HeFsmError` with a
        sentence, and the agent then begins anew. Times that lie in the future are taken for the
        present, with one line in the log: what they wait for would else be waited for for ever.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Memory.beginning(now)
        except OSError as error:
            msg = f"can't read {self._path}: {error.strerror}"
            raise HeFsmError(msg) from error
        try:
            plain = json.loads(data, parse_constant=_refused, parse_float=_finite)
            saved = _CONVERTER.structure(plain, _Saved)
        # cattrs raises what it likes for what is not of the expected form.
        except Exception as error:
            msg = f"{self._path} is damaged: what the agent remembered is lost"
            raise HeFsmError(msg) from error
        is_this_boot = saved.boot_id == boot_id()
        mended = _mended(saved, now if is_this_boot else math.inf)
        if mended != saved:
            _log.warning("%s: times that lie in the future are taken for the present", self._path)
        memory = _memory_of(mended)
        if is_this_boot:
            return memory.after_restart(now)
        return memory.after_boot(now, mended.saved_at, _off_s(mended, wall_now))

    def save(self, memory: Memory, now: float, wall_now: float, *, is_last: bool = False) -> None:
        """
        Write what has to survive, where it changed; in any case if it is the agent's last word.

        Raises:
            HeFsmError: it can't be written; the old content is still there.
        """
        content = (
            memory.failed,
            memory.vm,
            memory.moves,
            memory.alarms,
            memory.well_since,
            memory.global_maintenance,
            memory.boot_ahead,
            memory.keeps_engine,
            memory.global_until,
            memory.looked_at if _evidence_is_collected(memory) else None,
        )
        if content == self._last and now < self._last_at + _AGAIN_S and not is_last:
            return
        saved = _Saved(
            boot_id=boot_id(),
            saved_at=now,
            wall_at=wall_now,
            failed=memory.failed,
            vm=memory.vm,
            moves=memory.moves,
            alarms=memory.alarms,
            well_since=memory.well_since,
            global_maintenance=memory.global_maintenance,
            looked_at=memory.looked_at,
            boot_ahead=memory.boot_ahead,
            keeps_engine=memory.keeps_engine,
            global_until=memory.global_until,
        )
        write_json(self._path, _CONVERTER.unstructure(saved))
        self._last, self._last_at = content, now


def _evidence_is_collected(memory: Memory) -> bool:
    """Whether the time between two looks counts, so that it matters when the last one was."""
    vm = memory.vm
    return vm is not None and (vm.bad_since is not None or vm.paused_since is not None)


def _memory_of(saved: _Saved) -> Memory:
    return Memory(
        failed=saved.failed,
        vm=saved.vm,
        moves=saved.moves,
        alarms=saved.alarms,
        well_since=saved.well_since,
        global_maintenance=saved.global_maintenance,
        # A release that did not write it may have looked last when it wrote.
        looked_at=saved.saved_at if saved.looked_at is None else saved.looked_at,
        boot_ahead=saved.boot_ahead,
        keeps_engine=saved.keeps_engine,
        global_until=saved.global_until,
    )


def _off_s(saved: _Saved, wall_now: float) -> float:
    """
    Return for how long there was no agent before this boot, by the wall clock.

    Nothing else counts while a machine is off. A wall clock that is wrong does no harm: by this
    time a block or a back-off is over the earlier and never the later, and whoever then starts the
    engine still needs its lease.
    """
    if saved.wall_at is None:
        return 0.0
    return max(0.0, wall_now - saved.wall_at)


def _mended(saved: _Saved, now: float) -> _Saved:
    """Return the content without times after *now* (*inf*: not known), or after its writing."""
    last = min(saved.saved_at, now)
    latest = last + _ROUNDING_S

    def past(time: float) -> float:
        return last if time > latest else time

    def past_or_none(time: Optional[float]) -> Optional[float]:
        return None if time is None else past(time)

    failed, moves, vm = saved.failed, saved.moves, saved.vm
    if vm is not None:
        vm = vm._replace(
            since=past(vm.since),
            bad_since=past_or_none(vm.bad_since),
            paused_since=past_or_none(vm.paused_since),
            power_off_at=past_or_none(vm.power_off_at),
        )
    return attrs.evolve(
        saved,
        saved_at=past(saved.saved_at),
        failed=failed._replace(last_at=past(failed.last_at)),
        moves=moves._replace(failed_at=past(moves.failed_at), moved_at=past(moves.moved_at)),
        vm=vm,
        alarms=tuple(
            alarm._replace(
                since=past(alarm.since),
                ended_at=past_or_none(alarm.ended_at),
                # An alarm's next repetition lies ahead, but not for ever.
                next_at=alarm.next_at if alarm.next_at < last + _NEXT_MAX_S else last,
            )
            for alarm in saved.alarms
        ),
        well_since=past_or_none(saved.well_since),
        looked_at=past_or_none(saved.looked_at),
    )


def _refused(name: str) -> None:
    """Refuse NaN and the infinities: no time is one."""
    raise ValueError(name)


def _finite(text: str) -> float:
    """Refuse a number that is too large for the machine as well."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
