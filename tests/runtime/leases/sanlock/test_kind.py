"""What `config check` says of sanlock on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from he_fsm.runtime.config import Config, parse_config
from he_fsm.runtime.leases.sanlock.daemon import module
from he_fsm.runtime.leases.sanlock.kind import KIND
from tests.runtime.leases.sanlock.sanlock_lab import NEEDS_SANLOCK

MODULE = "sanlock's Python module can't be imported"


def _config(folder: Path) -> Config:
    text = f"""
host: {{id: 1}}
storage: {{path: {folder}}}
leases: sanlock
sanlock: {{run_dir: {folder}}}
monitors: {{network: {{test: none}}}}
ovirt: none
"""
    return parse_config(text, "he-fsm.yaml", folder)


@NEEDS_SANLOCK[0]
@NEEDS_SANLOCK[1]
def test_the_systems_module_is_found_from_a_virtual_environment(tmp_path: Path) -> None:
    # Without the folders of the system's packages on the path, as in a virtual environment.
    code = (
        "import sys; sys.path[:] = [each for each in sys.path if 'dist-packages' not in each]\n"
        "from pathlib import Path\n"
        "from tests.runtime.leases.sanlock.test_kind import _config\n"
        "from he_fsm.runtime.leases.sanlock.kind import KIND\n"
        f"print(*KIND.needs(_config(Path({str(tmp_path)!r}))), sep='\\n')\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("the sanlock daemon does not run"), found.stdout


def test_a_module_that_is_nowhere_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FOLDERS", ())
    monkeypatch.setitem(sys.modules, "sanlock", None)
    found = list(KIND.needs(_config(tmp_path)))
    assert MODULE in [finding.what for finding in found]


def test_a_daemon_that_does_not_run_is_a_note(tmp_path: Path) -> None:
    found = {finding.what: finding for finding in KIND.needs(_config(tmp_path))}
    note = found[f"the sanlock daemon does not run: there is no {tmp_path}/sanlock.sock"]
    assert (note.mend, note.is_fatal) == ("systemctl start sanlock", False)
