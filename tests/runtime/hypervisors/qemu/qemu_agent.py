"""A host's hypervisor in a process of its own, so that it can be killed: orders on its stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from he_fsm.runtime import parts
from he_fsm.runtime.config import load_config
from he_fsm.runtime.ports import Hypervisor, Peer


def main() -> None:
    """Obey `migrate ID`, until killed."""
    hypervisor: Hypervisor = parts.make_hypervisor(load_config(Path(sys.argv[1])))
    print("ready", flush=True)  # noqa: T201 - who started it waits for this
    for line in sys.stdin:
        hypervisor.migrate(Peer(int(line.split()[1])))


if __name__ == "__main__":
    main()
