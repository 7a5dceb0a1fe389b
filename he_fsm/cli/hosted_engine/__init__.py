"""
`hosted-engine`: the command of oVirt's hosts, answered by he_fsm.

Its options, exit statuses and what scripts read of its output are those of
ovirt-hosted-engine-setup 2.7; docs/hosted-engine.md says what differs. Only the first word selects
what is done.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from he_fsm.cli.hosted_engine.here import (
    CONFIG_VARIABLE,
    FAILED,
    OK,
    NotDeployedError,
    WrongUseError,
)
from he_fsm.errors import HeFsmError

__all__ = ["CONFIG_VARIABLE", "HELP", "about", "main", "run", "words_of"]

HELP: Final = "--help"


class _Verb(NamedTuple):
    """One command: the function that does it, by its words; its words, and a line of help."""

    function: str
    words: str
    about: str

    def run(self, words: Sequence[str]) -> int:
        """Load what the command is made of, and do it."""
        module, _, name = self.function.partition(":")
        status: int = getattr(importlib.import_module(f"{__name__}.{module}"), name)(words)
        return status


def main() -> None:
    """Run `hosted-engine`."""
    try:
        status = run(sys.argv[1:])
    except BrokenPipeError:
        # Whoever reads has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = OK
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def run(words: Sequence[str]) -> int:
    """Do what the words say; return the exit status."""
    if not words:
        sys.stdout.write(_usage())
        return FAILED
    first, rest = words[0], words[1:]
    if first.startswith(f"{_PASSWORD}="):
        # As releases of 2013 took it.
        first, rest = _PASSWORD, (f"--password={first.partition('=')[2]}", *rest)
    if first == HELP:
        return _help(rest)
    verb = _VERBS.get(first)
    if verb is None:
        sys.stderr.write(f"Invalid option '{first}'\n")
        sys.stdout.write(_usage())
        return FAILED
    if HELP in rest:
        return _help((first.lstrip("-"),))
    try:
        return verb.run(rest)
    except NotDeployedError:
        said = "You must run deploy first"
        sys.stdout.write(f"{json.dumps({'error': said}) if '--json' in rest else said}\n")
        return FAILED
    except (WrongUseError, HeFsmError) as error:
        if "--json" in rest:
            sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        sys.stderr.write(f"hosted-engine: {error}\n")
        return FAILED


def words_of() -> dict[str, str]:
    """Return the commands, and by each the words that may follow it, for people and shells."""
    return {name: verb.words for name, verb in _VERBS.items()}


def about() -> dict[str, str]:
    """Return the commands, and by each a line of what it does."""
    return {name: verb.about for name, verb in _VERBS.items()}


def _usage() -> str:
    lines = ["Usage: hosted-engine [--help] <command> [<command options>]", "", "Commands:"]
    lines += [f"  {name:26}{verb.about}" for name, verb in _VERBS.items()]
    lines += ["", "hosted-engine --help <command> describes one of them.", ""]
    return "\n".join(lines)


def _help(words: Sequence[str]) -> int:
    name = f"--{words[0].lstrip('-')}" if words else ""
    verb = _VERBS.get(name)
    if verb is None:
        sys.stdout.write(_usage())
    else:
        sys.stdout.write(f"Usage: hosted-engine {name} {verb.words}".rstrip() + "\n")
        sys.stdout.write(f"    {verb.about}\n")
    return OK


_PASSWORD: Final = "--add-console-password"  # noqa: S105 - a command
_VERBS: Final = {
    "--deploy": _Verb(
        "deployment:deploy",
        "[--config-append=FILE] [--generate-answer=FILE] ...",
        "Set up this host: the first one, or one more; he-fsm deploy --help lists all options",
    ),
    "--vm-start": _Verb("vm:vm_start", "[--vm-conf=FILE]", "Start the VM on this host"),
    "--vm-start-paused": _Verb(
        "vm:vm_start_paused", "", "Start the VM on this host, so that it executes nothing yet"
    ),
    "--vm-shutdown": _Verb("vm:vm_shutdown", "", "Ask the VM's guest to shut down"),
    "--vm-poweroff": _Verb("vm:vm_poweroff", "", "End the VM at once"),
    "--vm-status": _Verb("status:vm_status", "[--json]", "VM status according to the HA agents"),
    _PASSWORD: _Verb(
        "vm:add_console_password",
        "[--password=PASSWORD]",
        "Set a password for the VM's screen, good for 120 s; asked for where none is given",
    ),
    "--check-liveliness": _Verb(
        "status:check_liveliness", "", "Ask the engine's health page whether the engine is up"
    ),
    "--check-deployed": _Verb(
        "status:check_deployed", "", "Say whether the hosted engine has been deployed on this host"
    ),
    "--console": _Verb("vm:console", "", "Connect to the VM's serial console"),
    "--set-maintenance": _Verb(
        "status:set_maintenance",
        "--mode=<global|local|none>",
        "Set the maintenance flags: local and global leave each other alone, none ends both",
    ),
    "--connect-storage": _Verb(
        "storage:connect_storage", "", "Connect the storage, or say whether it can be read"
    ),
    "--disconnect-storage": _Verb("storage:disconnect_storage", "", "Disconnect the storage"),
    "--get-shared-config": _Verb(
        "shared:get_shared_config",
        "KEY [--type=TYPE]",
        "Print a value of the configuration, and its type",
    ),
    "--set-shared-config": _Verb(
        "shared:set_shared_config", "KEY VALUE [--type=TYPE]", "Change a value of the configuration"
    ),
    "--reinitialize-lockspace": _Verb(
        "storage:reinitialize_lockspace", "[--force]", "Write the leases of all hosts anew"
    ),
    "--clean-metadata": _Verb(
        "storage:clean_metadata",
        "[--host-id=N] [--force-cleanup]",
        "Empty the slot of this host, or of one that was removed",
    ),
}
