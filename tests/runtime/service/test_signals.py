"""Signals that come at the worst moment are neither lost nor fatal."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The main thread holds the lock of the event that a signal makes the daemon set.
UNDER_A_HELD_LOCK = """
import os, signal, sys, threading
from he_fsm.runtime.service.daemon import Signals
woken = threading.Event()
signals = Signals(woken.set)
with woken._cond:
    os.kill(os.getpid(), int(sys.argv[1]))
    print("went on", flush=True)
print(woken.wait(10), signals.wants_end, signals.take_reload(), signals.take_reload(), flush=True)
"""


@pytest.mark.parametrize(
    ("number", "asked"),
    [
        (signal.SIGTERM, "True False False"),
        (signal.SIGINT, "True False False"),
        (signal.SIGHUP, "False True False"),
    ],
)
def test_a_signal_under_a_held_lock_is_heard_and_blocks_nothing(
    number: signal.Signals, asked: str
) -> None:
    command = [sys.executable, "-c", UNDER_A_HELD_LOCK, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"went on\nTrue {asked}\n", "")
