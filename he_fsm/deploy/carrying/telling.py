"""What the hosts tell each other about their deployment, on the shared storage."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Optional

from he_fsm.deploy.carrying.course import PRIVATE, Course
from he_fsm.deploy.carrying.disk import remove_unpacked
from he_fsm.deploy.carrying.files import write
from he_fsm.deploy.planning.places import Places
from he_fsm.deploy.planning.told import Told, from_text, to_text
from he_fsm.errors import DeployError, HeFsmError
from he_fsm.metadata.definition import (
    AREA_BYTES,
    AREAS,
    HEADER_BYTES,
    Document,
    encode,
    newest,
    place_of_next,
)
from he_fsm.runtime.storage.direct_file import DirectFile
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_MAINTENANCE_OFF: Final = False


def read_told(places: Places) -> Optional[Told]:
    """
    Return what a first host has told; None: there was none.

    Raises:
        DeployError: something else is there.
        StorageError: it can't be read.
    """
    path = Path(places.told)
    if not path.exists():
        return None
    try:
        document = newest(_areas(places))
    except HeFsmError as error:
        msg = f"{path} can't be used: {error}"
        raise DeployError(msg) from error
    return None if document is None else from_text(document.text, str(path))


def write_told(places: Places, told: Told) -> None:
    """
    Write it as the next version; the version before is whole until this one is.

    Raises:
        StorageError: it can't be written.
        DeployError: another host wrote at the same moment.
    """
    path = Path(places.told)
    if places.device is None and not path.exists():
        _make(path)
    place = place_of_next(_areas(places))
    document = Document(max(int(time.time()), place.after + 1), to_text(told))
    header, body = encode(document)
    file = DirectFile(path, places.told_at + place.area * AREA_BYTES)
    with file.opened(os.O_RDWR, "written") as descriptor:
        for start in range(0, len(body), HEADER_BYTES):
            file.write_block(descriptor, body[start : start + HEADER_BYTES], HEADER_BYTES + start)
        file.write_block(descriptor, header, 0)
    if read_told(places) != told:
        msg = f"{path}: another host has written at the same time; try again"
        raise DeployError(msg)


def _make(path: Path) -> None:
    """Make the file, which only root and the daemons' group read: a secret is in it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            os.fchmod(descriptor, PRIVATE)
            os.posix_fallocate(descriptor, 0, AREAS * AREA_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"{path} can't be made: {error.strerror}"
        raise DeployError(msg) from error


def _areas(places: Places) -> list[bytes]:
    return [
        DirectFile(Path(places.told), places.told_at + AREA_BYTES * area).read_beginning(AREA_BYTES)
        for area in range(AREAS)
    ]


def tell(course: Course) -> None:
    """
    End the deployment of the first host: final files, and what further hosts need.

    What was made up to here stays from then on. Maintenance ends last.
    """
    places = course.places
    write(course, Path(course.own.config), course.final_text, PRIVATE)
    remove_unpacked(course)
    Path(course.own.seed).unlink(missing_ok=True)
    course.told = course.told.with_host(course.host_id, course.fitness)
    if places.device is None:
        course.journal.will("file", path=places.told)
    write_told(places, course.told)
    if places.device is None:
        course.give(Path(places.told))
    course.is_committed = True
    course.journal.close()
    board = WhiteboardFile(course.config.storage.whiteboard, course.config.storage.offset)
    board.write_global(_MAINTENANCE_OFF)


def enlist(course: Course) -> None:
    """Add this host to the list on the shared storage; what it has made stays from then on."""
    places = course.places
    now = read_told(places)
    if now is None:
        msg = f"{places.told} is gone: the first host was taken out"
        raise DeployError(msg)
    there = now.hosts.get(course.host_id)
    if there is not None and there.hostname != course.fitness.hostname:
        msg = f"host id {course.host_id} was given to {there.hostname} just now; try again"
        raise DeployError(msg)
    write_told(places, now.with_host(course.host_id, course.fitness))
    course.is_committed = True
    course.journal.close()
