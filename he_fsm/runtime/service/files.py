"""The small JSON files of a host's daemons; each is replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from he_fsm.errors import HeFsmError
from he_fsm.files.whole import write_whole

# For their owner and the group.
_MODE: Final = 0o640


def write_json(path: Path, plain: Any) -> None:
    """
    Replace a JSON file; the new content outlasts a crash of the machine.

    Raises:
        HeFsmError: it can't be written; the old content is still there.
    """
    try:
        write_whole(path, json.dumps(plain).encode(), mode=_MODE)
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error


def replace_json(path: Path, plain: Any) -> None:
    """
    Replace a JSON file that means nothing after a crash of the machine.

    Raises:
        OSError: it can't be written; the old content is still there.
    """
    write_whole(path, json.dumps(plain).encode(), mode=_MODE, is_durable=False)
