"""A command of the administrator's own that is run for each event."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from typing import IO, Any, cast

import attrs

from he_fsm.errors import NotifyError
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.runtime.ports import Message
from he_fsm.runtime.service.log import one_line

_log = logging.getLogger(__name__)

_TIMEOUT_S = 30.0
_OUTPUT_MAX_BYTES = 2048
# What was written just before the end is still on its way through the pipe.
_REST_OF_OUTPUT_S = 1.0
_OF_AN_EDGE = ("source", "to", "edge")
_OF_AN_ALARM = ("alarm", "told", "is_over")


@attrs.frozen(kw_only=True)
class Hook:
    """
    The command *argv* (no shell), with the event as one JSON object on its standard input.

    `event_as_json` says which keys it has. The command is killed with all of its process group
    after *timeout_s*. It runs once for an event: nobody knows how much a command that failed has
    done. The beginning of its output goes to the log.
    """

    argv: tuple[str, ...]
    timeout_s: float = _TIMEOUT_S
    patience_s: float = 0.0
    name: str = "hook"

    def send(self, message: Message) -> None:
        """
        Run the command, and wait for its end.

        Raises:
            NotifyError: it can't be run, takes too long, or ends with a status that is not 0.
        """
        with tempfile.TemporaryFile() as given:
            given.write(json.dumps(event_as_json(message)).encode() + b"\n")
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the administrator's own command
                    self.argv,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                msg = f"{self.argv[0]} can't be run: {error}"
                raise NotifyError(msg, can_retry=False) from error
        self._wait(process)

    def probe(self, within_s: float) -> None:
        """
        See whether the command is there; it is not run.

        Raises:
            NotifyError: it is not, or this user may not run it.
        """
        del within_s
        if shutil.which(self.argv[0]) is None:
            msg = f"{self.argv[0]} can't be run: there is no such program, or not for this user"
            raise NotifyError(msg, can_retry=False)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        # There is one: it was asked for.
        output = _Output(cast("IO[bytes]", process.stdout))
        output.start()
        try:
            status = process.wait(self.timeout_s)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            msg = f"{self.argv[0]} did not end within {self.timeout_s:g} s: killed{output.said()}"
            raise NotifyError(msg, can_retry=False) from error
        if status != 0:
            how = f"status {status}" if status > 0 else f"signal {-status}"
            msg = f"{self.argv[0]} ended with {how}{output.said()}"
            raise NotifyError(msg, can_retry=False)
        _log.info("%s ended with status 0%s", self.argv[0], output.said())


def event_as_json(message: Message) -> dict[str, Any]:
    """
    Return the event as what a hook reads: see `json_schema`.

    It is what the broker's socket is sent for the same event, without the keys that the event does
    not use, and with `id` and `at`.
    """
    event = message.event
    what: dict[str, Any] = {"source": event.source, "to": event.to, "edge": event.edge}
    if event.alarm:
        what = {"alarm": event.alarm, "told": event.told, "is_over": event.is_over}
    return {
        "id": message.id,
        "at": message.at.isoformat(timespec="seconds"),
        "subject": event.subject,
        "host_id": event.host_id,
        "hostname": event.hostname,
        **what,
        "why": event.why,
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of what a hook reads (draft 2020-12)."""
    text = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "what a hook of he_fsm reads",
        "type": "object",
        "properties": {
            "id": {"description": "the event's own, the same in mails", **text},
            "at": {"description": "when the broker got it", **text, "format": "date-time"},
            "subject": {"description": "the subject of the mail", **text},
            "host_id": {
                "description": "the host whose agent tells it",
                "type": "integer",
                "minimum": 1,
                "maximum": HOST_ID_MAX,
            },
            "hostname": {"description": "that host's name", **text},
            "source": {"description": "the state that was left", **text},
            "to": {"description": "the state that was entered", **text},
            "edge": {"description": "the edge's name, see he-fsm explain", **text},
            "alarm": {"description": "the alarm's name, see docs/operations.md", **text},
            "told": {
                "description": "how often people were told of this alarm before",
                "type": "integer",
                "minimum": 0,
            },
            "is_over": {
                "description": "what the alarm was about is right again",
                "type": "boolean",
            },
            "why": {"description": "the reason, for people", **text},
        },
        "required": ["id", "at", "subject", "host_id", "hostname", "why"],
        "oneOf": [{"required": list(_OF_AN_EDGE)}, {"required": list(_OF_AN_ALARM)}],
        "additionalProperties": False,
    }


class _Output(threading.Thread):
    """Reads all that a command writes, so that it never blocks, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="he-fsm hook output", daemon=True)
        self._pipe = pipe
        self._kept = b""

    def run(self) -> None:
        with self._pipe as pipe:
            while piece := os.read(pipe.fileno(), 1 << 16):
                self._kept += piece[: _OUTPUT_MAX_BYTES - len(self._kept)]

    def said(self) -> str:
        """Return the output for a line of the log; empty if there was none."""
        # A child of the command may go on and hold the pipe; it is not waited for.
        self.join(_REST_OF_OUTPUT_S)
        text = one_line(self._kept.decode("utf-8", "replace"))
        return f": {text}" if text else ""
