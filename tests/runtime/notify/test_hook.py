"""Real commands."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import sys
import time
from pathlib import Path
from unittest.mock import ANY

import attrs
import jsonschema
import pytest

from he_fsm.errors import NotifyError
from he_fsm.runtime.broker.protocol import event_from_json, event_to_json
from he_fsm.runtime.notify.hook import Hook, event_as_json, json_schema
from he_fsm.runtime.ports import Event, Message
from he_fsm.testing.waiting import until

MESSAGE = Message(
    Event(
        subject="EngineUp-EngineDown",
        host_id=2,
        hostname="nöde2; rm -rf /",
        source="EngineUp",
        to="EngineDown",
        edge="vm_gone",
        why="the VM\nis gone",
    ),
    at=dt.datetime(2026, 5, 1, 12, 0, 0, tzinfo=dt.timezone.utc),
    id="0123",
)


def python(code: str, *arguments: str, timeout_s: float = 30.0) -> Hook:
    return Hook(argv=(sys.executable, "-c", code, *arguments), timeout_s=timeout_s)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Who was killed, and nobody has asked for its status, still has its number.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_hook_reads_the_event_as_json(tmp_path: Path) -> None:
    read = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    python(read, str(tmp_path / "event")).send(MESSAGE)
    assert json.loads((tmp_path / "event").read_text()) == {
        "id": "0123",
        "at": "2026-05-01T12:00:00+00:00",
        "subject": "EngineUp-EngineDown",
        "host_id": 2,
        "hostname": "nöde2; rm -rf /",
        "source": "EngineUp",
        "to": "EngineDown",
        "edge": "vm_gone",
        "why": "the VM\nis gone",
    }


@pytest.mark.parametrize("is_over", [False, True])
def test_a_hook_reads_an_alarm_as_json(tmp_path: Path, is_over: bool) -> None:
    alarm = Event(
        subject="Alarm: engine-down",
        host_id=2,
        hostname="node2",
        alarm="engine-down",
        told=3,
        is_over=is_over,
        why="the engine runs nowhere",
    )
    read = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    python(read, str(tmp_path / "event")).send(Message(alarm, at=MESSAGE.at, id="0123"))
    assert json.loads((tmp_path / "event").read_text()) == {
        "id": "0123",
        "at": "2026-05-01T12:00:00+00:00",
        "subject": "Alarm: engine-down",
        "host_id": 2,
        "hostname": "node2",
        "alarm": "engine-down",
        "told": 3,
        "is_over": is_over,
        "why": "the engine runs nowhere",
    }


def test_the_page_shows_what_a_hook_reads() -> None:
    page = Path(__file__).parents[3] / "docs" / "broker.md"
    shown = re.findall(r"^```json\n(.*)\n```$", page.read_text(encoding="utf-8"), re.MULTILINE)
    alarm = attrs.evolve(MESSAGE.event, alarm="engine-down")
    events = [MESSAGE, Message(alarm, at=MESSAGE.at, id="0123")]
    assert [list(json.loads(text)) for text in shown] == [
        list(event_as_json(message)) for message in events
    ]


ALARM = attrs.evolve(MESSAGE.event, alarm="engine-down", source="", to="", edge="")


def test_the_schema_is_that_of_what_a_hook_reads() -> None:
    page = Path(__file__).parents[3] / "docs" / "broker.md"
    shown = re.findall(r"^```json\n(.*)\n```$", page.read_text(encoding="utf-8"), re.MULTILINE)
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    made = [event_as_json(Message(each, at=MESSAGE.at)) for each in (MESSAGE.event, ALARM)]
    for event in (*made, *map(json.loads, shown)):
        jsonschema.validate(event, schema)
    edge, alarm = made
    for wrong in ({**edge, "from": "EngineUp"}, {**edge, **alarm}, {**alarm, "told": -1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert all(each.get("description") for each in schema["properties"].values())


def test_what_a_hook_reads_has_the_names_that_the_socket_has() -> None:
    for event in (MESSAGE.event, ALARM):
        plain = event_as_json(Message(event, at=MESSAGE.at))
        own = {key: plain.pop(key) for key in ("id", "at")}
        assert own == {"id": ANY, "at": ANY}
        assert event_from_json(plain) == event
        assert plain.items() <= event_to_json(event).items()


def test_no_shell_reads_the_words(tmp_path: Path) -> None:
    Hook(argv=("touch", f"{tmp_path}/a;b $(c)")).send(MESSAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["a;b $(c)"]


def test_a_good_end_is_logged_with_the_output(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    python("print('called\\nthe pager')").send(MESSAGE)
    assert caplog.messages == [f"{sys.executable} ended with status 0: called the pager"]


def test_another_status_is_an_error_with_the_output() -> None:
    hook = python("import sys; sys.stderr.write('no pager'); sys.exit(3)")
    with pytest.raises(NotifyError, match=r"ended with status 3: no pager$") as raised:
        hook.send(MESSAGE)
    assert not raised.value.can_retry


def test_a_hook_that_is_killed_says_by_what() -> None:
    with pytest.raises(NotifyError, match=r"ended with signal 9$"):
        python("import os; os.kill(os.getpid(), 9)").send(MESSAGE)


def test_output_is_limited_and_holds_up_nobody() -> None:
    hook = python("print('x' * 3_000_000); raise SystemExit(1)")
    with pytest.raises(NotifyError) as raised:
        hook.send(MESSAGE)
    assert 2048 <= str(raised.value).count("x") < 2100


def test_a_hook_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "print('begun', flush=True)\n"
        "time.sleep(600)\n"
    )
    began_at = time.monotonic()
    with pytest.raises(NotifyError, match="did not end within 3 s: killed: begun") as raised:
        python(code, str(tmp_path / "pids"), timeout_s=3.0).send(MESSAGE)
    assert not raised.value.can_retry
    assert time.monotonic() - began_at < 30
    for pid in (tmp_path / "pids").read_text().split():
        until(lambda pid=pid: not is_running(int(pid)))  # type: ignore[misc]


def test_a_child_that_goes_on_is_not_waited_for() -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)'])\n"
        "print('begun')\n"
    )
    began_at = time.monotonic()
    python(code).send(MESSAGE)
    assert time.monotonic() - began_at < 7


def test_a_hook_that_does_not_read_is_well() -> None:
    python("import os; os.close(0)").send(MESSAGE)


def test_a_command_that_is_not_there_is_said_so() -> None:
    with pytest.raises(NotifyError, match=r"/nowhere/hook can't be run: .*No such file"):
        Hook(argv=("/nowhere/hook",)).send(MESSAGE)


def test_no_descriptor_reaches_the_hook(tmp_path: Path) -> None:
    with (tmp_path / "lease").open("w") as lease:
        os.set_inheritable(lease.fileno(), True)
        code = f"import os, sys; sys.exit(os.path.exists('/proc/self/fd/{lease.fileno()}'))"
        python(code).send(MESSAGE)
