"""Without the packages of an extra, a command says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As if the package had never been installed.
HIDDEN = "import sys; sys.modules['{package}'] = None; "


def run(package: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDDEN.format(package=package) + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("package", "code", "name"),
    [
        ("cattrs", "import he_fsm.cli.daemons as d; d.agent()", "he-fsm-agent"),
        ("aiohttp", "import he_fsm.cli.daemons as d; d.broker()", "he-fsm-broker"),
        (
            "psutil",
            "from he_fsm.cli.main import main; sys.argv = ['he-fsm', 'rehearse', 'x']; main()",
            "he-fsm rehearse",
        ),
    ],
)
def test_a_missing_package_is_one_sentence_and_status_2(package: str, code: str, name: str) -> None:
    ran = run(package, code)
    assert ran.returncode == 2
    assert f"{name} needs the package {package}: pip install 'he-fsm[daemon]'" in ran.stderr
    assert "Traceback" not in ran.stderr
