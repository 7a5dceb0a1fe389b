"""What the holder is told when it begins, and what it writes beside the lease: no I/O."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Optional

import attrs

# A move that somebody has ordered by hand: where it goes to is libvirt's to know.
ANYWHERE: Final = 0
# How large a message between the agent and the holder may be (bytes).
MESSAGE_BYTES: Final = 4096


@attrs.frozen(kw_only=True)
class HolderSettings:
    """
    Whose lease to keep for which process.

    `own` names what makes the `OwnLease`, by its settings `lease` (`kinds.LeaseKind`). `state` is
    the file of the VM's record. `pid` and `ticks` are the domain's process, as in that record.
    """

    own: str
    lease: str
    host_id: int
    state: Path
    pid: int = 0
    ticks: int = 0

    def to_text(self) -> str:
        """Return it as a word of a command line."""
        return json.dumps({**attrs.asdict(self), "state": str(self.state)})

    @classmethod
    def from_text(cls, text: str) -> HolderSettings:
        """Read what `to_text` wrote; raises `ValueError`."""
        plain = json.loads(text)
        return cls(**{**plain, "state": Path(plain["state"])})


@attrs.frozen(kw_only=True)
class MovedNote:
    """
    What a source leaves beside the lease: its domain has moved to the host `to`, and has ended.

    `version` is the lease's as the source had it. The next owner has the version after it, unless
    somebody else had the lease meanwhile.
    """

    to: int
    version: int

    def to_bytes(self) -> bytes:
        """Return it as it is written beside the lease."""
        return json.dumps({"to": self.to, "version": self.version}).encode()

    @classmethod
    def from_bytes(cls, written: bytes) -> Optional[MovedNote]:
        """Read what stands there; None: it is no such note."""
        try:
            plain: Any = json.loads(written)
            return cls(to=int(plain["to"]), version=int(plain["version"]))
        except (KeyError, TypeError, ValueError):
            return None

    def is_for(self, host_id: int, version: int) -> bool:
        """Whether it is for the host that has taken the lease, at this version, right after it."""
        return self.to in (host_id, ANYWHERE) and version == self.version + 1
