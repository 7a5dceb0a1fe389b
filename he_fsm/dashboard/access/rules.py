"""Who may ask, as values: addresses, names, token, proxy; and what is refused at the start."""

from __future__ import annotations

import hmac
import ipaddress
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Optional, Union

import attrs

from he_fsm.errors import HeFsmError

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# Shorter ones can be guessed.
TOKEN_CHARACTERS_MIN: Final = 20
_TOKEN_BYTES_MAX: Final = 4096
_NO_TOKEN: Final = f"at least {TOKEN_CHARACTERS_MIN} printable characters on one line"


@attrs.frozen(kw_only=True)
class Access:
    """
    Who may ask, and how it is known.

    `names`: names of this machine that a request may be for, in small letters; addresses and
    `localhost` need none. `token`: what people log in with; None: nobody has to. `user_header`: the
    header in which a proxy names its user; `proxies`: the addresses from which it is believed.
    `has_tls`: this process itself speaks TLS. `allows_changes`: maintenance and moves can be asked.
    """

    names: frozenset[str] = frozenset()
    token: Optional[str] = attrs.field(default=None, repr=False)
    user_header: Optional[str] = None
    proxies: tuple[Network, ...] = ()
    has_tls: bool = False
    allows_changes: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who he is."""
        return self.token is None and self.user_header is None

    def is_token(self, text: str) -> bool:
        """Whether this is the token; takes as long for every other text of that length."""
        return self.token is not None and hmac.compare_digest(
            self.token.encode("utf-8", "replace"), text.encode("utf-8", "replace")
        )

    def is_proxy(self, address: Optional[str]) -> bool:
        """Whether the proxy's header is believed from this address."""
        try:
            found = ipaddress.ip_address((address or "").partition("%")[0])
        except ValueError:
            return False
        return any(found in network for network in self.proxies)

    def is_ours(self, host: str) -> bool:
        """
        Whether a request's `Host` names this machine.

        A page of another site that has its own name point at this machine (DNS rebinding) sends
        that name. An address or `localhost` can't be rebound.
        """
        name = host_name(host)
        if name is None:
            return False
        if name == "localhost" or name in self.names:
            return True
        return is_address(name)


def host_name(host: str) -> Optional[str]:
    """Return the name of a `Host` header without its port, in small letters; None: it has none."""
    text = host.strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        is_form = bool(bracket) and (not port or (port[0] == ":" and port[1:].isdecimal()))
    else:
        name, colon, port = text.partition(":")
        is_form = not colon or port.isdecimal()
    return name.rstrip(".") or None if is_form else None


def is_address(name: str) -> bool:
    """Whether a name is an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def check_demands(address: str, access: Access) -> None:
    """
    Check that what is served at an address is protected as that address demands.

    Raises:
        HeFsmError: it is not, and what to add.
    """
    if access.user_header is not None and not access.proxies:
        msg = "--user-header: say from which address the proxy asks: --proxy ADDRESS"
        raise HeFsmError(msg)
    if access.proxies and access.user_header is None:
        msg = "--proxy: say in which header the proxy names its user: --user-header NAME"
        raise HeFsmError(msg)
    if is_loopback(address):
        return
    missing = []
    if not access.has_tls:
        missing.append("TLS (--certificate FILE --key FILE)")
    if access.is_open:
        missing.append(
            "a way to know who asks (--token-file FILE, or --user-header NAME with --proxy ADDRESS)"
        )
    if missing:
        msg = f"{address} can be reached from other machines, which needs {' and '.join(missing)}"
        raise HeFsmError(msg)


def read_token(path: Path) -> str:
    """
    Read the token that people log in with.

    Raises:
        HeFsmError: the file can't be read, others may read it, or it holds no token.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = file.read(_TOKEN_BYTES_MAX + 1)
    except OSError as error:
        msg = f"can't read the token from {path}: {error.strerror}"
        raise HeFsmError(msg) from error
    if mode & 0o007:
        msg = f"{path}: everybody on this machine may read it: chmod 640 {path}"
        raise HeFsmError(msg)
    try:
        token = data.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if len(data) > _TOKEN_BYTES_MAX or len(token) < TOKEN_CHARACTERS_MIN or not _is_word(token):
        msg = f"{path}: expected {_NO_TOKEN}, as of: openssl rand -hex 32"
        raise HeFsmError(msg)
    return token


def _is_word(token: str) -> bool:
    return token.isprintable() and " " not in token


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """
    Return networks of addresses or of `ADDRESS/BITS`.

    Raises:
        HeFsmError: one is neither.
    """
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            msg = f"--proxy {text}: expected an address like 192.0.2.1 or 192.0.2.0/24"
            raise HeFsmError(msg) from error
    return tuple(found)
