"""`hosted-engine`: values of oVirt's files, on this host and in the volume that all share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

from he_fsm.cli.hosted_engine.here import OK, WrongUseError, deployed_config
from he_fsm.runtime.config.ovirt.shared import TYPES, SharedConfig


def get_shared_config(words: Sequence[str]) -> int:
    """Print a value, and its type."""
    (key,), wanted = _typed(words, "KEY")
    found = _shared().get(key, wanted)
    sys.stdout.write(f"\n{key} : {found.value}, type : {found.type}\n\n")
    return OK


def set_shared_config(words: Sequence[str]) -> int:
    """Change a value."""
    (key, value), wanted = _typed(words, "KEY", "VALUE")
    _shared().set(key, value, wanted)
    return OK


def _shared() -> SharedConfig:
    config = deployed_config()
    if config.ovirt is None:
        msg = "this host has no files of oVirt's: its configuration says 'ovirt: none'"
        raise WrongUseError(msg)
    return SharedConfig(config.ovirt)


def _typed(words: Sequence[str], *names: str) -> tuple[Sequence[str], Optional[str]]:
    """Return the words before `--type=TYPE`, and the type; raises where others are there."""
    plain = [word for word in words if not word.startswith("--type")]
    types = [word.partition("=")[2] for word in words if word.startswith("--type")]
    if len(plain) != len(names) or len(types) > 1:
        msg = f"expected {' '.join(names)} [--type=TYPE]"
        raise WrongUseError(msg)
    if types and types[0] not in TYPES:
        msg = f"expected --type=TYPE, where TYPE is one of {', '.join(TYPES)}"
        raise WrongUseError(msg)
    return plain, types[0] if types else None
