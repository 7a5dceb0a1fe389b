"""What the verbs `broker` and `sanlock` do to a lab host's real daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from he_fsm.rehearse.host import LabHost

if TYPE_CHECKING:
    from he_fsm.rehearse.run import Rehearsal


def broker(_: Rehearsal, host: LabHost, word: str) -> None:
    """Kill, start, stop or continue the broker."""
    if not host.is_powered or host.is_frozen:
        return
    if word == "kill":
        host.kill_broker()
    elif word == "start" and host.broker_process is None:
        host.start_broker()
    elif word == "freeze":
        host.freeze("broker")
    elif word == "thaw":
        host.thaw("broker")


def sanlock(rehearsal: Rehearsal, host: LabHost, word: str) -> None:
    """Kill, start, stop or continue sanlock; the host's watchdog takes note."""
    if not host.is_powered or host.is_frozen:
        return
    if host.daemon_process("sanlock") is None:
        if word == "start":
            host.start_sanlock()
    elif word == "kill":
        host.kill_sanlock()
        # A watchdog goes on counting for a daemon that has gone without a word.
        rehearsal.reset_in_time(host, lambda: True)
    elif word == "freeze":
        host.freeze("sanlock")
        thaws = host.thaws
        rehearsal.reset_in_time(host, lambda: host.thaws == thaws)
    elif word == "thaw":
        host.thaw("sanlock")
