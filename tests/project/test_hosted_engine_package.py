"""The command `hosted-engine` is installed by a package of its own, and by no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.once
@pytest.mark.processes
def test_the_package_brings_the_command_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    text = (ROOT / "packaging/hosted-engine/pyproject.toml").read_text(encoding="utf-8")
    (source / "pyproject.toml").write_text(text, encoding="utf-8")
    site = tmp_path / "site"
    words = ("install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", *words, "--target", str(site), str(source)], check=True
    )
    assert [path.name for path in (site / "bin").iterdir()] == ["hosted-engine"]
    called = subprocess.run(
        [str(site / "bin" / "hosted-engine"), "--check-deployed"],
        env={**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "HE_FSM_CONFIG": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (called.returncode, called.stdout) == (1, "The hosted engine has not been deployed\n")


def test_he_fsm_itself_leaves_the_name_to_the_original() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "hosted-engine =" not in text
