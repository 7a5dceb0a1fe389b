"""What two ends say to each other over vdsm's wire, without what differs from run to run."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from he_fsm.runtime.vdsm.frames import Frame, Parser

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@attrs.define
class Streams:
    """The bytes of each direction."""

    client: bytearray = attrs.field(factory=bytearray)
    server: bytearray = attrs.field(factory=bytearray)


@contextmanager
def recorded(port: int, streams: Streams) -> Iterator[int]:
    """Listen in front of a server, for one connection; yields the port to connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near: list[socket.socket] = []

        def copy(source: socket.socket, target: socket.socket, said: bytearray) -> None:
            try:
                while data := source.recv(65536):
                    said += data
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                # The other direction has ended both.
                pass

        def serve() -> None:
            client, _ = listening.accept()
            server = socket.create_connection(("127.0.0.1", port))
            near.extend((client, server))
            back = threading.Thread(target=copy, args=(server, client, streams.server))
            back.start()
            copy(client, server, streams.client)
            back.join()

        serving = threading.Thread(target=serve)
        serving.start()
        yield int(listening.getsockname()[1])
        serving.join(10)
        for each in near:
            each.close()


def frames_of(stream: bytes) -> list[Frame]:
    """Return the frames of one direction; its heart-beats go by the clock, and are left out."""
    return Parser().feed(stream)


def told(frames: list[Frame], names: dict[str, str]) -> list[dict[str, Any]]:
    """
    Return frames for a file: headers in their order, bodies as JSON.

    An id that a client invents is a number, by *names*, which is for both directions.
    """

    def plain(text: str) -> str:
        return _UUID.sub(lambda found: names.setdefault(found[0], f"id-{len(names)}"), text)

    return [
        {
            "command": frame.command,
            "headers": [[key, plain(value)] for key, value in frame.headers.items()],
            "body": _timeless(json.loads(plain(frame.body.decode()))) if frame.body else None,
        }
        for frame in frames
    ]


def _timeless(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: 0 if key == "notify_time" else _timeless(said[key]) for key in said}
    return said
