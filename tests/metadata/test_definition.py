"""The VM's definition on the shared storage: whole or refused, whatever breaks off or decays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.metadata.definition import (
    AREA_BYTES,
    HEADER_BYTES,
    TEXT_BYTES_MAX,
    DefinitionError,
    Document,
    Place,
    encode,
    newest,
    place_of_next,
)

EMPTY = bytes(AREA_BYTES)
documents = st.builds(Document, st.integers(1, 10**12), st.text(max_size=300))


def area(document: Document) -> bytes:
    return b"".join(encode(document)).ljust(AREA_BYTES, b"\0")


@given(documents)
def test_what_is_written_is_read(document: Document) -> None:
    header, body = encode(document)
    assert len(header) == HEADER_BYTES
    assert len(body) % HEADER_BYTES == 0
    assert newest([EMPTY, area(document)]) == document


@given(documents, documents)
def test_the_higher_version_counts_and_the_lower_one_is_replaced(
    first: Document, second: Document
) -> None:
    second = second._replace(version=first.version + 1)
    areas = [area(first), area(second)]
    assert newest(areas) == newest(areas[::-1]) == second
    assert place_of_next(areas) == Place(area=0, after=second.version)


def test_an_empty_storage_has_no_document() -> None:
    assert newest([EMPTY, EMPTY]) is None
    assert place_of_next([EMPTY, EMPTY]) == Place(area=0, after=0)


@given(documents, st.binary(min_size=1, max_size=200), st.integers(0, 300))
def test_a_write_that_breaks_off_before_its_header_leaves_the_last_version(
    document: Document, torn: bytes, at: int
) -> None:
    older = area(document._replace(version=document.version - 1))
    place = HEADER_BYTES + at
    broken = older[:place] + torn + older[place + len(torn) :]
    assert newest([area(document), broken]) == document


def test_a_document_that_differs_from_its_checksum_is_refused() -> None:
    good = area(Document(7, "<domain/>"))
    bad = good.replace(b"<domain/>", b"<domains>")
    with pytest.raises(DefinitionError, match="version 7 of the definition differs"):
        newest([area(Document(6, "<domain/>")), bad])


def test_something_else_on_the_storage_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no definition of a VM"):
        newest([b"\x7fELF".ljust(AREA_BYTES, b"\0"), EMPTY])


def test_a_text_that_does_not_fit_is_refused() -> None:
    encode(Document(1, "x" * TEXT_BYTES_MAX))
    with pytest.raises(DefinitionError, match="is the most"):
        encode(Document(1, "x" * (TEXT_BYTES_MAX + 1)))
