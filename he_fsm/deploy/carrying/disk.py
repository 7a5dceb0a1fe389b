"""The VM's disk: empty, or from a pre-installed image; and the medium of cloud-init."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any, Final

from he_fsm.deploy.carrying.course import PRIVATE, Course, ran
from he_fsm.deploy.carrying.storage import check_empty
from he_fsm.deploy.planning.seed import LABEL, seed_files
from he_fsm.errors import DeployError, MissingExtraError, cause_of

_GIB: Final = 1 << 30
# So much of a device is looked at before a disk is made of it.
_LOOKED_AT: Final = 16 << 20
_QEMU_IMG: Final = "qemu-utils (qemu-img)"
# An image of some ten GiB over a slow network (seconds).
_COPY_S: Final = 4 * 3600.0
# Where a tar archive names itself (bytes). Source: POSIX, pax.
_MAGIC_AT: Final = 257
_MAGIC: Final = b"ustar"
_DISK_MODE: Final = 0o660
_PIECE: Final = 4 << 20


def make_disk(course: Course) -> None:
    """Make the VM's disk; raises `DeployError` where the image can't be used or it has no room."""
    disk = Path(course.places.disk)
    size = int(course.values["disk_gb"]) * _GIB
    if course.places.device is not None:
        check_empty(str(disk), size, _LOOKED_AT)
        course.journal.will("blank", path=str(disk), bytes=_LOOKED_AT)
    else:
        course.journal.will("file", path=str(disk))
        _allocate(disk, 0)
        course.give(disk)
    if course.values.get("boot") == "disk":
        _copy(course, Path(str(course.values["image"])), disk, size)
    if course.places.device is None:
        _allocate(disk, size)


def _allocate(disk: Path, size: int) -> None:
    """Make a file as long as it is to be, with all of its room."""
    try:
        descriptor = os.open(disk, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _DISK_MODE)
        try:
            os.fchmod(descriptor, _DISK_MODE)
            if size:
                os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"{disk} can't be made with {size >> 30} GiB: {error.strerror}"
        raise DeployError(msg) from error


def _copy(course: Course, image: Path, disk: Path, size: int) -> None:
    if _is_archive(image):
        image = _unpacked(course, image, disk)
    about = _about(image)
    if about.get("backing-filename"):
        msg = f"{image} is only a part of an image: it needs {about['backing-filename']}"
        raise DeployError(msg)
    if int(about["virtual-size"]) > size:
        needed = -(-int(about["virtual-size"]) // _GIB)
        msg = f"{image} is larger than the disk: give --disk-gb {needed} or more"
        raise DeployError(msg)
    # A device stays what it is; a file is made anew.
    stays = ["-n"] if disk.is_block_device() else []
    words = ["qemu-img", "convert", *stays, "-f", str(about["format"]), "-O", "raw"]
    ran([*words, str(image), str(disk)], within_s=_COPY_S, package=_QEMU_IMG)
    if not disk.is_block_device():
        disk.chmod(_DISK_MODE)


def _is_archive(image: Path) -> bool:
    """Whether an image is a tar archive; an empty disk, all zeroes, is none."""
    try:
        with image.open("rb") as file:
            file.seek(_MAGIC_AT)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        msg = f"{image} can't be read: {error.strerror}"
        raise DeployError(msg) from error


def _about(image: Path) -> dict[str, Any]:
    said = ran(["qemu-img", "info", "--output=json", str(image)], package=_QEMU_IMG)
    try:
        found: dict[str, Any] = json.loads(said)
        return {"format": found["format"], "virtual-size": found["virtual-size"], **found}
    except (ValueError, KeyError, TypeError) as error:
        msg = f"qemu-img says nothing of {image} that can be understood"
        raise DeployError(msg) from error


def _unpacked(course: Course, archive: Path, disk: Path) -> Path:
    """Unpack the largest file of an OVA, the VM's image; `remove_unpacked` removes it."""
    target = disk.with_name(f".{disk.name}.unpacked")
    if disk.is_block_device():
        target = Path(course.own.state_dir) / "image.unpacked"
    course.journal.will("file", path=str(target))
    try:
        with tarfile.open(archive) as tar:
            members = [each for each in tar.getmembers() if each.isfile()]
            if not any(each.name.lower().endswith(".ovf") for each in members):
                msg = f"{archive} is an archive, and no OVA: it has no .ovf"
                raise DeployError(msg)
            largest = max(members, key=lambda each: each.size)
            source = tar.extractfile(largest)
            with target.open("wb") as out:
                while source is not None and (piece := source.read(_PIECE)):
                    out.write(piece)
    except (OSError, tarfile.TarError) as error:
        msg = f"{archive} can't be unpacked: {cause_of(error)}"
        raise DeployError(msg) from error
    return target


def remove_unpacked(course: Course) -> None:
    """Remove what was unpacked of an OVA."""
    for entry in course.journal.entries:
        if entry["kind"] == "file" and str(entry["path"]).endswith(".unpacked"):
            Path(entry["path"]).unlink(missing_ok=True)


def make_seed(course: Course) -> None:
    """
    Write the medium of cloud-init, which only the daemons can read.

    Raises:
        MissingExtraError: the library for such media is not installed.
        DeployError: it can't be written.
    """
    try:
        import pycdlib  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "deploy", "cloud-init's medium") from error
    path = Path(course.own.seed)
    course.make_folder(path.parent)
    course.journal.will("file", path=str(path))
    medium = pycdlib.PyCdlib()
    medium.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, text) in enumerate(seed_files(course.values).items()):
        data = text.encode()
        medium.add_fp(
            io.BytesIO(data),
            len(data),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, PRIVATE)
            medium.write_fp(file)
        course.give(path)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror}"
        raise DeployError(msg) from error
    finally:
        medium.close()
