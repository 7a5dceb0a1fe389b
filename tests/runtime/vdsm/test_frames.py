"""STOMP's frames: bytes as vdsm's own code makes and takes them, split anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.vdsm import frames
from he_fsm.runtime.vdsm.frames import Frame, FrameError, Parser, encode

# Bytes that the original encoder made (vdsm 4.50.7, yajsonrpc/stomp.py).
REQUEST = b'[{"jsonrpc": "2.0", "method": "Host.ping2", "params": {}, "id": "x"}]'
ORIGINAL = [
    (
        Frame("CONNECT", {"accept-version": "1.2", "heart-beat": "0,24000"}),
        b"CONNECT\naccept-version:1.2\nheart-beat:0,24000\n\n\0",
    ),
    (
        Frame("SUBSCRIBE", {"destination": "d", "ack": "auto", "id": "i"}),
        b"SUBSCRIBE\ndestination:d\nack:auto\nid:i\n\n\0",
    ),
    (
        Frame(
            "SEND",
            {
                "destination": "jms.topic.vdsm_requests",
                "content-type": "application/json",
                "reply-to": "r",
            },
            REQUEST,
        ),
        b"SEND\ndestination:jms.topic.vdsm_requests\ncontent-type:application/json\n"
        b"reply-to:r\ncontent-length:69\n\n" + REQUEST + b"\0",
    ),
    (Frame("ERROR", {}, b"Missing id header"), b"ERROR\ncontent-length:17\n\nMissing id header\0"),
]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = texts.filter(lambda key: key != frames.CONTENT_LENGTH)
commands = st.sampled_from(
    ["CONNECT", "CONNECTED", "SUBSCRIBE", "UNSUBSCRIBE", "SEND", "MESSAGE", "ERROR", "RECEIPT"]
)
any_frame = st.builds(Frame, commands, st.dictionaries(keys, texts, max_size=4), st.binary())


def parsed(*pieces: bytes) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


@pytest.mark.parametrize(
    ("frame", "original"), ORIGINAL, ids=[frame.command for frame, _ in ORIGINAL]
)
def test_frames_are_written_as_the_original_writes_them(frame: Frame, original: bytes) -> None:
    assert encode(frame) == original


@given(sent=st.lists(any_frame, max_size=4), data=st.data())
def test_frames_are_read_as_they_were_sent_wherever_they_are_split(
    sent: list[Frame], data: st.DataObject
) -> None:
    beats = data.draw(st.lists(st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]), min_size=5))
    stream = b"".join(beat + encode(frame) for beat, frame in zip(beats, sent)) + beats[-1]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)])]
    assert parsed(*pieces) == sent


@given(frame=any_frame)
def test_a_frame_is_read_byte_by_byte(frame: Frame) -> None:
    assert parsed(*(bytes([byte]) for byte in encode(frame))) == [frame]


@given(stream=st.binary(), cut=st.integers(0, 100))
def test_what_is_no_frame_is_refused_or_waited_for_however_it_is_split(
    stream: bytes, cut: int
) -> None:
    def outcome(*pieces: bytes) -> object:
        try:
            return parsed(*pieces)
        except FrameError as error:
            return str(error)

    assert outcome(stream) == outcome(stream[:cut], stream[cut:])


@pytest.mark.parametrize(
    ("stream", "frame"),
    [
        (b"MESSAGE\r\na:b\r\n\r\nx\0", Frame("MESSAGE", {"a": "b"}, b"x")),
        (b"MESSAGE\na:first\na:second\n\n\0", Frame("MESSAGE", {"a": "first"})),
        (b"MESSAGE\na\\cb:\\\\\\n\\r\n\n\0", Frame("MESSAGE", {"a:b": "\\\n\r"})),
        (b"MESSAGE\n\nup to the first NUL\0", Frame("MESSAGE", {}, b"up to the first NUL")),
        (b"MESSAGE\ncontent-length:3\n\n\0\0\0\0", Frame("MESSAGE", {}, b"\0\0\0")),
        (b"MESSAGE\ncontent-length:0\n\n\0", Frame("MESSAGE")),
        (b"MESSAGE\na:\n\n\0", Frame("MESSAGE", {"a": ""})),
        ("MESSAGE\na:ü\n\n\0".encode(), Frame("MESSAGE", {"a": "ü"})),
    ],
)
def test_every_form_that_the_protocol_has_is_read(stream: bytes, frame: Frame) -> None:
    assert parsed(stream) == [frame]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"MESSAGE\na:b:c\n\n\0", "colon that is not escaped"),
        (b"MESS:AGE\n\n\0", "no command"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no command"),
        (b"MESSAGE\na:\\t\n\n\0", "nor an escape"),
        (b"MESSAGE\na:b\\\n\n\0", "nor an escape"),
        (b"MESSAGE\na:\xff\n\n\0", "neither text"),
        (b"MESSAGE\nno colon\n\n\0", "without a colon"),
        (b"MESSAGE\ncontent-length:two\n\n\0", "no number"),
        (b"MESSAGE\ncontent-length:-1\n\n\0", "no number"),
        (b"MESSAGE\ncontent-length:1\n\nxx\0", "no NUL follows the 1 bytes"),
        (b"MESSAGE\ncontent-length:99999999999\n\n", "longer than"),
        (b"x" * (frames.LINE_MAX + 1), "a line is longer"),
        (b"MESSAGE\n" + b"".join(b"a%d:b\n" % n for n in range(300)), "more than 256 headers"),
    ],
)
def test_what_can_not_be_understood_is_refused(stream: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        parsed(stream)


def test_a_large_body_in_many_pieces_is_not_searched_anew_with_each() -> None:
    looked_at = 0

    class Counting(bytearray):
        def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
            nonlocal looked_at
            looked_at += len(self) - start
            return super().find(what, start)

    parser = Parser()
    parser._bytes = Counting()
    body = b"x" * 100_000
    for piece in [b"MESSAGE\n\n", *[body[at : at + 100] for at in range(0, len(body), 100)]]:
        assert parser.feed(piece) == []
    assert parser.feed(b"\0") == [Frame("MESSAGE", {}, body)]
    assert looked_at < 3 * len(body)
