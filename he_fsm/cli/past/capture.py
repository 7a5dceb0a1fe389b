"""`he-fsm capture`: all that somebody needs who was not there, in one file, without secrets."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import time
from pathlib import Path
from typing import Any, Final, Optional

import click

from he_fsm import __version__
from he_fsm.cli.options.config import config_option
from he_fsm.cli.past.archive import FOLDER, FORMAT, MANIFEST
from he_fsm.cli.past.lines import note
from he_fsm.cli.past.parts import Captor, find_secrets
from he_fsm.cli.past.times import iso_text
from he_fsm.errors import HeFsmError
from he_fsm.files.whole import replacing
from he_fsm.runtime.config import Config, load_config
from he_fsm.words import printable

# It names hosts and what befell them: for its owner alone.
_MODE: Final = 0o600


@click.command()
@config_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to this file, which must not exist; else to he-fsm-HOST-TIME.tar.gz here.",
)
@click.option(
    "--log",
    "logs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A log of the daemons, where they write to a file; repeatable.",
)
def capture(path: Path, output: Optional[Path], logs: tuple[Path, ...]) -> None:
    """
    Write an archive for support: what this host sees, what it has decided, and how it is set up.

    Whiteboard, decisions, logs, configuration, status, doctor's result and versions go into it,
    each without passwords and keys. What can't be had is named, in the archive and on standard
    error, and the rest is written. `he-fsm replay` reads such archives.

    Exit status: 0 written, also without some parts; 2 it can't be written.
    """
    config, trouble = _config(path)
    output = output or Path(_usual_name(config))
    if output.exists() or output.is_symlink():
        msg = f"{output} exists: choose another name (--output FILE)"
        raise HeFsmError(msg)
    captor = Captor(
        path=path,
        config=config,
        trouble=trouble,
        logs=logs,
        secrets=find_secrets(path, config),
    )
    files, missing = _collected(captor)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "program": __version__,
        "made_at": iso_text(time.time()),
        "host": None if config is None else config.host.id,
        "hostname": None if config is None else config.host.hostname,
        "files": sorted(files),
        "missing": missing,
    }
    manifest = captor.secrets.without_in(manifest)
    _write(output, {MANIFEST: json.dumps(manifest, indent=2).encode(), **files})
    for name, why in manifest["missing"].items():
        note(printable(f"without {name}: {why}"))
    click.echo(f"{output}: {len(files)} files, {_size_text(output.stat().st_size)}")


def _config(path: Path) -> tuple[Optional[Config], str]:
    try:
        return load_config(path), ""
    except HeFsmError as error:
        return None, str(error)


def _usual_name(config: Optional[Config]) -> str:
    host = "unknown" if config is None else re.sub(r"[^\w.-]", "_", config.host.hostname)
    return f"he-fsm-{host}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz"


def _collected(captor: Captor) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files by name, and why parts are missing."""
    files: dict[str, bytes] = {}
    missing = {}
    for name, part in captor.parts():
        try:
            files.update(part())
        except HeFsmError as error:
            missing[name] = str(error)
        except Exception as error:  # noqa: BLE001 - a bug in one part must not cost the others
            missing[name] = f"this part fails: {type(error).__name__}: {error}"
    return files, missing


def _write(path: Path, files: dict[str, bytes]) -> None:
    try:
        with replacing(path) as new:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(new, flags, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                # Whatever the umask is.
                os.fchmod(descriptor, _MODE)
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    for name, content in files.items():
                        member = tarfile.TarInfo(f"{FOLDER}/{name}")
                        member.size, member.mode = len(content), _MODE
                        member.mtime = int(time.time())
                        tar.addfile(member, io.BytesIO(content))
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error


def _size_text(size: int) -> str:
    return f"{size / 1024:.0f} KiB" if size < 2**20 else f"{size / 2**20:.1f} MiB"
