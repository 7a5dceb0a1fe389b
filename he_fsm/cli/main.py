"""`he-fsm`: the command line. Each command is loaded when it is called; the help needs none."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from he_fsm.cli.entry.usage import columns, usage

if TYPE_CHECKING:
    import click

    cli: click.Group

# By name of the command: its module, and its line in the help.
_COMMANDS = {
    "simulate": ("he_fsm.cli.simulate", "Play scenario files in memory and judge what comes out."),
    "rehearse": ("he_fsm.cli.rehearse", "Run scenario files on real daemons of this machine."),
    "campaign": (
        "he_fsm.cli.campaign",
        "Play many years with faults at random; compare designs.",
    ),
    "tune": ("he_fsm.cli.tune", "Propose policy numbers for an aim; say what they buy."),
    "check": (
        "he_fsm.cli.check",
        "Explore every order of events of a small cluster.",
    ),
    "explain": ("he_fsm.cli.explain", "List the declared edges out of a state, in words."),
    "diagram": ("he_fsm.cli.diagram", "Draw the state machine from its table."),
    "score": ("he_fsm.cli.score", "Score a host by its readings, part by part."),
    "timing": ("he_fsm.cli.timing", "Compute the worst case of each recovery; refuse unsafe sets."),
    "status": ("he_fsm.cli.status", "Show the live cluster: hosts, scores and why, engine, lease."),
    "doctor": ("he_fsm.cli.live.doctor", "Look at this host, and at what the cluster survives."),
    "why": ("he_fsm.cli.live.why", "Explain what each host decides, and what would change it."),
    "what-if": ("he_fsm.cli.live.what_if", "Predict what a fault would do to the live cluster."),
    "dashboard": ("he_fsm.cli.live.dashboard", "Show clusters live in the browser."),
    "history": ("he_fsm.cli.past.history", "List what happened to the engine here, and why."),
    "capture": ("he_fsm.cli.past.capture", "Write an archive for support, without secrets."),
    "replay": ("he_fsm.cli.past.replay", "Decide anew what hosts decided then, step by step."),
    "metrics": ("he_fsm.cli.live.metrics", "Print the metrics of this host for Prometheus."),
    "move": ("he_fsm.cli.live.move", "Move a healthy engine to another host."),
    "notify": ("he_fsm.cli.live.notify", "Send a test message to the people who would be told."),
    "maintenance": (
        "he_fsm.cli.maintenance",
        "Set or show the maintenance flags, each on its own.",
    ),
    "console": ("he_fsm.cli.console", "Give out a password for the engine VM's screen, once."),
    "vm": ("he_fsm.cli.vm", "Start and stop the VM on this host; its shared definition."),
    "liveliness": ("he_fsm.cli.liveliness", "Ask the engine's health page, now and from here."),
    "deploy": ("he_fsm.cli.deploying.deploy", "Set up this host: the first one, or one more."),
    "undeploy": ("he_fsm.cli.deploying.undeploy", "Take this host out of its cluster."),
    "storage": ("he_fsm.cli.storage", "Set up what the hosts share: whiteboard and leases."),
    "lockspace": ("he_fsm.cli.cleaning", "Write the leases of all hosts anew."),
    "clean": ("he_fsm.cli.cleaning", "Empty the slot of a host that has stopped or was removed."),
    "whiteboard": ("he_fsm.cli.whiteboard", "Decode a whiteboard, slot by slot."),
    "config": ("he_fsm.cli.config", "Show and check the configuration of the daemons."),
    "completion": ("he_fsm.cli.completion", "Print what completes command lines in a shell."),
}


def __getattr__(name: str) -> Any:
    """Return `cli`, the group of all commands, which loads click."""
    if name != "cli":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from he_fsm.cli.entry.group import group_of  # noqa: PLC0415 - the help does without click

    made = globals()["cli"] = group_of(_COMMANDS)
    return made


def main() -> None:
    """Run `he-fsm`."""
    if _is_printed():
        return
    from he_fsm.cli.running import run  # noqa: PLC0415 - as above

    run(__getattr__("cli"), "he-fsm")


def _is_printed() -> bool:
    """Print the help, if that is asked for; where it can't be printed, the commands say so."""
    if sys.argv[1:] not in ([], ["-h"], ["--help"]) or "_HE_FSM_COMPLETE" in os.environ:
        return False
    lines = {name: line for name, (_, line) in _COMMANDS.items()}
    try:
        sys.stdout.write(usage(lines, columns()))
        sys.stdout.flush()
    except OSError:
        return False
    return True
