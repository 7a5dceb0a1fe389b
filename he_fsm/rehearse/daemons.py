"""What the verbs `broker` and `sanlock` do to a lab host's real daemons."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from he_fsm.rehearse.host import LabHost

if TYPE_CHECKING:
    from he_fsm.rehearse.run import Rehearsal


def broker(_: Rehearsal, host: LabHost, word: str) -> None:
    """Kill, start, stop or continue the broker."""
    if not host.is_powered or host.is_frozen:
        return
    process = host.broker_process
    if process is None:
        if word == "start":
            host.start_broker()
    elif word == "kill":
        host.kill_broker()
    elif word in ("freeze", "thaw"):
        host.broker_is_frozen = word == "freeze"
        process.send_signal(signal.SIGSTOP if host.broker_is_frozen else signal.SIGCONT)


def sanlock(rehearsal: Rehearsal, host: LabHost, word: str) -> None:
    """Kill, start, stop or continue sanlock; the host's watchdog takes note."""
    if not host.is_powered or host.is_frozen or not host.order_sanlock(word):
        return
    if word == "thaw":
        host.sanlock_thaws += 1
    thaws = host.sanlock_thaws
    if word == "kill":
        # A watchdog goes on counting for a daemon that has gone without a word.
        rehearsal.reset_in_time(host, lambda: True)
    elif word == "freeze":
        rehearsal.reset_in_time(host, lambda: host.sanlock_thaws == thaws)
