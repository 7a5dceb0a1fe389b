"""`hosted-engine`: what a deployment does, or has left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import click

from he_fsm.cli.hosted_engine.here import CONFIG_VARIABLE, FAILED, OK, WrongUseError

# The VM in which a deployment of oVirt installs the engine, before it has its own disk.
# Source: ovirt-hosted-engine-setup 2.7.
_LOCAL_VM: Final = "HostedEngineLocal"
_ANSWERS_WITHIN_S: Final = 5.0
# What the original's deployment takes, and what does it here.
_ELSEWHERE: Final = {
    "--restore-from-file": ": restore the engine's backup in the VM",
    "--ansible-extra-vars": ": no playbook is played here; use --settings",
    "--4": ": give --gateway an IPv4 address",
    "--6": ": give --gateway an IPv6 address",
}


def deploy(words: Sequence[str]) -> int:
    """
    Set up this host, as `he-fsm deploy` does, with the original's options where they mean the same.

    An option that neither knows ends with 1, and the original's words.
    """
    from he_fsm.cli.deploying.deploy import deploy as command  # noqa: PLC0415 - loads all of it

    config = os.environ.get(CONFIG_VARIABLE)
    options = [*(("--config", config) if config else ()), *words]
    known = {name for param in command.params for name in param.opts}
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in known:
            why = _ELSEWHERE.get(name, "")
            sys.stderr.write(f"FATAL: Invalid option '{word}'{why}\n")
            return FAILED
    try:
        status = command.main(options, prog_name="hosted-engine --deploy", standalone_mode=False)
    except click.ClickException as error:
        raise WrongUseError(error.format_message()) from error
    except click.Abort:
        sys.stderr.write("hosted-engine: stopped\n")
        return 130
    return FAILED if status else OK


def unfinished() -> str:
    """Return what to say of a deployment that is going on, or has failed; empty: there is none."""
    virsh = shutil.which("virsh")
    if virsh is None:
        return ""
    try:
        found = subprocess.run(  # noqa: S603 - a list of words, and no shell
            [virsh, "--readonly", "dominfo", _LOCAL_VM],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWERS_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if found.returncode:
        return ""
    return (
        f"The VM {_LOCAL_VM} is on this host: a deployment is going on here, or an earlier one has"
        " failed. Wait for its end, or clean up with ovirt-hosted-engine-cleanup and deploy again."
    )
