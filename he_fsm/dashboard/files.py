"""The files of a part's folder, read once and kept: small, compressed, and known by a checksum."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Callable, Final

import attrs
from aiohttp import web

# What the page is made of; other files of a folder are not served.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".yaml": "text/plain; charset=utf-8",
}


@attrs.frozen
class Kept:
    """One file: its bytes, the same compressed, and what it is known by."""

    data: bytes
    packed: bytes
    kind: str
    tag: str

    @classmethod
    def of(cls, path: Path) -> Kept:
        """Read a file."""
        data = path.read_bytes()
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
        tag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
        return cls(data, gzip.compress(data, 9, mtime=0), kind, tag)

    def answer(self, request: web.Request) -> web.Response:
        """Answer with the file; with its checksum alone where the browser has it already."""
        headers = {
            "Content-Type": self.kind,
            "ETag": self.tag,
            "Vary": "Accept-Encoding",
            # A newer release has other files under the same names.
            "Cache-Control": "no-cache",
        }
        if request.headers.get("If-None-Match") == self.tag:
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return web.Response(body=self.packed, headers=headers)
        return web.Response(body=self.data, headers=headers)


def file_routes(folder: Path, below: str) -> Iterator[web.RouteDef]:
    """Return a route for each file of a folder, below a path like `/static/x`."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _TYPES:
            yield web.get(f"{below}/{path.name}", serves(path))


def serves(path: Path) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that answers with one file."""
    kept = Kept.of(path)

    async def answer(request: web.Request) -> web.Response:
        return kept.answer(request)

    return answer
