"""Frames in a file that ends, or is damaged, anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from he_fsm.history.frames import KEY, LOOK, Damage, Frame, framed, unframed

contents = st.lists(
    st.tuples(st.sampled_from((KEY, LOOK)), st.binary(max_size=60)), min_size=1, max_size=6
)


def written(frames: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(framed(kind, content) for kind, content in frames)


def found(data: bytes) -> list[tuple[bytes, bytes]]:
    return [(each.kind, each.content) for each in unframed(data) if isinstance(each, Frame)]


@given(contents)
def test_what_was_written_comes_out(frames: list[tuple[bytes, bytes]]) -> None:
    assert found(written(frames)) == frames


@given(contents, st.data())
def test_of_a_file_cut_anywhere_all_whole_frames_come_out(
    frames: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole = written(frames)
    cut = data.draw(st.integers(0, len(whole)))
    out = list(unframed(whole[:cut]))
    ends = [len(written(frames[: count + 1])) for count in range(len(frames))]
    assert found(whole[:cut]) == [frame for frame, end in zip(frames, ends) if end <= cut]
    torn = [each for each in out if isinstance(each, Damage)]
    assert [each.is_torn for each in torn] == ([] if cut in (0, *ends) else [True])


@given(contents, st.data())
def test_a_changed_byte_costs_no_frame_from_the_next_that_stands_by_itself_on(
    frames: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    whole = bytearray(written(frames))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    ends = [len(written(frames[: count + 1])) for count in range(len(frames))]
    hit = next(number for number, end in enumerate(ends) if at < end)
    after = frames[hit + 1 :]
    first_key = next((number for number, each in enumerate(after) if each[0] == KEY), len(after))
    assert found(bytes(whole)) == frames[:hit] + after[first_key:]


@given(st.binary(max_size=400))
def test_no_bytes_raise_and_all_are_accounted_for(data: bytes) -> None:
    ends = 0
    for each in unframed(data):
        assert each.at == ends
        ends = each.ends_at if isinstance(each, Frame) else each.until
    assert ends == len(data)


def test_a_file_full_of_beginnings_is_given_up_soon() -> None:
    data = (b"HK\xff\xff\x00\x00abcd" * 200_000)[: 2**20]
    assert list(unframed(data)) == [Damage(0, len(data), is_torn=True)]
