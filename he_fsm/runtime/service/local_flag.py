"""The flag of local maintenance: a file that outlives daemon and host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.runtime.service.files import write_json


@attrs.frozen
class LocalFlag:
    """
    Whether this host is taken out of service.

    `until`: when that ends by itself, in seconds since 1970 on the wall clock of this host, which
    alone counts while the host has no power; None: somebody ends it. `problem`: what is wrong with
    the file; empty: nothing.
    """

    is_set: bool
    until: Optional[int] = None
    problem: str = ""


def read_flag(path: Path) -> LocalFlag:
    """
    Read the flag, and what is wrong with its file.

    A host whose file is damaged may have been taken out of service: it stays out, and says so,
    until somebody sets the flag anew.
    """
    try:
        plain = json.loads(path.read_bytes())
        value, until = plain["local_maintenance"], plain.get("until")
    except FileNotFoundError:
        return LocalFlag(is_set=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return LocalFlag(is_set=True, problem=f"{path} can't be used: {error!r}")
    if not isinstance(value, bool):
        return LocalFlag(is_set=True, problem=f"{path} can't be used: {value!r} is no flag")
    if until is not None and type(until) is not int:
        # The host stays out, as somebody wanted it.
        return LocalFlag(value, problem=f"{path} can't be used: {until!r} is no time")
    return LocalFlag(value, until if value else None)


def write_flag(path: Path, flag: LocalFlag) -> None:
    """Write the flag; the file is replaced as a whole."""
    end = {} if flag.until is None else {"until": flag.until}
    write_json(path, {"local_maintenance": flag.is_set, **end})
