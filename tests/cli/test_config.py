from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.notify import hook

TEXT = """\
host: {id: 3}
storage:
  path: /srv/he-fsm
monitors: {network: {test: none}}
policy: ovirt
ovirt: none
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "he-fsm.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["config", *map(str, arguments)], catch_exceptions=True)


def test_show_prints_every_value_and_where_it_came_from(path: Path, tmp_path: Path) -> None:
    result = call("show", "--config", path)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"id: 3 # {path}:1" in lines
    assert f"base: ovirt # {path}:5" in lines
    assert "whiteboard: /srv/he-fsm/whiteboard # default" in lines
    shown = tmp_path / "shown.yaml"
    shown.write_text(result.stdout, encoding="utf-8")
    assert load_config(shown) == load_config(path)


def test_show_prints_json(path: Path) -> None:
    found = json.loads(call("show", "--config", path, "--json").stdout)
    assert found["values"] == load_config(path).to_plain()
    assert found["origins"]["storage.path"] == f"{path}:3"


def test_show_prints_a_schema_that_fits_the_file(path: Path) -> None:
    result = call("show", "--schema")
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema)


def test_show_prints_the_schema_of_what_a_hook_reads() -> None:
    result = call("show", "--hook-schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == hook.json_schema()


def test_check_says_that_a_file_can_be_used(path: Path) -> None:
    result = call("check", "--config", path)
    assert result.exit_code == 0
    assert result.stdout == f"{path}: host 3, policy ovirt: OK\n"


@pytest.mark.parametrize("command", ["show", "check"])
def test_what_can_not_be_used_is_one_sentence_and_status_2(
    command: str, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from he_fsm.cli.main import main

    path.write_text(TEXT.replace("id: 3", "id: 0"), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["he-fsm", "config", command, "--config", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"he-fsm: {path}:1:12: host.id: expected 1 or more, got '0'\n"
    )


def test_the_usual_file_is_looked_for_where_none_is_named() -> None:
    result = call("check", "--config", "/nowhere/he-fsm.yaml")
    assert isinstance(result.exception, ConfigError)
    unfolded = "".join(call("check", "--help").stdout.split())  # help is as wide as the terminal
    assert "/etc/he-fsm/he-fsm.yaml" in unfolded
