"""Host ids, for completion: those that this host's broker has on the whiteboard."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from he_fsm.errors import HeFsmError

# Somebody has pressed a key, and waits (seconds).
_ANSWERS_WITHIN_S: Final = 1.0


def host_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the host ids that begin like this, with their names; none where nobody can tell."""
    # Loading these takes longer than all else, and only the completion of a host id needs them.
    from he_fsm.cli.broker import CONFIG, DEFAULT_SOCKET  # noqa: PLC0415 - as above
    from he_fsm.runtime.broker.client import BrokerClient  # noqa: PLC0415 - as above
    from he_fsm.runtime.config import DEFAULT_PATH, load_config  # noqa: PLC0415 - as above

    path = Path(ctx.params.get("path") or ctx.meta.get(CONFIG) or DEFAULT_PATH)
    try:
        socket = load_config(path).broker_socket if path.exists() else DEFAULT_SOCKET
        hosts = BrokerClient(str(socket), _ANSWERS_WITHIN_S).status()["hosts"]
    except (HeFsmError, OSError):
        return []
    return [
        CompletionItem(host_id, help=hosts[host_id].get("hostname"))
        for host_id in sorted(hosts, key=int)
        if host_id.startswith(incomplete)
    ]
