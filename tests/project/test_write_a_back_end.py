"""A package that he_fsm does not know brings a hypervisor: every command of the page about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "write-a-back-end.md"
LEFT_OUT = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")


def shown() -> list[tuple[str, list[str]]]:
    """Return each command of the page with the lines that it prints, among others."""
    block = re.search(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    found: list[tuple[str, list[str]]] = []
    for line in block[1].splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


@pytest.mark.once
@pytest.mark.processes
def test_the_page_s_commands_work_without_a_network(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "backend", tmp_path / "examples/backend", ignore=LEFT_OUT)
    site = tmp_path / "site"
    call = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from he_fsm.cli.main import main; main()"
    programs = {
        "python": f'exec "{sys.executable}" "$@"',
        "pip": f'exec "{sys.executable}" -m pip "$@"',
        "he-fsm": f'exec "{sys.executable}" -c "{call}" "$@"',
    }
    (tmp_path / "bin").mkdir()
    for name, words in programs.items():
        script = tmp_path / "bin" / name
        script.write_text(f"#!/bin/sh\n{words}\n")
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{site}:{ROOT}",
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    for command, wanted in shown():
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert set(wanted) <= set(done.stdout.splitlines()), done.stdout
    without = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
    refused = subprocess.run(
        [tmp_path / "bin/he-fsm", "config", "check", "--config", "examples/backend/he-fsm.yaml"],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "he-fsm.yaml:8:9: " in refused.stderr
    assert "unknown word 'toy'; known: command, embedded, libvirt, qemu, systemd" in refused.stderr
