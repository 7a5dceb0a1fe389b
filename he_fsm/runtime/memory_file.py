"""What an agent remembers across restarts: failed starts, the VM's troubles, its moves."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Optional

import attrs
import cattrs

from he_fsm.errors import HeFsmError
from he_fsm.memory import FailedStarts, Memory, Moves, VmWatch

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@attrs.frozen(kw_only=True)
class _Saved:
    """The file's content; times are on the monotonic clock of the boot that *boot_id* names."""

    boot_id: str
    saved_at: float
    failed: FailedStarts
    vm: Optional[VmWatch]
    moves: Moves


def boot_id() -> str:
    """Name this boot of the machine: monotonic times mean nothing in another."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class MemoryFile:
    """A JSON file that is replaced as a whole, whenever what it holds has changed."""

    def __init__(self, path: Path) -> None:
        """Use *path*; its folder exists."""
        self._path = path
        self._last: Optional[tuple[object, ...]] = None

    def load(self, now: float) -> Memory:
        """
        Give the memory that a new agent begins with.

        A file that is not there is no news; one that can't be used raises `HeFsmError` with a
        sentence, and the agent then begins anew.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Memory.beginning(now)
        except OSError as error:
            msg = f"can't read {self._path}: {error.strerror}"
            raise HeFsmError(msg) from error
        try:
            saved = cattrs.structure(json.loads(data, parse_constant=_refuse_constant), _Saved)
        # cattrs raises what it likes for what is not of the expected form.
        except Exception as error:
            msg = f"{self._path} is damaged: what the agent remembered is lost"
            raise HeFsmError(msg) from error
        memory = Memory(failed=saved.failed, vm=saved.vm, moves=saved.moves)
        if saved.boot_id == boot_id():
            return memory.after_restart(now)
        return memory.after_boot(now, saved.saved_at)

    def save(self, memory: Memory, now: float) -> None:
        """
        Write what has to survive, where it changed.

        Raises:
            HeFsmError: it can't be written; the old content is still there.
        """
        content = (memory.failed, memory.vm, memory.moves)
        if content == self._last:
            return
        saved = _Saved(
            boot_id=boot_id(),
            saved_at=now,
            failed=memory.failed,
            vm=memory.vm,
            moves=memory.moves,
        )
        write_json(self._path, cattrs.unstructure(saved))
        self._last = content


def _refuse_constant(name: str) -> None:
    """Refuse NaN and the infinities: no time is one."""
    raise ValueError(name)


def write_json(path: Path, plain: Any, mode: int = 0o640) -> None:
    """
    Replace a JSON file as a whole, with its mode from the start.

    Raises:
        HeFsmError: it can't be written; the old content is still there.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            os.fchmod(descriptor, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(plain, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error
