"""
Which sanlock a lab's daemons are, and what it can do.

`HE_FSM_SANLOCK` names a folder in which another release is unpacked, with the libraries that it
needs; its daemons are started by its own loader. The machine's own command talks to them.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError

VARIABLE: Final = "HE_FSM_SANLOCK"
# From this release on `watchdog_fire_timeout` can be set.
SETS_WATCHDOG: Final = (3, 9)
_LOADER: Final = "lib64/ld-linux-*.so.2"
_VERSION: Final = re.compile(r"^([0-9]+)\.([0-9]+)", re.MULTILINE)
_ANSWERS_S: Final = 5.0


def program() -> Optional[str]:
    """Return the path of sanlock, which need not be on everybody's PATH; None: it is missing."""
    return shutil.which("sanlock") or shutil.which("sanlock", path="/usr/sbin:/sbin")


def daemon_words() -> list[str]:
    """
    Return the words that begin a daemon's command.

    Raises:
        HeFsmError: the folder that is named holds no release.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return [str(program())]
    root = Path(named).absolute()
    loaders = sorted(root.glob(_LOADER))
    found = root / "usr" / "sbin" / "sanlock"
    if not loaders or not found.exists():
        msg = f"{VARIABLE}: in {named} there is no usr/sbin/sanlock with its loader in lib64"
        raise HeFsmError(msg)
    libraries = ":".join(str(path.parent) for path in sorted(root.glob("usr/lib/*/libc.so.6")))
    return [str(loaders[0]), "--library-path", libraries, str(found)]


def can_set_watchdog() -> bool:
    """Whether a daemon's watchdog may take another time than 60 s."""
    return program() is not None and _version(tuple(daemon_words())) >= SETS_WATCHDOG


@functools.cache
def _version(words: tuple[str, ...]) -> tuple[int, int]:
    done = subprocess.run(  # noqa: S603 - a list of words, and no shell
        [*words, "version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=_ANSWERS_S,
    )
    found = _VERSION.search(done.stdout)
    return (0, 0) if found is None else (int(found[1]), int(found[2]))
