"""`he-fsm dashboard`: the cluster in the browser."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from he_fsm.cli.loading import load
from he_fsm.cli.options.common import duration_of
from he_fsm.dashboard.access.rules import Access, networks_of, read_token
from he_fsm.errors import HeFsmError
from he_fsm.runtime.config import DEFAULT_PATH, load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from he_fsm.dashboard.sources.source import Source

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    *("--config", "configs"),
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help=f"A host's configuration, one for each cluster; {DEFAULT_PATH} if nothing is said.",
)
@click.option(
    *("--socket", "sockets"),
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A broker's socket, where no configuration can be read; repeatable.",
)
@click.option(
    *("--whiteboard", "whiteboards"),
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A whiteboard, which is read itself; repeatable.",
)
@click.option(
    *("--leases",),
    type=_FILE,
    metavar="PATH",
    help="With one --whiteboard: the folder of its leases, or the file or device of sanlock's.",
)
@click.option("--demo", is_flag=True, help="Show a simulated cluster; there need not be any.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8321,
    show_default=True,
    help="The port; 0 is any free one.",
)
@click.option(
    "--hours",
    "span_s",
    default="6h",
    show_default=True,
    callback=duration_of,
    metavar="TIME",
    help="How much of the past the timeline shows.",
)
@click.option("--allow-changes", is_flag=True, help="Maintenance and moves can be asked for.")
@click.option("--token-file", type=_FILE, metavar="FILE", help="What people log in with.")
@click.option("--certificate", type=_FILE, metavar="FILE", help="TLS: the certificate, in PEM.")
@click.option("--key", type=_FILE, metavar="FILE", help="TLS: the certificate's key, in PEM.")
@click.option(
    *("--name", "names"),
    multiple=True,
    metavar="NAME",
    help="A name by which browsers find this dashboard, besides this host's own; repeatable.",
)
@click.option(
    "--user-header", metavar="NAME", help="The header in which a reverse proxy names its user."
)
@click.option(
    *("--proxy", "proxies"),
    multiple=True,
    metavar="ADDRESS",
    help="Where that proxy asks from, like 192.0.2.1 or 192.0.2.0/24; repeatable.",
)
def dashboard(  # noqa: PLR0913 - one for each option
    configs: tuple[Path, ...],
    sockets: tuple[Path, ...],
    whiteboards: tuple[Path, ...],
    leases: Optional[Path],
    demo: bool,
    address: str,
    port: int,
    span_s: float,
    allow_changes: bool,
    token_file: Optional[Path],
    certificate: Optional[Path],
    key: Optional[Path],
    names: tuple[str, ...],
    user_header: Optional[str],
    proxies: tuple[str, ...],
) -> None:
    """
    Show clusters in the browser, live, until Ctrl-C.

    The brokers of this host are asked, or a whiteboard is read. Nothing can be changed without
    --allow-changes. Any address but this machine's own demands TLS and a way to know who asks.

    Exit status: 0 ended by Ctrl-C or SIGTERM; 2 it can't be served so, and why.
    """
    serving = load("he-fsm dashboard", "he_fsm.dashboard.serving", "web")
    if (certificate is None) != (key is None):
        msg = "--certificate and --key go together"
        raise click.UsageError(msg)
    access = Access(
        names=frozenset(name.lower() for name in (*names, socket.gethostname())),
        token=None if token_file is None else read_token(token_file),
        user_header=user_header,
        proxies=networks_of(proxies),
        has_tls=certificate is not None,
        allows_changes=allow_changes,
    )
    access, link_token = _with_token(access)
    sources = _sources(configs, sockets, whiteboards, leases, demo=demo)
    logging.basicConfig(level=logging.WARNING, format="he-fsm: %(message)s")
    served = serving.Served(
        address=address,
        port=port,
        access=access,
        sources=sources,
        certificate=certificate,
        key=key,
        span_s=span_s,
    )
    serving.serve(served, lambda link: click.echo(f"{link}{link_token}"))


def _with_token(access: Access) -> tuple[Access, str]:
    """
    Return who may ask, and what is added to the link that is printed.

    Who may change something says who he is also on this machine, which has other users: without a
    token file, the link holds a token of its own, for whoever reads the terminal.
    """
    if not (access.allows_changes and access.is_open):
        return access, ""
    if not sys.stdout.isatty():
        msg = (
            "--allow-changes without a terminal: add --token-file FILE; every user of this machine"
            " could ask for changes otherwise"
        )
        raise HeFsmError(msg)
    import attrs  # noqa: PLC0415 - only here

    token = secrets.token_urlsafe(32)
    return attrs.evolve(access, token=token), f"login#{token}"


def _sources(
    configs: Sequence[Path],
    sockets: Sequence[Path],
    whiteboards: Sequence[Path],
    leases: Optional[Path],
    *,
    demo: bool,
) -> list[Source]:
    """Return what is shown, in the order of the kinds of options."""
    from he_fsm.dashboard.sources.broker import BrokerSource  # noqa: PLC0415 - the extra `web`
    from he_fsm.dashboard.sources.demo import DemoSource  # noqa: PLC0415 - as above
    from he_fsm.dashboard.sources.whiteboard import WhiteboardSource  # noqa: PLC0415 - as above

    if leases is not None and len(whiteboards) != 1:
        msg = "--leases goes with one --whiteboard"
        raise click.UsageError(msg)
    found: list[Source] = [DemoSource()] if demo else []
    if not (configs or sockets or whiteboards or demo):
        if not DEFAULT_PATH.exists():
            msg = f"{DEFAULT_PATH} is not there: say what to show (--config FILE), or --demo"
            raise HeFsmError(msg)
        configs = (DEFAULT_PATH,)
    for path in configs:
        config = load_config(path)
        found.append(BrokerSource(config.broker_socket, config, path.stem))
    found += [BrokerSource(path) for path in sockets]
    found += [WhiteboardSource(path, leases) for path in whiteboards]
    return found
