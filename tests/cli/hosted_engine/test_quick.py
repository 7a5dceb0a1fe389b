"""The quick way to the broker's socket leads to where the whole configuration leads, or nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.cli.hosted_engine import here
from he_fsm.cli.hosted_engine.quick import RUN_DIR, SETUP_DIR, SOCKET, socket_of
from he_fsm.runtime.config import DEFAULT_PATH, Config, OvirtConfig, load_config

REST = "host: {id: 1}\nstorage: {path: shared}\nmonitors: {network: {test: none}}\n"


def test_what_is_usual_is_what_the_configuration_has() -> None:
    assert Path(here.CONFIG) == DEFAULT_PATH
    assert Path(SETUP_DIR) == OvirtConfig().setup_dir
    fields = Config.__attrs_attrs__  # type: ignore[attr-defined]
    assert Path(RUN_DIR) == next(each.default for each in fields if each.name == "run_dir")


@pytest.mark.parametrize(
    ("text", "conf", "is_known"),
    [
        ("ovirt: none\nrun_dir: run\n", None, True),
        ("ovirt: null\nrun_dir: /var/run/one\n", None, True),
        ("ovirt: null\n", None, True),
        ("ovirt: {dir: setup}\nrun_dir: run\n", "vmid=1\nhost_id=1\n", True),
        ("ovirt: {dir: setup}\nrun_dir: run\n", "vmid=None\nhost_id=1\n", False),
        ("ovirt: {dir: setup}\nrun_dir: run\n", "host_id=1\n", False),
        ("ovirt: {dir: setup}\nrun_dir: run\n", None, False),
        ("ovirt: none\nrun_dir: [1]\n", None, False),
        ("ovirt: none\nrun_dir: {\n", None, False),
        ("- 1\n", None, False),
    ],
)
def test_the_quick_way_is_right_or_none(
    text: str, conf: Optional[str], is_known: bool, tmp_path: Path
) -> None:
    path = tmp_path / "he-fsm.yaml"
    path.write_text(REST + text if text[0] != "-" else text)
    (tmp_path / "setup").mkdir()
    if conf is not None:
        (tmp_path / "setup" / "hosted-engine.conf").write_text(conf)
    found = socket_of(path)
    assert (found is not None) is is_known
    if is_known:
        assert found == load_config(path).broker_socket
        assert found is not None
        assert found.name == SOCKET


def test_a_file_that_is_not_there_is_no_way(tmp_path: Path) -> None:
    assert socket_of(tmp_path / "none.yaml") is None


def test_the_status_does_not_load_what_it_needs_not() -> None:
    code = (
        "import sys, he_fsm.cli.hosted_engine.status;"
        "print([name for name in sys.modules if name.startswith(('cattrs', 'click',"
        " 'he_fsm.runtime.config', 'he_fsm.states', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
