"""JSON-RPC: calls as the original sends them; answers and events in every form that may come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.vdsm.rpc import Answer, Event, MessageError, read, request

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_call_is_an_array_of_one_as_the_original_sends_it() -> None:
    made = request("x", "Host.ping2", {})
    assert made == b'[{"jsonrpc": "2.0", "method": "Host.ping2", "params": {}, "id": "x"}]'


@given(result=values, is_array=st.booleans(), others=st.dictionaries(st.text(), values))
def test_an_answer_is_read_as_object_and_as_array_with_fields_that_nobody_knows(
    result: Any, *, is_array: bool, others: dict[str, Any]
) -> None:
    others.pop("error", None)
    said = {**others, "jsonrpc": "2.0", "id": "x", "result": result}
    body = json.dumps([said] if is_array else said).encode()
    assert read(body) == [Answer("x", result)]


@given(body=st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_understood_or_refused(body: bytes) -> None:
    try:
        found = read(body)
    except MessageError:
        return
    assert found
    assert all(isinstance(each, (Answer, Event)) for each in found)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ({"code": 1, "message": "Virtual machine does not exist"}, 1, "does not exist"),
        ({"code": 99, "message": "Recovering", "data": [1]}, 99, "Recovering"),
        ({"message": "no code"}, -32603, "no code"),
        ({"code": True, "message": "no number"}, -32603, "no number"),
        ({"code": "7", "message": None}, -32603, "None"),
        ("only text", -32603, "only text"),
    ],
)
def test_an_error_has_a_code_and_words_whatever_came(error: Any, code: int, text: str) -> None:
    [answer] = read(json.dumps({"jsonrpc": "2.0", "id": "x", "error": error}).encode())
    assert isinstance(answer, Answer)
    assert answer.call_id == "x"
    assert answer.error is not None
    assert answer.error.code == code
    assert text in answer.error.text


def test_a_result_beside_an_empty_error_is_a_result() -> None:
    assert read(b'{"id": "x", "error": null, "result": 1}') == [Answer("x", 1)]


def test_an_event_is_what_answers_nothing() -> None:
    body = b'{"jsonrpc": "2.0", "method": "|virt|VM_status|v", "params": {"v": {"status": "Up"}}}'
    assert read(body) == [Event("|virt|VM_status|v", {"v": {"status": "Up"}})]
    assert read(b'{"method": "e", "params": [1]}') == [Event("e", {})]


def test_what_makes_no_sense_does_not_hide_what_does() -> None:
    assert read(b'[17, {"id": "x", "result": 1}, {}]') == [Answer("x", 1)]


def test_deep_nesting_is_refused_and_no_crash() -> None:
    with pytest.raises(MessageError):
        read(b"[" * 200_000)
