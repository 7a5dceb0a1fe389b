"""Exit statuses that commands share; docs/commands.md has them all."""

from __future__ import annotations

from typing import Final

# What a shell says of a program that Ctrl-C ended.
STOPPED: Final = 130
