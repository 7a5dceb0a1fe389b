"""The domain's definition on the shared storage, and this host's copy of it."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError, StorageError
from he_fsm.files.whole import write_whole
from he_fsm.metadata.definition import (
    AREA_BYTES,
    AREAS,
    HEADER_BYTES,
    Document,
    encode,
    newest,
    place_of_next,
)
from he_fsm.runtime.service.asking import Asking
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.storage.direct_file import DirectFile

_log = logging.getLogger(__name__)
# A start does not wait longer for the storage: the copy here is as good (seconds).
READ_S: Final = 5.0
_KEPT: Final = "definition"


def read(path: Path) -> Optional[Document]:
    """
    Return the document on the storage; None: none has been written yet.

    Raises:
        StorageError: the storage can't be read.
        DefinitionError: what stands there is no document, or differs from its checksum.
    """
    return newest(_areas(path))


def write(path: Path, text: str, wall_clock: float) -> Document:
    """
    Write the text as a new version, and return it as it is read again.

    The file is made where it is missing. A write that is broken off leaves the last version.

    Raises:
        StorageError: the storage can't be written.
        DefinitionError: the text is too long, or another version is read again than was written.
    """
    if not path.exists():
        _make(path)
    place = place_of_next(_areas(path))
    document = Document(max(int(wall_clock), place.after + 1), text)
    header, body = encode(document)
    file = DirectFile(path, place.area * AREA_BYTES)
    with file.opened(os.O_RDWR, "written") as descriptor:
        for start in range(0, len(body), HEADER_BYTES):
            file.write_block(descriptor, body[start : start + HEADER_BYTES], HEADER_BYTES + start)
        file.write_block(descriptor, header, 0)
    if read(path) != document:
        msg = f"{path}: somebody else has written another version at the same time"
        raise StorageError(msg)
    return document


def _make(path: Path) -> None:
    try:
        with path.open("xb") as file:
            os.fchmod(file.fileno(), 0o660)
            file.truncate(AREAS * AREA_BYTES)
    except OSError as error:
        msg = f"{path} can't be made: {error.strerror}"
        raise StorageError(msg) from error


def _areas(path: Path) -> list[bytes]:
    return [DirectFile(path, AREA_BYTES * area).read_beginning(AREA_BYTES) for area in range(AREAS)]


class SharedDefinition:
    """
    The definition as this host has it: from the storage, or else the copy in *folder*.

    Storage that hangs is waited for by one thread, and no second one is begun meanwhile.
    """

    def __init__(self, path: Path, folder: Path, read_s: float = READ_S) -> None:
        """Read the copy; nothing is asked of the storage yet."""
        self._path = path
        self._copy = folder / _KEPT
        late = f"{path} does not answer"
        self._asking = Asking("definition", read_s, lambda: StorageError(late))
        self._guard = threading.Lock()
        self._repeats = Repeats(_log)
        self.document: Optional[Document] = None
        try:
            self.document = self._kept()
        except HeFsmError as error:
            _log.warning("the copy of the domain's definition is lost: %s", error)

    @property
    def version(self) -> int:
        """The version that this host has; 0: none."""
        return 0 if self.document is None else self.document.version

    def renew(self) -> Optional[Document]:
        """
        Return the newest definition that can be had, and keep a copy of it.

        None: none was ever written. What can't be read is logged; then it is the copy.
        """
        with self._guard:
            try:
                found = self._asking.ask(lambda: read(self._path))
            except HeFsmError as error:
                self._repeats.complain("definition", "%s; the copy here is used", error)
                return self.document
            self._repeats.end("definition", "the domain's definition can be read again")
            if found is not None and found != self.document:
                self._keep(found)
                self.document = found
            return self.document

    def _kept(self) -> Optional[Document]:
        if not self._copy.exists():
            return None
        try:
            return newest([self._copy.read_bytes()])
        except OSError as error:
            msg = f"{self._copy} can't be read: {error.strerror}"
            raise StorageError(msg) from error

    def _keep(self, document: Document) -> None:
        try:
            write_whole(self._copy, b"".join(encode(document)))
        except OSError as error:
            why = error.strerror
            _log.warning("no copy of the domain's definition is kept: %s: %s", self._copy, why)
