"""
What `hosted-engine --get-shared-config` and `--set-shared-config` read and change, by type.

| type | file |
| --- | --- |
| he_local | `hosted-engine.conf` of this host |
| ha | `ha.conf` of this host |
| he_shared, broker | `hosted-engine.conf` and `broker.conf` in the volume that all hosts share |
| vm | `vm.conf` in that volume; it is never changed |
| answers | `fhanswers.conf` in that volume, the answers of the first deployment |

A file of the volume that is changed is renewed in this host's copy, too. Source:
ovirt-hosted-engine-setup 2.7.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Optional

from he_fsm.document.lossless import ANSWERS, INI, SHELL, VM, Entry, Form
from he_fsm.errors import ConfigError
from he_fsm.files.whole import replacing
from he_fsm.runtime.config.outside import OvirtConfig
from he_fsm.runtime.config.ovirt.answers import DEFAULT, answers_of
from he_fsm.runtime.config.ovirt.archive import ARCHIVE_BYTES, read_archive, with_member
from he_fsm.runtime.config.ovirt.files import deployment_of
from he_fsm.runtime.storage.direct_file import BLOCK_BYTES, DirectFile

# Where vdsm has the volumes that it has prepared.
STORAGE: Final = Path("/run/vdsm/storage")
_VOLUME_KEYS: Final = ("sdUUID", "conf_image_UUID", "conf_volume_UUID")
# The section of a key without a dot. Source: as above.
_NO_SECTION: Final = "default"
_NEW_MODE: Final = 0o640


class _Place(NamedTuple):
    """Where the values of one type stand."""

    form: Form
    # The file of this host; None: it is in the volume that all share, under its name.
    path: Optional[Callable[[OvirtConfig], Path]]
    name: str = ""
    is_writable: bool = True


_PLACES: Final[Mapping[str, _Place]] = {
    "he_local": _Place(SHELL, lambda at: at.setup_dir / "hosted-engine.conf"),
    "ha": _Place(SHELL, lambda at: at.state_dir / "ha.conf"),
    "he_shared": _Place(SHELL, None, "hosted-engine.conf"),
    "broker": _Place(INI, None, "broker.conf"),
    "vm": _Place(VM, None, "vm.conf", is_writable=False),
    "answers": _Place(ANSWERS, None, "fhanswers.conf"),
}
ALL_TYPES: Final = tuple(_PLACES)
# Those of oVirt's command, among which a key without a type is looked for.
TYPES: Final = ALL_TYPES[:-1]


class Found(NamedTuple):
    """A value, and the type that has it."""

    value: str
    type: str


class SharedConfig:
    """The files of one host, and the volume that it shares."""

    def __init__(self, files: OvirtConfig) -> None:
        """Read nothing yet."""
        self._files = files

    def get(self, key: str, wanted: Optional[str] = None) -> Found:
        """
        Return a value; *wanted* is its type, or None for the only one that has it.

        Raises:
            ConfigError: nobody has the key, or several types have it.
        """
        found = {
            name: value
            for name in self._types(wanted)
            if (value := self._value(name, key)) is not None
        }
        if len(found) == 1:
            [(name, value)] = found.items()
            return Found(value, name)
        if found:
            msg = f"{key} is a key of {', '.join(found)}: choose one with --type"
            raise ConfigError(msg)
        known = "\n".join(f"{name} : {self._keys(name)}" for name in self._types(wanted))
        msg = f"{key} is a key of no file; the keys are\n{known}"
        raise ConfigError(msg)

    def all(self) -> dict[str, dict[str, str]]:
        """Return all values, by type and key; of a key that is there twice, the last one."""
        return {
            name: {
                _joined(each): each.value
                for each in _PLACES[name].form.read(_text(self._content(name)))
            }
            for name in (ALL_TYPES if self._volume() is not None else self._types(None))
        }

    def set(self, key: str, value: str, wanted: Optional[str] = None) -> None:
        """
        Change a value, and nothing else of its file.

        A key that is not there is added only if the type is named.

        Raises:
            ConfigError: no file has the key, or it can't have this value.
        """
        place, before, after = self._changed(key, value, wanted or self.get(key).type)
        self._write(place, before, after)

    def check(self, key: str, value: str, name: str) -> Optional[str]:
        """
        Return the value that `set` would replace, None where it would add the key; write nothing.

        Raises:
            ConfigError: as `set` does.
        """
        self._changed(key, value, name)
        return self._value(name, key)

    def _changed(self, key: str, value: str, name: str) -> tuple[_Place, bytes, bytes]:
        """Return where a value goes, and the file's content before and after."""
        place = _PLACES[name]
        if not place.is_writable:
            msg = f"{place.name} is the engine's to change, not this command's"
            raise ConfigError(msg)
        before = self._content(name)
        section, option = _split(place.form, key)
        try:
            after = place.form.set(_text(before), option, value, section)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if place.form is ANSWERS:
            # An answer has a type, which a deployment goes by.
            answers_of(after, place.name)
        return place, before, after.encode("utf-8", "surrogateescape")

    def _types(self, wanted: Optional[str]) -> tuple[str, ...]:
        if wanted is not None:
            return (wanted,)
        if self._volume() is not None:
            return TYPES
        return tuple(name for name, place in _PLACES.items() if place.path is not None)

    def _value(self, name: str, key: str) -> Optional[str]:
        form = _PLACES[name].form
        section, option = _split(form, key)
        return form.get(_text(self._content(name)), option, section)

    def _keys(self, name: str) -> list[str]:
        return [_joined(each) for each in _PLACES[name].form.read(_text(self._content(name)))]

    # Files.

    def _volume(self) -> Optional[DirectFile]:
        """Return the shared volume; None: `hosted-engine.conf` names none."""
        deployment = deployment_of(self._files)
        if not all(key in deployment for key in _VOLUME_KEYS):
            return None
        return DirectFile(STORAGE.joinpath(*(deployment[key].text for key in _VOLUME_KEYS)))

    def _archive(self) -> tuple[DirectFile, bytes]:
        volume = self._volume()
        if volume is None:
            msg = f"hosted-engine.conf does not name the shared volume: {', '.join(_VOLUME_KEYS)}"
            raise ConfigError(msg)
        return volume, volume.read_beginning(ARCHIVE_BYTES)

    def _content(self, name: str) -> bytes:
        place = _PLACES[name]
        if place.path is None:
            return read_archive(self._archive()[1])[place.name]
        path = place.path(self._files)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            msg = f"{path} can't be read: {error.strerror}"
            raise ConfigError(msg) from error

    def _write(self, place: _Place, before: bytes, after: bytes) -> None:
        if place.path is not None:
            _replace(place.path(self._files), after)
            return
        volume, archive = self._archive()
        if read_archive(archive)[place.name] != before:
            msg = f"{place.name} was changed by somebody else meanwhile: try again"
            raise ConfigError(msg)
        _write_volume(volume, with_member(archive, place.name, after))
        copy = self._files.state_dir / place.name
        if copy.exists():
            _replace(copy, after)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file that keeps its owner and its permissions: oVirt's daemons have to read it."""
    try:
        try:
            old = path.stat()
        except FileNotFoundError:
            old = path.parent.stat()
            mode = _NEW_MODE
        else:
            mode = old.st_mode & 0o7777
        with replacing(path) as new:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), mode)
                file.write(content)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror}"
        raise ConfigError(msg) from error


def _write_volume(volume: DirectFile, content: bytes) -> None:
    with volume.opened(os.O_RDWR, "written") as descriptor:
        for place in range(0, len(content), BLOCK_BYTES):
            volume.write_block(descriptor, content[place : place + BLOCK_BYTES], place)


def _joined(entry: Entry) -> str:
    """Return a key as people type it."""
    if entry.section == DEFAULT:
        return entry.key
    return f"{entry.section}.{entry.key}" if entry.section else entry.key


def _split(form: Form, key: str) -> tuple[str, str]:
    """Return section and option of a key as it is typed."""
    if not form.has_sections:
        return "", key
    if form is ANSWERS:
        # A key has a slash in it, and may have a dot.
        return DEFAULT, key
    section, dot, option = key.partition(".")
    return (section, option) if dot else (_NO_SECTION, key)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
