"""The daemons' JSON files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from he_fsm.runtime.service.files import write_json


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    """No file may grow beyond 16 bytes in a process of its own: what a full disk looks like."""
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    code = f"""
import resource
from pathlib import Path
from he_fsm.errors import HeFsmError
from he_fsm.runtime.service.files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    write_json(Path({str(path)!r}), {{"new": "x" * 10_000}})
except HeFsmError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == f"can't write {path}: File too large\n"
    assert json.loads(path.read_bytes()) == {"old": 1}
    assert list(path.parent.iterdir()) == [path]
