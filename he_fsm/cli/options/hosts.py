"""Host ids as people type them; completion knows those that the broker has on the whiteboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Optional

import click
from click.shell_completion import CompletionItem

from he_fsm.errors import HeFsmError

# Somebody has pressed a key, and waits (seconds).
_ANSWERS_WITHIN_S: Final = 1.0
_HOST_ID_MAX: Final = 2000


class HostId(click.ParamType):
    """A host id: a whole number from 1 to 2000."""

    name = "host id"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> int:
        """Return the number; a text that is none ends the command."""
        # As metadata.layout.HOST_ID_MAX has it, which no help has to load.
        if isinstance(value, str) and not (
            value.isascii() and value.isdecimal() and 1 <= int(value) <= _HOST_ID_MAX
        ):
            self.fail(f"expected a host id from 1 to {_HOST_ID_MAX}, got {value!r}", param, ctx)
        return int(value)


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
