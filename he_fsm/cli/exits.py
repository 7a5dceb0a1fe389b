"""Exit statuses that commands share; docs/commands.md has them all."""

from __future__ import annotations

from typing import Final

# The exit status by which shells report that Ctrl-C ended a program.
STOPPED: Final = 130
# What was asked for can't be used: the command line, a file, the configuration.
UNUSABLE: Final = 2
