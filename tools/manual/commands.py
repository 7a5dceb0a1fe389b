"""The pages of the commands and of the daemons, from click's own definitions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from he_fsm.cli import daemons, hosted_engine
from he_fsm.cli.main import cli
from he_fsm.cli.running import HELP_NAMES
from manual.roff import Page, escaped, listed, paragraphs, section, see_also

_CONFIG = ("he-fsm.yaml", 5)
_AGENT, _BROKER = ("he-fsm-agent", 8), ("he-fsm-broker", 8)
_STATUSES = (
    ("0", "success; everything that was checked held"),
    ("1", "a command that judges something did not find it good; its own page says what"),
    ("2", "invalid input, or refused: nothing was changed"),
    ("3", "`status`, `doctor`: the engine is down, or would not survive a failover"),
    ("130", "stopped by Ctrl-C"),
)
_FILES = (
    ("/etc/he-fsm/he-fsm.yaml", "the configuration of this host"),
    ("/run/he-fsm/broker.sock", "where the broker answers commands; the group he-fsm may ask"),
    ("/var/lib/he-fsm", "what a host remembers across restarts of the machine"),
)
_SIGNALS = (
    ("SIGTERM, SIGINT", "end; a VM that runs here goes on"),
    ("SIGHUP", "read the configuration anew; what can't be used is refused and logged"),
)


def pages() -> Iterator[Page]:
    """Return a page for each command and each command below one, and for the daemons."""
    yield from _of(cli, "he-fsm", ())
    for daemon, (name, number) in (
        (daemons.AGENT_COMMAND, _AGENT),
        (daemons.BROKER_COMMAND, _BROKER),
    ):
        other = _BROKER if name == _AGENT[0] else _AGENT
        yield Page(
            name=name,
            section=number,
            about=_about(daemon),
            blocks=(
                *_described(daemon, name),
                section("Signals", _terms(_SIGNALS)),
                section("Files", _terms(_FILES)),
                see_also([("he-fsm", 1), other, _CONFIG]),
            ),
        )
    yield _original()


def _of(command: click.Command, path: str, above: tuple[tuple[str, int], ...]) -> Iterator[Page]:
    name = path.replace(" ", "-")
    own = ((name, 1),)
    below = list(_below(command)) if isinstance(command, click.Group) else []
    listed_below = [
        (f"\\fB{escaped(f'{name}-{word}')}\\fR(1)", _about(each)) for word, each in below
    ]
    is_first = command is cli
    yield Page(
        name=name,
        section=1,
        about=_about(command),
        blocks=(
            *_described(command, path),
            section("Commands", listed(listed_below)),
            section("Exit status", _terms(_STATUSES)) if is_first else "",
            section("Files", _terms(_FILES)) if is_first else "",
            see_also([*above, _AGENT, _BROKER, _CONFIG]),
        ),
    )
    for word, each in below:
        yield from _of(each, f"{path} {word}", (*above, *own))


def _below(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command is not None:
            yield word, command


def _about(command: click.Command) -> str:
    """Return what a command does, in the one line by which pages are found."""
    paragraph = inspect.cleandoc(command.help or "").split("\n\n")[0]
    sentence = " ".join(paragraph.split()).rstrip(".")
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _described(command: click.Command, path: str) -> tuple[str, ...]:
    """Return what each page of a command has: synopsis, description, arguments and options."""
    context = click.Context(command, info_name=path, **HELP_NAMES)
    usage = " ".join(command.collect_usage_pieces(context))
    options = [
        record
        for param in command.get_params(context)
        if (record := param.get_help_record(context)) is not None
    ]
    return (
        section("Synopsis", f"\\fB{escaped(path)}\\fR {escaped(usage)}"),
        section("Description", paragraphs(command.help or "")),
        section("Options", listed((f"\\fB{escaped(term)}\\fR", text) for term, text in options)),
        section("Notes", paragraphs(command.epilog)) if command.epilog else "",
    )


def _terms(items: tuple[tuple[str, str], ...]) -> str:
    return listed((f"\\fB{escaped(term)}\\fR", text) for term, text in items)


def _original() -> Page:
    """Return the page of `hosted-engine`, whose commands are not click's."""
    words = hosted_engine.words_of()
    commands = [
        (f"\\fB{escaped(name)}\\fR {escaped(words[name])}".rstrip(), about)
        for name, about in hosted_engine.about().items()
    ]
    return Page(
        name="hosted-engine",
        section=8,
        about="the command of oVirt's hosts, answered by he_fsm",
        blocks=(
            section("Synopsis", f"\\fBhosted\\-engine\\fR {escaped('COMMAND [OPTIONS]')}"),
            section("Description", paragraphs(hosted_engine.__doc__ or "")),
            section("Commands", listed(commands)),
            section(
                "Environment",
                _terms((("HE_FSM_CONFIG", "another configuration than the usual one"),)),
            ),
            section(
                "Exit status",
                _terms((("0", "done, or yes"), ("1", "not done, or no; see standard error"))),
            ),
            see_also([("he-fsm", 1), _AGENT, _BROKER]),
        ),
    )
