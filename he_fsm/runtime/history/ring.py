"""
A ring of files: the newest grows, and the oldest goes when all together are too large.

A file's name is the number of its first look. Only one process writes; others may read meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.errors import HeFsmError
from he_fsm.history.book import BookError, end_of

SUFFIX: Final = ".ring"
# The folder below the state folder.
FOLDER: Final = "history"
_DIGITS: Final = 12
# A file is so much of the whole, so that little is lost with the oldest.
_FILES: Final = 16
# For their owner and the group: hostnames and the engine's course are no secret of theirs.
_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750
# No file is larger, whatever was configured when it was written.
FILE_BYTES_MAX: Final = 2**28


@attrs.frozen(kw_only=True)
class Limits:
    """How much is kept: bytes, and looks; both hold."""

    bytes_max: int
    looks_max: int


@attrs.frozen
class RingFile:
    """One file of a ring, and the number of its first look."""

    path: Path
    first: int


def ring_files(folder: Path) -> list[RingFile]:
    """
    Return the files of a ring, the oldest first; none where there is no folder.

    Raises:
        HeFsmError: the folder can't be read.
    """
    try:
        names = [path for path in folder.iterdir() if path.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"can't read {folder}: {error.strerror}"
        raise HeFsmError(msg) from error
    files = [RingFile(path, int(path.stem)) for path in names if path.stem.isdecimal()]
    return sorted(files, key=lambda file: file.first)


def ring_parts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """
    Return the files of a ring with their contents, the oldest first.

    One that the agent removes meanwhile is left out.

    Raises:
        HeFsmError: one can't be read, or is too large for one of a ring.
    """
    for file in ring_files(folder):
        try:
            if file.path.stat().st_size > FILE_BYTES_MAX:
                msg = f"{file.path} has more than {FILE_BYTES_MAX} bytes: no file of a ring has"
                raise HeFsmError(msg)
            data = file.path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            msg = f"can't read {file.path}: {error.strerror}"
            raise HeFsmError(msg) from error
        yield file.path, data


class Ring:
    """Appends frames; raises `OSError` where it can't, and has then cut off what was half done."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Use a folder, which is made where it is missing."""
        self._folder = folder
        self._limits = limits
        self._descriptor: Optional[int] = None
        self._size = 0
        # The first looks of the files, and their sizes; the newest is the last.
        self._files: list[tuple[RingFile, int]] = []
        # What an earlier agent left half done (bytes).
        self.torn_bytes = 0

    def open(self) -> int:
        """
        Go on behind what is there, but for what is torn; return the number of the last look.

        Raises:
            OSError: the folder or its newest file can't be used.
            HeFsmError: the folder can't be read.
        """
        self.close()
        self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        self._files = [(file, file.path.stat().st_size) for file in ring_files(self._folder)]
        last = 0
        while self._files:
            file, size = self._files[-1]
            try:
                end = end_of(file.path.read_bytes())
            except BookError:
                # A later release wrote it: it stays as it is, and a new one begins.
                return max(last, file.first + size)
            if end.number:
                self._reopen(file, end.at, size)
                return max(last, end.number)
            # Not one whole frame.
            self.torn_bytes += size
            last = max(last, file.first - 1)
            file.path.unlink()
            self._files.pop()
        return last

    def _reopen(self, file: RingFile, whole: int, size: int) -> None:
        self._descriptor = os.open(file.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if whole < size:
            self.torn_bytes += size - whole
            os.ftruncate(self._descriptor, whole)
        self._size = whole
        self._files[-1] = (file, whole)

    def needs_key(self, number: int) -> bool:
        """Whether the look of this number begins a file, so that it has to stand by itself."""
        if self._descriptor is None:
            return True
        first = self._files[-1][0].first
        return self._size >= self._limits.bytes_max // _FILES or number - first >= max(
            1, self._limits.looks_max // _FILES
        )

    def append(self, number: int, frame: bytes, *, begins: bool) -> None:
        """
        Append the frame of a look; *begins*: in a file of its own.

        Raises:
            OSError: it can't be written, nor is it there in part.
        """
        if begins or self._descriptor is None:
            self._begin(number)
        self._make_room(number, len(frame))
        descriptor = self._descriptor
        if descriptor is None:
            return
        rest = frame
        try:
            while rest:
                # A disk that is almost full takes a part; the next call says what is wrong.
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            self._cut_off()
            raise
        self._size += len(frame)
        self._files[-1] = (self._files[-1][0], self._size)

    def sync(self) -> None:
        """Have all that was written outlast a loss of power; raises `OSError`."""
        if self._descriptor is not None:
            os.fdatasync(self._descriptor)

    def _begin(self, number: int) -> None:
        self.close()
        path = self._folder / f"{number:0{_DIGITS}}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, _MODE)
        self._size = 0
        self._files.append((RingFile(path, number), 0))

    def _make_room(self, number: int, more_bytes: int) -> None:
        """Remove the oldest files until the limits hold with what is about to be written."""
        limits = self._limits
        while len(self._files) > 1:
            total = sum(size for _, size in self._files) + more_bytes
            # What is left when the oldest goes begins with the next one's first look.
            looks = number - self._files[0][0].first + 1
            if total <= limits.bytes_max and looks <= limits.looks_max:
                return
            file, _ = self._files.pop(0)
            file.path.unlink(missing_ok=True)

    def _cut_off(self) -> None:
        """Take back what was written in part; the next look begins a file of its own."""
        descriptor, file = self._descriptor, self._files[-1][0]
        if descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, self._size)
        if not self._size:
            self._files.pop()
            with contextlib.suppress(OSError):
                file.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the newest file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
