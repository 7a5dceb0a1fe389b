"""`he-fsm metrics`: what Prometheus is told, on standard output or for node_exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import click

from he_fsm.cli.broker import broker_option
from he_fsm.errors import BrokerError, HeFsmError
from he_fsm.files.whole import write_whole
from he_fsm.runtime.broker.client import BrokerClient

# node_exporter reads no other files of its folder. Source: its README, "Textfile Collector".
_SUFFIX: Final = ".prom"
# It runs as a user of its own.
_MODE: Final = 0o644


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Replace this file, NAME.prom in node_exporter's folder of text files, as a whole.",
)
@broker_option
def metrics(broker: BrokerClient, output: Optional[Path]) -> None:
    """
    Print the metrics of this host, in Prometheus' text format.

    They are those that the broker serves at its socket, and at `metrics.port`. With --output they
    go to a file for node_exporter's textfile collector. A file is also written where the broker
    does not answer: then it says that alone, and no old values stay.

    Exit status: 0 done; 2 the broker does not answer, or the file can't be written.
    """
    if output is not None and output.suffix != _SUFFIX:
        msg = (
            f"--output: expected a name like he-fsm{_SUFFIX}, got {output.name!r}: node_exporter"
            " reads no others"
        )
        raise HeFsmError(msg)
    try:
        text = broker.metrics()
    except BrokerError:
        if output is not None:
            # Prometheus' library takes a moment, and is needed in this case alone.
            from he_fsm.runtime.broker.metrics.families import gone  # noqa: PLC0415 - as said

            _write(output, gone())
        raise
    if output is None:
        click.echo(text.decode(), nl=False)
    else:
        _write(output, text)


def _write(path: Path, text: bytes) -> None:
    try:
        write_whole(path, text, mode=_MODE)
    except OSError as error:
        msg = f"--output: {path} can't be written: {error.strerror}"
        raise HeFsmError(msg) from error
