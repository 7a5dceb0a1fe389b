from __future__ import annotations

import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.runtime.service.log import LineFormatter, Repeats, is_journal, one_line, set_up_logging


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("he_fsm")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def untimed(text: str) -> str:
    """Return lines without the time, which each of them has."""
    lines = text.splitlines(keepends=True)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    return "".join(line[len("2026-11-30 12:00:00 ") :] for line in lines)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(clock: Clock, caplog: pytest.LogCaptureFixture) -> Repeats:
    caplog.set_level(logging.DEBUG)
    return Repeats(logging.getLogger("he_fsm.test"), 900.0, clock)


def test_a_line_begins_with_its_level_where_nobody_else_keeps_it(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as out:
        set_up_logging("info", out, {})
        logging.getLogger("he_fsm.agent").info("score %d", 2400)
        logging.getLogger("he_fsm.agent").debug("not wanted")
        logging.getLogger("urllib3").info("libraries are quiet")
        logging.getLogger("urllib3").warning("unless it matters")
        out.seek(0)
        assert untimed(out.read()) == "info: score 2400\nwarning: unless it matters\n"


def test_the_journal_gets_priorities(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as out:
        status = os.fstat(out.fileno())
        set_up_logging("debug", out, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        log = logging.getLogger("he_fsm.agent")
        for level in (10, 20, 25, 30, 40, 50):
            log.log(level, "x")
        out.seek(0)
        assert out.read() == "<7>x\n<6>x\n<6>x\n<4>x\n<3>x\n<2>x\n"


def test_the_journal_of_the_parent_is_not_ours(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as out:
        assert not is_journal(out, {"JOURNAL_STREAM": "8:12345"})
        assert not is_journal(out, {})


def test_a_stream_without_a_descriptor_is_no_journal() -> None:
    out = io.StringIO()
    set_up_logging("info", out, {"JOURNAL_STREAM": "8:12345"})
    logging.getLogger("he_fsm").info("x")
    assert untimed(out.getvalue()) == "info: x\n"


def test_an_event_is_one_line_whatever_it_holds() -> None:
    given = {"msg": "host %s", "args": ("a\r\n<2>forged\x1b[2J\u2028b",), "levelno": 30}
    record = logging.makeLogRecord(given)
    assert LineFormatter(for_journal=True).format(record) == "<4>host a <2>forged [2J b"
    assert one_line(" a\n\n b\tc ") == "a  b c"


def test_each_line_of_a_trace_has_the_priority() -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        record = logging.makeLogRecord(
            {"msg": "a bug", "levelno": logging.ERROR, "exc_info": sys.exc_info()}
        )
    lines = LineFormatter(for_journal=True).format(record).splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


def test_setting_up_twice_logs_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as out:
        set_up_logging("info", out, {})
        set_up_logging("warning", out, {})
        logging.getLogger("he_fsm").info("no")
        logging.getLogger("he_fsm").warning("once")
        out.seek(0)
        assert untimed(out.read()) == "warning: once\n"


def test_the_first_complaint_is_said_at_once_and_its_repeats_seldom(
    repeats: Repeats, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(180):
        repeats.complain("storage", "can't read: %s", "timed out")
        clock.now += 10.0
    assert caplog.messages == [
        "can't read: timed out",
        "can't read: timed out (90 times in the last 15 min)",
    ]


def test_the_end_is_said_once_with_how_long_it_took(
    repeats: Repeats, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    repeats.end("storage", "can be read again")
    repeats.complain("storage", "can't read")
    clock.now += 10.0
    repeats.complain("storage", "can't read")
    clock.now += 32.0
    repeats.end("storage", "can be read again")
    repeats.end("storage", "can be read again")
    assert caplog.messages == ["can't read", "can be read again (after 42 s, 2 times)"]
    assert caplog.records[-1].levelno == logging.INFO


def test_after_the_end_it_is_news_again(repeats: Repeats, caplog: pytest.LogCaptureFixture) -> None:
    repeats.complain("storage", "can't read")
    repeats.end("storage", "read")
    repeats.complain("storage", "can't read")
    assert caplog.messages == ["can't read", "read (after 0 s, once)", "can't read"]


def test_keys_do_not_hide_each_other(repeats: Repeats, caplog: pytest.LogCaptureFixture) -> None:
    repeats.complain("storage", "one")
    repeats.complain("broker", "two", level=logging.ERROR)
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("WARNING", "one"),
        ("ERROR", "two"),
    ]
