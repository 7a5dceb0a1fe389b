"""Where things are on the whiteboard, in bytes. Source: docs/metadata-format.md."""

from __future__ import annotations

from typing import Final

SLOT_BYTES: Final = 4096
# The part of a slot that machines read; a 512-byte sector is written atomically.
RECORD_BYTES: Final = 512
# sanlock's host ids are 1 to 2000; slot 0 is the cluster's own.
HOST_ID_MAX: Final = 2000
WHITEBOARD_BYTES: Final = SLOT_BYTES * (HOST_ID_MAX + 1)
# The oldest parse version that can read what this release writes, and the newest that it reads.
PARSE_VERSION: Final = 1
# No release will ever write a greater one; a longer number would leave no room in the record.
VERSION_MAX: Final = 999
# The release that writes what is described here; `he_fsm.__version__` is the same.
RELEASE: Final = "0.1.0"
