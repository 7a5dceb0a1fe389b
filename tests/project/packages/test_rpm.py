"""The .rpm for Enterprise Linux 9, as far as it can be looked at without its Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from he_fsm import __version__
from tests.project.packages.building import ROOT, build

pytestmark = [
    *(pytest.mark.processes, pytest.mark.long),
    pytest.mark.skipif(
        shutil.which("rpmbuild") is None, reason="rpmbuild is missing: install the package rpm"
    ),
]
SITE = "/usr/lib/he-fsm/lib/python3.9/site-packages"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("dist"), "el9")


def asked(rpm: Path, *words: str) -> str:
    return subprocess.run(
        [str(shutil.which("rpm")), "-qp", "--nosignature", *words, str(rpm)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_its_name_says_for_what_it_is(built: dict[str, Path]) -> None:
    shown = asked(built["he-fsm.rpm"], "--queryformat", "%{VERSION}-%{RELEASE} %{LICENSE}")
    assert shown == f"{__version__}-1.el9 LGPL-2.1-or-later"


def test_it_asks_for_the_systems_python_and_has_everything_else(built: dict[str, Path]) -> None:
    requires = asked(built["he-fsm.rpm"], "--requires").splitlines()
    needed = [each for each in requires if not each.startswith(("rpmlib(", "/bin/sh"))]
    assert sorted(needed) == [
        *("/usr/bin/getent", "/usr/bin/kill", "/usr/bin/python3.9"),
        *("/usr/sbin/useradd", "/usr/sbin/usermod", "systemd"),
    ]
    provides = asked(built["he-fsm.rpm"], "--provides")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"(?ms)^(?:dependencies|daemon|qemu|systemd) = \[(.*?)\]", text)
    for name in re.findall(r'"([\w.-]+)>=', "".join(lists)):
        assert re.search(
            rf"bundled\(python3dist\({re.sub('[._-]', '[._-]', name.lower())}\)", provides
        )


def test_compiled_parts_are_for_its_python(built: dict[str, Path]) -> None:
    files = asked(built["he-fsm.rpm"], "-l").splitlines()
    compiled = [each for each in files if each.endswith(".so")]
    assert compiled
    assert [each for each in compiled if "cpython-39" not in each and "abi3" not in each] == []
    assert f"{SITE}/he_fsm/cli/main.py" in files
    assert [each for each in files if each.startswith("/etc/")] == []
    # Needed by Python 3.10 and older alone: pip leaves them out where it runs on a newer one.
    assert f"{SITE}/exceptiongroup/__init__.py" in files
    assert f"{SITE}/async_timeout/__init__.py" in files


def test_all_requirements_of_what_is_bundled_are_met(
    built: dict[str, Path], tmp_path: Path
) -> None:
    """Each bundled package's own metadata, judged for Python 3.9 on Linux."""
    markers = pytest.importorskip("packaging.markers")
    requirements = pytest.importorskip("packaging.requirements")
    there = {re.sub("[._-]+", "-", name.lower()): version for name, version in releases()}
    environment = {
        **markers.default_environment(),
        "python_version": "3.9",
        "python_full_version": "3.9.21",
        "extra": "",
    }
    unpack(built["he-fsm.rpm"], tmp_path)
    missing = []
    for path in (tmp_path / SITE[1:]).glob("*.dist-info/METADATA"):
        for line in re.findall(r"(?m)^Requires-Dist: (.+)$", path.read_text(encoding="utf-8")):
            wanted = requirements.Requirement(line)
            if wanted.marker is not None and not wanted.marker.evaluate(environment):
                continue
            version = there.get(re.sub("[._-]+", "-", wanted.name.lower()))
            if version is None or version not in wanted.specifier:
                missing.append(f"{path.parent.name}: {line}")
    assert missing == []


def releases() -> list[tuple[str, str]]:
    text = (ROOT / "packaging/bundled/el9.txt").read_text(encoding="utf-8")
    return re.findall(r"(?m)^([\w.-]+)==(\S+)", text)


def unpack(rpm: Path, folder: Path) -> None:
    with (folder / "archive").open("wb") as file:
        subprocess.run([str(shutil.which("rpm2cpio")), str(rpm)], stdout=file, check=True)
    with (folder / "archive").open("rb") as file:
        words = ["-idm", "--quiet", "--no-absolute-filenames"]
        subprocess.run([str(shutil.which("cpio")), *words], stdin=file, cwd=folder, check=True)


def test_the_same_source_makes_the_same_rpms(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path, "el9")
    for name in ("he-fsm.rpm", "he-fsm-hosted-engine.rpm"):
        assert again[name].read_bytes() == built[name].read_bytes(), name
