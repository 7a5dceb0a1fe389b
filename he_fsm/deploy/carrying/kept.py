"""
The answers of a dialogue, kept until its deployment has ended.

A deployment that fails or is killed is undone, and its answers stay in a file of this host, so that
the next run asks nothing twice. No password is among them.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from he_fsm.deploy.asking.answers import Given
from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.planning.ovirt_files import answers_conf, given_of
from he_fsm.errors import ConfigError, DeployError, cause_of
from he_fsm.files.whole import write_whole

_MODE = 0o600


def keep(path: Path, values: Values) -> None:
    """
    Keep the answers of this host.

    Raises:
        DeployError: the file can't be written.
    """
    try:
        write_whole(path, answers_conf(values, of_one_host=True).encode(), mode=_MODE)
    except OSError as error:
        msg = f"the answers can't be kept: {path} can't be written: {error.strerror}"
        raise DeployError(msg) from error


def left(path: Path) -> dict[str, Given]:
    """
    Return the answers that an earlier deployment has left, by the questions' keys; empty: none.

    Raises:
        DeployError: the file can't be read.
    """
    try:
        given, _ = given_of(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        msg = (
            f"{path} keeps the answers of an earlier deployment, and can't be read"
            f" ({cause_of(error)}): rm {path}, and answer anew"
        )
        raise DeployError(msg) from error
    return {key: attrs.evolve(each, is_kept=True) for key, each in given.items()}


def forget(path: Path) -> None:
    """Forget the answers; nothing happens where there are none."""
    path.unlink(missing_ok=True)
