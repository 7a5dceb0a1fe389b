"""Until when the certificates are valid that moves, or a hypervisor's daemon, are encrypted by."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

from he_fsm.runtime.ports import Finding
from he_fsm.words import several

# Enough to get a new one signed by somebody who is on holiday.
_SOON: Final = dt.timedelta(days=30)
_ANSWERS_WITHIN_S: Final = 3.0
_KEY: Final = "notAfter="


def ending_soon(path: Path, now: Optional[dt.datetime] = None) -> Iterator[Finding]:
    """
    Say that a certificate (PEM) ends within 30 days, or has ended; *now*: None is this moment.

    Nothing is said where there is no program `openssl`, or where it can't read the file: whoever
    uses the file says so.
    """
    ends = end_of(path)
    if ends is None:
        return
    left = ends - (now or dt.datetime.now(dt.timezone.utc))
    if left <= dt.timedelta(0):
        what, is_fatal = f"the certificate {path} ended on {ends:%Y-%m-%d}", True
    elif left < _SOON:
        what, is_fatal = f"the certificate {path} ends in {several(left.days, 'day')}", False
    else:
        return
    yield Finding(what=what, mend="have a new one made and signed", is_fatal=is_fatal, path=path)


def end_of(path: Path) -> Optional[dt.datetime]:
    """Return the moment after which a certificate is not valid; None: that can't be found out."""
    program = shutil.which("openssl")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a program of the system's, and a path
            [program, "x509", "-noout", "-enddate", "-in", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWERS_WITHIN_S,
            check=True,
        )
        said = done.stdout.decode("ascii", "replace").strip()
        seconds = ssl.cert_time_to_seconds(said[len(_KEY) :])
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
