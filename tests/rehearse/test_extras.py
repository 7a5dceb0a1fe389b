"""What is optional is not asked for by who does not use it."""

from __future__ import annotations

import subprocess
import sys

# As where `pip install 'he-fsm[daemon]'` was all that was done.
WITHOUT_QEMU = """
import sys
sys.modules["qemu"] = sys.modules["qemu.qmp"] = None
import he_fsm.cli.rehearse
"""


def test_rehearsing_needs_no_library_for_qemu():
    subprocess.run([sys.executable, "-c", WITHOUT_QEMU], check=True)
