"""A scenario in a link."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.whatif.link import (
    LINK_CHARACTERS_MAX,
    TEXT_BYTES_MAX,
    fragment_of,
    text_of,
)
from he_fsm.errors import ScenarioError


def packed(data: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.urlsafe_b64encode(packer.compress(data) + packer.flush()).decode().rstrip("=")


@given(text=st.text(max_size=300))
def test_whoever_opens_a_link_has_the_same_text(text: str) -> None:
    fragment = fragment_of(text)
    assert text_of(fragment) == text
    # Nothing in it is changed by a browser, a chat or a mail.
    assert fragment.replace("-", "").replace("_", "").isalnum()


@given(fragment=st.text(max_size=60) | st.text("1abcXYZ-_=%+/", max_size=60).map("1".__add__))
def test_any_other_fragment_is_refused_or_is_a_text(fragment: str) -> None:
    try:
        text = text_of(fragment)
    except ScenarioError:
        return
    assert isinstance(text, str)


@given(text=st.text(min_size=1, max_size=200), cut=st.integers(1, 20))
def test_a_link_that_lost_its_end_is_refused(text: str, cut: int) -> None:
    fragment = fragment_of(text)
    with pytest.raises(ScenarioError):
        text_of(fragment[: max(1, len(fragment) - cut)])


def test_a_link_that_unpacks_to_too_much_is_refused_before_it_does() -> None:
    with pytest.raises(ScenarioError, match="unpacks to more than"):
        text_of("1" + packed(b" " * (50 * TEXT_BYTES_MAX))[:LINK_CHARACTERS_MAX])


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("", "holds no scenario"),
        ("2abc", "holds no scenario"),
        ("1!!!!", "is damaged"),
        ("1" + packed(b"\xff"), "is damaged"),
        ("1" + "a" * LINK_CHARACTERS_MAX, "is too long"),
        ("1" + packed(b"a") + "AAAA", "is cut off"),
    ],
)
def test_what_is_wrong_with_a_link_is_said(fragment: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        text_of(fragment)


def test_a_file_that_is_too_large_for_a_link_is_refused() -> None:
    noise = base64.b85encode(bytes(index * 7919 % 251 for index in range(90_000))).decode()
    scrambled = "".join(chr(33 + hash_of(index, noise) % 90) for index in range(60_000))
    with pytest.raises(ScenarioError, match="save it as a file"):
        fragment_of(scrambled)
    with pytest.raises(ScenarioError, match="save it as a file"):
        fragment_of(" " * (TEXT_BYTES_MAX + 1))


def hash_of(index: int, salt: str) -> int:
    return zlib.crc32(f"{index}{salt[:9]}".encode())
