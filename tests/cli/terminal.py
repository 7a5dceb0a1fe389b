"""A terminal for commands to run on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

from tests.cli.conftest import command_line, environment

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of some width, its standard error too."""

    def __init__(self, width: int, *arguments: object) -> None:
        own, others = pty.openpty()
        fcntl.ioctl(others, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        values = environment({"TERM": "xterm-256color"})
        values = {key: value for key, value in values.items() if key not in ("COLUMNS", "NO_COLOR")}
        with subprocess.Popen(
            command_line(*arguments), stdout=others, stderr=others, env=values
        ) as process:
            os.close(others)
            self.text = _all_of(own)
        os.close(own)
        self.status = process.returncode


def _all_of(descriptor: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            # Linux says so when the other side is closed.
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode().replace("\r\n", "\n")
