"""
Readers that ask a broker all the time, in a process of their own.

`python -m he_fsm.chaos.readers SOCKET COUNT PAUSE` asks from COUNT threads, each with PAUSE seconds
between an answer and its next question, until its stdin is closed. Then it prints how often what
was answered, as one JSON object.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from typing import Final, Optional

# As `he-fsm status`, a program that reads the slots, and a scraper of metrics ask.
QUESTIONS: Final = ("/v1/status", "/v1/whiteboard", "/metrics")
# Longer than a broker takes for any answer.
_TIMEOUT_S: Final = 10.0
_ENDS_WITHIN_S: Final = 2 * _TIMEOUT_S
_NOTHING: Final = "no answer"


class Readers:
    """The process with the readers; it asks from the moment it is made until `close`."""

    def __init__(self, broker: Path, count: int, pause_s: float, folder: Path) -> None:
        """
        Start the process.

        Args:
            broker: the socket to ask.
            count: how many ask at the same time; 0: nobody does.
            pause_s: how long each waits after an answer.
            folder: where the process works; by it, it is known as the lab's.
        """
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", __name__, str(broker), str(count), str(pause_s)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.answers: Optional[Counter[str]] = None

    def close(self) -> Counter[str]:
        """End the process; return the number of answers by question and status."""
        if self.answers is None:
            try:
                said, _ = self._process.communicate(timeout=_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                said, _ = self._process.communicate()
            self.answers = Counter(json.loads(said)) if said else Counter()
        return self.answers


def ask(broker: str, question: str) -> str:
    """Ask with a connection of its own, as a command does; return the answer's status."""
    connection = http.client.HTTPConnection("localhost", timeout=_TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_TIMEOUT_S)
        connection.sock.connect(broker)
        connection.request("GET", question)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return _NOTHING
    else:
        return str(answer.status)
    finally:
        connection.close()


def _ask_again_and_again(
    broker: str, first: int, pause_s: float, ends: threading.Event, answers: Counter[str]
) -> None:
    # Not all readers ask the same thing at the same time.
    for question in islice(cycle(QUESTIONS), first, None):
        answers[f"{question} {ask(broker, question)}"] += 1
        if ends.wait(pause_s):
            return


def main(broker: str, count: int, pause_s: float) -> None:
    """Ask until stdin is closed."""
    ends = threading.Event()
    # Each thread counts for itself.
    answers: list[Counter[str]] = [Counter() for _ in range(count)]
    threads = [
        threading.Thread(target=_ask_again_and_again, args=(broker, number, pause_s, ends, own))
        for number, own in enumerate(answers)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ends.set()
    for thread in threads:
        thread.join()
    json.dump(sum(answers, Counter()), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
