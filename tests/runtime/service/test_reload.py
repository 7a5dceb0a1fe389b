"""What a reload may change, and what needs a restart of the daemons."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.errors import ConfigError
from he_fsm.runtime.config import load_config
from he_fsm.runtime.service.daemon import reloaded

TEXT = """\
host: {id: 1}
storage: {path: shared}
monitors: {network: {test: none}}
engine: {health: {url: http://engine/}}
ovirt: none
leases: sanlock
sanlock: {lockspace: he}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "he-fsm.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ovirt: none", "ovirt: none\npolicy: {gateway_weight: 700}"),
        ("ovirt: none", "ovirt: none\nlog: {level: debug}"),
        ("{test: none}", "{test: ping, address: 192.0.2.1}"),
        ("http://engine/", "http://another/"),
        ("{id: 1}", "{id: 1, preference: -50}"),
        ("{id: 1}", "{id: 1, preference: never}"),
    ],
)
def test_what_a_running_daemon_can_take_is_taken(path: Path, old: str, new: str) -> None:
    before = load_config(path)
    path.write_text(TEXT.replace(old, new))
    after = reloaded(path, before)
    assert after == load_config(path)
    assert after != before


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("{id: 1}", "{id: 2}", "host"),
        ("path: shared", "path: elsewhere", "storage"),
        ("lockspace: he", "lockspace: another", "sanlock"),
        ("leases: sanlock\nsanlock: {lockspace: he}", "leases: embedded", "leases, sanlock"),
        ("ovirt: none", "ovirt: none\nrun_dir: elsewhere", "run_dir"),
        ("ovirt: none", "ovirt: none\npolicy: {io_timeout_s: 5}", "policy.io_timeout_s"),
    ],
)
def test_what_is_built_into_a_running_daemon_is_refused_by_name(
    path: Path, old: str, new: str, what: str
) -> None:
    before = load_config(path)
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ConfigError, match=rf"another {what} needs a restart of agent and broker"):
        reloaded(path, before)
