"""What goes into a support archive, part by part; each that can't be had says why."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Final, Optional

import attrs

from he_fsm import __version__
from he_fsm.cli.past.archive import RING
from he_fsm.cli.past.logs import journal, log_file, tail
from he_fsm.cli.past.ring_copy import without_secrets
from he_fsm.cli.past.secrets import Secrets, secrets_in
from he_fsm.errors import BrokerError, HeFsmError
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import Config
from he_fsm.runtime.history.ring import FOLDER, ring_parts
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings

_ANSWERS_WITHIN_S: Final = 10.0
_DOCTOR_S: Final = 120.0
# What doctor calls "the configuration can't be used".
_UNUSABLE: Final = 2
_DOCTOR: Final = "from he_fsm.cli.main import main; main()"
# Of so many files secrets are looked for in a folder, and in files up to so large.
_FILES_MAX: Final = 500
_FILE_BYTES_MAX: Final = 2**20
_PACKAGES: Final = ("attrs", "cattrs", "transitions", "PyYAML", "click", "aiohttp", "requests")


@attrs.frozen(kw_only=True)
class Captor:
    """
    Collects the parts of one host.

    `path`: its configuration file; `config`: what that says, None where it can't be used, and
    `trouble` says why. `logs`: the log files that somebody names.
    """

    path: Path
    config: Optional[Config]
    trouble: str
    logs: tuple[Path, ...]
    secrets: Secrets

    def parts(self) -> Iterator[tuple[str, Callable[[], Mapping[str, bytes]]]]:
        """Return the parts: a name, and what returns its files or raises `HeFsmError`."""
        yield "versions", self._versions
        yield "configuration", self._configuration
        yield "whiteboard", self._whiteboard
        yield "status", self._status
        yield RING, self._ring
        yield "memory", self._memory
        yield "log", self._log
        yield "doctor", self._doctor

    def _known(self) -> Config:
        if self.config is None:
            raise HeFsmError(self.trouble)
        return self.config

    def _versions(self) -> dict[str, bytes]:
        try:
            system = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            system = []
        plain = {
            "he_fsm": __version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "system": [line for line in system if line.startswith(("NAME=", "VERSION="))],
            "packages": {name: _version(name) for name in _PACKAGES},
        }
        return {"versions.json": _json(plain)}

    def _configuration(self) -> dict[str, bytes]:
        if self.config is None:
            try:
                text = self.path.read_bytes().decode("utf-8", "replace")
            except OSError as error:
                msg = f"{self.path}: can't be read: {error.strerror}"
                raise HeFsmError(msg) from error
            # As it stands: it can't be used, and that is the news.
            return {"configuration.txt": self.secrets.without(text).encode()}
        plain = {"values": self.config.to_plain(), "origins": dict(self.config.origins)}
        return {"configuration.json": _json(self.secrets.without_in(plain))}

    def _client(self) -> BrokerClient:
        return BrokerClient(str(self._known().broker_socket), _ANSWERS_WITHIN_S)

    def _whiteboard(self) -> dict[str, bytes]:
        """Ask the broker; where it does not answer, read the storage itself, with a deadline."""
        try:
            board = self._client().whiteboard()
        except BrokerError:
            board = _read_whiteboard(self._known())
        return {"whiteboard": self.secrets.blotted(board)}

    def _status(self) -> dict[str, bytes]:
        return {"status.json": _json(self.secrets.without_in(self._client().status()))}

    def _ring(self) -> dict[str, bytes]:
        folder = self._known().state_dir / FOLDER
        found = {
            f"{RING}/{path.name}": without_secrets(data, self.secrets)
            for path, data in ring_parts(folder)
        }
        if not found:
            msg = f"{folder}: no decisions are kept there"
            raise HeFsmError(msg)
        return found

    def _memory(self) -> dict[str, bytes]:
        path = self._known().state_dir / "memory.json"
        try:
            plain = json.loads(path.read_bytes())
        except OSError as error:
            msg = f"{path}: can't be read: {error.strerror}"
            raise HeFsmError(msg) from error
        except (ValueError, RecursionError) as error:
            msg = f"{path} is damaged"
            raise HeFsmError(msg) from error
        return {"memory.json": _json(self.secrets.without_in(plain))}

    def _log(self) -> dict[str, bytes]:
        paths = list(self.logs)
        if not paths and self.config is not None:
            run_dir = self.config.run_dir
            found = (log_file(run_dir / "agent.lock"), log_file(run_dir / "broker.lock"))
            paths = list(dict.fromkeys(path for path in found if path is not None))
        if not paths:
            return {"log/journal.txt": self.secrets.without(journal()).encode()}
        return {
            f"log/{number}-{_safe(path.name)}": self.secrets.without(tail(path)).encode()
            for number, path in enumerate(paths, start=1)
        }

    def _doctor(self) -> dict[str, bytes]:
        """Ask doctor in a process of its own: whatever hangs there can be ended."""
        command = [sys.executable, "-c", _DOCTOR, "doctor", "--json", "--config", str(self.path)]
        try:
            done = subprocess.run(  # noqa: S603 - this program's own command
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DOCTOR_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            msg = f"doctor has not answered: {error}"
            raise HeFsmError(msg) from error
        try:
            plain = json.loads(done.stdout)
        except ValueError as error:
            said = done.stderr.decode("utf-8", "replace").strip() or f"status {done.returncode}"
            msg = f"doctor has no answer: {self.secrets.without(said)}"
            raise HeFsmError(msg) from error
        return {"doctor.json": _json(self.secrets.without_in(plain))}


def _read_whiteboard(config: Config) -> bytes:
    settings = StorageSettings(
        whiteboard=str(config.storage.whiteboard),
        leases=str(config.storage.leases),
        host_id=config.host.id,
        name=config.host.hostname,
        io_timeout_s=config.policy.io_timeout_s,
        watchdog_s=config.policy.watchdog_s,
        offset=config.storage.offset,
    )
    client = StorageClient(settings, config.storage.deadline_s)
    try:
        return client.read()
    finally:
        client.close()


def find_secrets(path: Path, config: Optional[Config]) -> Secrets:
    """Return the secrets of this host: of its configuration, and of the files around it."""
    folders = [path.parent]
    files = [path]
    if config is not None:
        folders.append(config.state_dir)
        if config.ovirt is not None:
            ovirt = config.ovirt
            folders += [ovirt.setup_dir, ovirt.agent_dir, ovirt.state_dir]
            folders += [ovirt.run_dir] if ovirt.run_dir is not None else []
        definition = getattr(config.hypervisor, "definition", None)
        files += [definition] if isinstance(definition, Path) else []
    for folder in folders:
        files += _files_in(folder)
    return Secrets(each for file in dict.fromkeys(files) for each in _secrets_of(file))


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if each.is_file())[:_FILES_MAX]
    except OSError:
        return []


def _secrets_of(path: Path) -> Iterator[str]:
    try:
        if not path.is_file() or path.stat().st_size > _FILE_BYTES_MAX:
            return
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return
    yield from secrets_in(text, path.parent)
    # A file of that name has nothing else in it.
    yield from secrets_in(f"{path.name}_file: {path}", path.parent)


def _version(name: str) -> Optional[str]:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _safe(name: str) -> str:
    return "".join(each if each.isalnum() or each in "._-" else "_" for each in name)


def _json(plain: Any) -> bytes:
    return json.dumps(plain, indent=2, ensure_ascii=False).encode("utf-8", "replace")
