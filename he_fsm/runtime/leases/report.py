"""How a process that was told to take the lease says what came of it, see `ports.LeaseHolder`."""

from __future__ import annotations

import json
import os
import sys
from typing import Final

# The command finds the number of the lease's descriptor under this name in its environment.
LEASE_FD_VARIABLE: Final = "HE_FSM_LEASE_FD"
EXIT_HELD: Final = 3
EXIT_ERROR: Final = 4


def report_error(descriptor: int, detail: str) -> int:
    """Say that it went wrong; give the exit status."""
    report(descriptor, lease="error", detail=detail)
    return EXIT_ERROR


def report(descriptor: int, **answer: object) -> None:
    """Say how it went; whoever asked may be gone, which changes nothing."""
    try:
        os.write(descriptor, json.dumps(answer).encode() + b"\n")
    except OSError as error:
        print(f"nobody reads the report {answer}: {error.strerror}", file=sys.stderr)  # noqa: T201
