"""What is wrong with a host or its configuration, as a sentence that somebody can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import attrs


@attrs.frozen(kw_only=True)
class Finding:
    """
    One thing that a back end needs and does not have, or that will go wrong.

    `what` is one sentence about what is wrong, and `mend` the command or setting that mends it
    (empty: none is known). `is_fatal`: no VM can be started, or none safely, before it is mended.
    `path`: the file or folder that is missing or can't be used, if it is about one; two findings
    about one path are named once.
    """

    what: str
    mend: str = ""
    is_fatal: bool = True
    path: Optional[Path] = None

    def __str__(self) -> str:
        """Return both sentences on one line."""
        return f"{self.what}: {self.mend}" if self.mend else self.what


@attrs.frozen
class Port:
    """TCP ports of this host, from *first* to *last*, that other machines have to reach."""

    first: int
    last: int
    # Who needs them, as the subject of a sentence.
    purpose: str
