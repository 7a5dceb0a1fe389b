"""
TLS with certificates on both sides, and none, over bytes: who calls does the reading and sending.

vdsm's own certificate, key and CA serve for both ends, as vdsm's own client has it. The chain is
verified against the CA. Names are not: an agent speaks to `localhost`, and a certificate of oVirt's
has the host's name or address. (vdsm verifies no names either, unless `verify_client_cert` is set.)
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, Optional, Protocol

import attrs

from he_fsm.errors import HeFsmError

# What a TLS record has at most, so that one read of it is one of those (bytes).
_PIECE: Final = 16384
_PKI: Final = Path("/etc/pki/vdsm")
_HINTS: Final[Mapping[type[OSError], str]] = {
    FileNotFoundError: "; a host that oVirt has deployed has it, and a vdsm without TLS needs none",
    PermissionError: "; vdsm's files are for the user vdsm and the group kvm",
}


class TlsError(HeFsmError):
    """There is no trust between the two sides, or the files for it can't be used."""


@attrs.frozen
class Certificates:
    """
    The files of one side, PEM; what vdsm has where nothing is said.

    They are read for each connection anew, so that renewed ones count.
    """

    key: Path = _PKI / "keys" / "vdsmkey.pem"
    certificate: Path = _PKI / "certs" / "vdsmcert.pem"
    ca: Path = _PKI / "certs" / "cacert.pem"

    def context(self, *, is_server: bool) -> ssl.SSLContext:
        """
        Return what a connection needs.

        Raises:
            TlsError: a file is missing, can't be read, or is not what it should be.
        """
        for path in (self.key, self.certificate, self.ca):
            try:
                path.open("rb").close()
            except OSError as error:
                msg = f"{path}: {error.strerror}{_HINTS.get(type(error), '')}"
                raise TlsError(msg) from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.ca)
        except (OSError, ValueError) as error:
            msg = f"{self.ca}: no certificates in PEM form"
            raise TlsError(msg) from error
        try:
            context.load_cert_chain(self.certificate, self.key, self._refuse_to_ask)
        except (OSError, ValueError) as error:
            msg = f"{self.certificate} and {self.key}: no certificate and its key in PEM form"
            raise TlsError(msg) from error
        return context

    def _refuse_to_ask(self) -> NoReturn:
        """Refuse a key with a password: the library would ask the terminal for it, and wait."""
        msg = f"{self.key}: the key is encrypted; vdsm's is not"
        raise TlsError(msg)


class Channel(Protocol):
    """What turns a peer's bytes into plain ones, and plain ones into those for the peer."""

    def received(self, data: bytes) -> bytes:
        """
        Return the plain bytes in what came; empty: none yet.

        Raises:
            TlsError: the peer is not trusted, trusts not us, or speaks no TLS.
        """

    def send(self, data: bytes) -> None:
        """
        Take plain bytes for the peer; they wait until the two sides trust each other.

        Raises:
            TlsError: as `received`.
        """

    def outgoing(self) -> bytes:
        """Return the bytes that have to be sent now, and forget them."""

    @property
    def is_closed(self) -> bool:
        """Whether the peer said that it sends nothing more."""

    @property
    def is_trusted(self) -> bool:
        """Whether the handshake is over, as far as this end knows."""


class Plain:
    """No TLS: the peer is taken for whom it says it is."""

    is_closed = False
    is_trusted = True

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def received(self, data: bytes) -> bytes:
        """Return the bytes as they are."""
        return data

    def send(self, data: bytes) -> None:
        """Keep the bytes for `outgoing`."""
        self._waiting.append(data)

    def outgoing(self) -> bytes:
        """Return what has to be sent."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data


class Tls:
    """One end of TLS; the handshake goes on by itself with every byte that comes."""

    def __init__(self, context: ssl.SSLContext, *, is_server: bool) -> None:
        """Begin; a client has its first bytes to send at once."""
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=is_server)
        self._is_trusted = False
        self._is_closed = False
        self._waiting: list[bytes] = []
        self._shake()

    @property
    def is_closed(self) -> bool:
        """Whether the peer said that it sends nothing more."""
        return self._is_closed

    @property
    def is_trusted(self) -> bool:
        """Whether the handshake is over, as far as this end knows."""
        return self._is_trusted

    def received(self, data: bytes) -> bytes:
        """Return the plain bytes in what came."""
        self._in.write(data)
        if not self._is_trusted and not self._shake():
            return b""
        pieces = []
        while (piece := self._read()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    def send(self, data: bytes) -> None:
        """Encrypt plain bytes, or keep them until that can be done."""
        self._waiting.append(data)
        if self._is_trusted:
            self._encrypt()

    def outgoing(self) -> bytes:
        """Return the encrypted bytes that have to be sent."""
        return self._out.read()

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, OSError) as error:
            raise TlsError(_reason(error)) from error
        self._is_trusted = True
        self._encrypt()
        return True

    def _encrypt(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        # Nothing is an end of the connection to Python 3.9.
        if not data:
            return
        try:
            self._tls.write(data)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(_reason(error)) from error

    def _read(self) -> Optional[bytes]:
        try:
            piece = self._tls.read(_PIECE)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            self._is_closed = True
            return None
        except (ssl.SSLError, OSError) as error:
            raise TlsError(_reason(error)) from error
        if not piece:
            self._is_closed = True
        return piece or None


def _reason(error: OSError) -> str:
    """Return what OpenSSL says, in its own words for an alert or a chain."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not trusted: {error.verify_message}"
    words = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return f"TLS: {str(words).replace('_', ' ').lower()}"
