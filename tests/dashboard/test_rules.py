"""What an address demands before anything is served there."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.access.rules import (
    Access,
    check_demands,
    host_name,
    is_loopback,
    networks_of,
    read_token,
)
from he_fsm.errors import HeFsmError
from tests.dashboard.asking import TOKEN

PROXY = networks_of(["192.0.2.1"])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_demands_nothing(address: str) -> None:
    check_demands(address, Access())


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.1.2.3", "alder.example.com"])  # noqa: S104
@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(), "needs TLS (--certificate FILE --key FILE) and a way to know who asks"),
        (Access(has_tls=True), "needs a way to know who asks (--token-file FILE"),
        (Access(token=TOKEN), "needs TLS (--certificate FILE --key FILE)"),
    ],
)
def test_any_other_address_demands_tls_and_a_name(address: str, access: Access, said: str) -> None:
    with pytest.raises(HeFsmError, match="can be reached from other machines") as raised:
        check_demands(address, access)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "access",
    [
        Access(has_tls=True, token=TOKEN),
        Access(has_tls=True, user_header="X-User", proxies=PROXY),
    ],
)
def test_what_is_demanded_is_enough(access: Access) -> None:
    check_demands("0.0.0.0", access)  # noqa: S104


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(user_header="X-User"), "--user-header: say from which address"),
        (Access(proxies=PROXY), "--proxy: say in which header"),
    ],
)
def test_half_a_proxy_is_refused_everywhere(access: Access, said: str) -> None:
    with pytest.raises(HeFsmError, match=said):
        check_demands("127.0.0.1", access)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.b:80", "a.b"),
        ("A.B.", "a.b"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("1.2.3.4", "1.2.3.4"),
        ("a:b", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]x", None),
        ("", None),
    ],
)
def test_the_name_in_a_host_header(host: str, name: Optional[str]) -> None:
    assert host_name(host) == name


@given(host=st.text(max_size=30))
def test_no_header_can_break_the_gate(host: str) -> None:
    """A header is either an address, `localhost`, or one of the names."""
    access = Access(names=frozenset({"alder"}))
    if access.is_ours(host):
        name = host_name(host)
        assert name in ("alder", "localhost") or set(name or "") <= set("0123456789abcdef:.%")


def test_a_token_never_shows() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))


@given(text=st.text(max_size=40))
def test_only_the_token_is_the_token(text: str) -> None:
    assert Access(token=TOKEN).is_token(text) is (text == TOKEN)
    assert not Access().is_token(text)


def write(folder: Path, text: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(text)
    path.chmod(mode)
    return path


def test_a_token_is_read_without_its_end_of_line(tmp_path: Path) -> None:
    assert read_token(write(tmp_path, TOKEN.encode() + b"\n")) == TOKEN


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (b"short", 0o600, "expected at least 20 printable characters on one line"),
        (b"\xff" * 30, 0o600, "expected at least 20 printable characters on one line"),
        (b"two words are no token, and more", 0o600, "expected at least 20 printable"),
        (b"x" * 5000, 0o600, "expected at least 20 printable"),
        (TOKEN.encode(), 0o644, "everybody on this machine may read it: chmod 640"),
    ],
)
def test_what_is_no_token_is_refused(tmp_path: Path, text: bytes, mode: int, said: str) -> None:
    with pytest.raises(HeFsmError) as raised:
        read_token(write(tmp_path, text, mode))
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_token_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HeFsmError, match="can't read the token from"):
        read_token(tmp_path / "none")


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(HeFsmError, match="--proxy here: expected an address"):
        networks_of(["here"])


def test_only_loopback_is_loopback() -> None:
    assert [is_loopback(each) for each in ("127.0.0.1", "::1", "192.0.2.1", "alder")] == [
        *(True, True, False, False)
    ]
