"""`he-fsm`: the command line. Each command is loaded when it is called."""

from __future__ import annotations

import logging
from typing import Optional

import click
from click.shell_completion import CompletionItem

from he_fsm import __version__
from he_fsm.cli.loading import load
from he_fsm.cli.running import HELP_NAMES, Commands, run

# What the package logs is for daemons, which say where it goes; commands say themselves what is so.
logging.getLogger("he_fsm").addHandler(logging.NullHandler())

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


class _Commands(Commands):
    """The commands, imported one at a time: the help waits for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        found = _COMMANDS.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(load(f"he-fsm {cmd_name}", found[0]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            msg = f"{found[0]}.{cmd_name} is no command"
            raise TypeError(msg)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what may follow; the commands' lines are known without loading them."""
        found = click.Command.shell_complete(self, ctx, incomplete)
        for name, (_, line) in _COMMANDS.items():
            if name.startswith(incomplete):
                found.append(CompletionItem(name, help=line))
        return found

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings=HELP_NAMES)
@click.version_option(__version__, "-V", "--version", prog_name="he-fsm")
def cli() -> None:
    """Keep one virtual machine running on exactly one of several hosts, and see beforehand how."""


def main() -> None:
    """Run `he-fsm`."""
    run(cli, "he-fsm")
