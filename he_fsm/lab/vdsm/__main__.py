"""
A vdsm for one host of a lab: `python -m he_fsm.lab.vdsm CONFIG --vm-id UUID --pid-dir DIR`.

CONFIG is a configuration of he_fsm with a VM of QEMU and leases of sanlock; that VM is the one that
VM.create starts. It runs on when this ends, and is found again. The first line on standard output
is `ready` with the port.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from he_fsm.errors import HeFsmError
from he_fsm.lab.vdsm.real.host import LabVdsm, LabVdsmSettings
from he_fsm.lab.vdsm.server import VdsmServer
from he_fsm.runtime.config import load_config
from he_fsm.runtime.vdsm.tls import Certificates


def main() -> None:
    """Serve until a signal comes; exit status 2: something that was given can't be used."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    parser = _parser()
    options = parser.parse_args()
    files = (options.key, options.cert, options.ca)
    if any(files) and not all(files):
        parser.error("--key, --cert and --ca go together")
    ends = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.set())
    try:
        _serve(options, ends)
    except HeFsmError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


def _serve(options: argparse.Namespace, ends: threading.Event) -> None:
    settings = LabVdsmSettings(
        config=load_config(options.config),
        vm_id=options.vm_id,
        pid_dir=options.pid_dir,
        peers=dict(options.peer),
        recovery_s=options.recovery,
    )
    certificates = None
    if options.key is not None:
        certificates = Certificates(options.key, options.cert, options.ca)
    verbs = LabVdsm(settings)
    server = VdsmServer(
        verbs,
        host=options.host,
        port=options.port,
        certificates=certificates,
        may_be_plain=certificates is None,
    )
    server.start()
    try:
        sys.stdout.write(f"ready {server.port}\n")
        sys.stdout.flush()
        verbs.begin(server.emit)
        ends.wait()
    finally:
        server.close()
        verbs.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m he_fsm.lab.vdsm", description=__doc__)
    parser.add_argument("config", type=Path, help="a configuration with a VM of QEMU")
    parser.add_argument("--vm-id", required=True, help="the VM's UUID")
    parser.add_argument("--pid-dir", required=True, type=Path, help="where its pid file is kept")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", default=0, type=int, help="the port; 0: any")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=_peer,
        metavar="ADDRESS=ID",
        help="another host's vdsm, as VM.migrate calls it, and its host id",
    )
    parser.add_argument(
        "--recovery", default=0.5, type=float, help="how long code 99 is answered at the start"
    )
    for name in ("key", "cert", "ca"):
        parser.add_argument(f"--{name}", type=Path, help="a file for TLS, which needs all three")
    return parser


def _peer(text: str) -> tuple[str, int]:
    address, _, number = text.rpartition("=")
    if not address or not number.isdecimal():
        msg = f"expected ADDRESS=ID, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return address, int(number)


if __name__ == "__main__":
    main()
