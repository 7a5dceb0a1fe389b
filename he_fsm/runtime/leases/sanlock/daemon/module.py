"""
sanlock's own Python module, which comes with the system's packages and never from PyPI.

libsanlock decides at its first call which daemon it talks to, so a process has one daemon for ever.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, Optional

from he_fsm.errors import LockspaceError, SanlockMissingError
from he_fsm.runtime.leases.sanlock.daemon.errors import CONNECTING, Meaning, refusal
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE

_NAME: Final = "sanlock"
_PYTHON: Final = sysconfig.get_python_version()
# Where packages put it that know nothing of virtual environments.
FOLDERS: Final = (
    "/usr/lib/python3/dist-packages",
    f"/usr/lib64/python{_PYTHON}/site-packages",
    f"/usr/lib/python{_PYTHON}/site-packages",
)

_run_dir: Optional[str] = None


def load(run_dir: str) -> Any:
    """
    Return the module, for the daemon whose socket is in the folder *run_dir*.

    Raises:
        SanlockMissingError: it is not installed for this Python.
        LockspaceError: this process already has another daemon.
    """
    global _run_dir  # noqa: PLW0603 - as the library has it
    if _run_dir not in (None, run_dir):
        msg = f"this process talks to the sanlock daemon of {_run_dir}, and to no other"
        raise LockspaceError(msg)
    module = _imported()
    os.environ[RUN_DIR_VARIABLE] = run_dir
    _run_dir = run_dir
    return module


def check() -> None:
    """Raise `SanlockMissingError` where the module is not installed for this Python."""
    _imported()


def call(
    run_dir: str,
    verb: str,
    *words: object,
    what: str,
    meanings: Mapping[int, Meaning] = CONNECTING,
    **options: object,
) -> Any:
    """
    Call a function of the module; give what it gives.

    Raises:
        LockspaceError: it refused; *meanings* says which one, and *what* what was wanted.
    """
    module = load(run_dir)
    try:
        return getattr(module, verb)(*words, **options)
    except module.SanlockException as error:
        raise refusal(what, error.errno, meanings, str(error)) from error


def register(run_dir: str) -> int:
    """
    Connect this process to the daemon; give the descriptor, which is not inheritable.

    Raises:
        LockspaceError: the daemon can't be talked to.
    """
    descriptor: int = call(run_dir, "register", what=f"register with sanlock in {run_dir}")
    # The module gives one that every child would have, and with it the leases.
    os.set_inheritable(descriptor, False)
    return descriptor


def _imported() -> ModuleType:
    # At the end, and for this import alone: nothing else of the system's shall be found there.
    added = [folder for folder in FOLDERS if folder not in sys.path]
    sys.path += added
    try:
        return importlib.import_module(_NAME)
    except ImportError as error:
        msg = (
            f"sanlock's module for Python {_PYTHON} is missing; install the system's package"
            " python3-sanlock, and use the system's own Python (sanlock 5.1 and later come without"
            " it: use a release that has it)"
        )
        raise SanlockMissingError(msg) from error
    finally:
        for folder in added:
            sys.path.remove(folder)
