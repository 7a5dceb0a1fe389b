"""`hosted-engine`: what a deployment does, or has left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from he_fsm.cli.hosted_engine.here import FAILED

# The VM in which a deployment of oVirt installs the engine, before it has its own disk.
# Source: ovirt-hosted-engine-setup 2.7.
_LOCAL_VM: Final = "HostedEngineLocal"
_ANSWERS_WITHIN_S: Final = 5.0


def deploy(words: Sequence[str]) -> int:
    """Say what to do instead."""
    del words
    sys.stderr.write(
        "hosted-engine: this release sets up no host by itself. Without oVirt, write"
        " /etc/he-fsm/he-fsm.yaml, then he-fsm config check --deep, he-fsm storage init (once for"
        " all hosts), and start he-fsm-broker and he-fsm-agent. On a host of oVirt, deploy with"
        " the original command, and replace the agents afterwards\n"
    )
    return FAILED


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
