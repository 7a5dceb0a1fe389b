"""The packages: what is in them, what they ask for; the same source makes the same bytes."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from he_fsm import __version__
from tests.cli.consent.test_asking import ALL
from tests.project.packages.building import EPOCH, ROOT, build, field
from tools.building import targets

# What is built from a tree with compiled modules is no package of the source.
pytestmark = pytest.mark.interpreted
needs_debhelper = pytest.mark.skipif(
    shutil.which("dh") is None or shutil.which("dpkg-buildpackage") is None,
    reason="debhelper is not installed: install the package debhelper",
)
SITE = "./usr/lib/he-fsm/lib/python3.13/site-packages"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("dist"), "debian13")


def listed(deb: Path) -> dict[str, tuple[str, str]]:
    """Return mode and owner by path; a link's path is followed by its target."""
    lines = subprocess.run(
        [str(shutil.which("dpkg-deb")), "-c", str(deb)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {each[5]: (each[0], each[1]) for each in (line.split(None, 5) for line in lines)}


@needs_debhelper
def test_the_same_source_makes_the_same_packages(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path, "debian13")
    assert {name: digest(path) for name, path in again.items()} == {
        name: digest(path) for name, path in built.items()
    }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@needs_debhelper
def test_all_versions_agree(built: dict[str, Path]) -> None:
    assert field(built["he-fsm.deb"], "Version") == f"{__version__}-1~debian13"
    assert field(built["he-fsm-hosted-engine.deb"], "Depends").startswith(
        f"he-fsm (= {__version__}-1~debian13), "
    )
    for name in ("pyproject.toml", "packaging/hosted-engine/pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r'(?m)^version = "(.+)"', text) == [__version__]
    assert built["he_fsm.whl"].name == f"he_fsm-{__version__}-py3-none-any.whl"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## \[(.+?)\]", changelog)[0] == __version__


@needs_debhelper
def test_all_dependencies_are_asked_for_or_bundled(built: dict[str, Path]) -> None:
    asked = field(built["he-fsm.deb"], "Depends")
    bundled = (ROOT / "packaging/bundled/debian13.txt").read_text(encoding="utf-8").lower()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"(?ms)^(?:dependencies|daemon|qemu|systemd) = \[(.*?)\]", text)
    assert len(lists) == 4
    for requirement in re.findall(r'"(.+?)"', "".join(lists)):
        name, _, version = requirement.partition(">=")
        package = targets.TARGETS["debian13"].depends.get(name)
        if package is None:
            assert f"\n{name.lower().replace('.', '_')}==" in bundled.replace(
                "qemu.qmp", "qemu_qmp"
            )
        else:
            assert f"{package} (>= {version})" in asked


@needs_debhelper
def test_everything_is_roots_and_nobody_else_can_write(built: dict[str, Path]) -> None:
    for deb in ("he-fsm.deb", "he-fsm-hosted-engine.deb"):
        for path, (mode, owner) in listed(built[deb]).items():
            assert owner == "root/root", path
            expected = ("drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx")
            assert mode in expected, path
            is_program = re.match(r"\./usr/(s?bin/|lib/he-fsm/(maintain|bin/))", path) is not None
            assert (mode[3] == "x") == (path.endswith("/") or is_program or " -> " in path), path


@needs_debhelper
def test_the_package_has_all_that_a_host_needs(built: dict[str, Path]) -> None:
    paths = {path.partition(" -> ")[0] for path in listed(built["he-fsm.deb"])}
    units = {path.name for path in (ROOT / "packaging/systemd").glob("*.service")}
    expected = {f"./usr/lib/systemd/system/{name}" for name in units}
    expected |= {f"./usr/bin/he-fsm{name}" for name in ("", "-agent", "-broker")}
    expected |= {f"./usr/lib/{kind}.d/he-fsm.conf" for kind in ("sysusers", "tmpfiles")}
    expected |= {"./usr/lib/systemd/logind.conf.d/he-fsm.conf"}
    expected |= {"./usr/share/polkit-1/rules.d/he-fsm.rules"}
    expected |= {f"./usr/lib/firewalld/services/he-fsm{x}.xml" for x in ("", "-migration")}
    expected |= {f"./usr/share/man/man1/he-fsm-{name.replace(' ', '-')}.1.gz" for name in ALL}
    expected |= {"./usr/share/man/man5/he-fsm.yaml.5.gz", "./usr/share/man/man8/he-fsm-agent.8.gz"}
    expected |= {"./usr/share/bash-completion/completions/he-fsm-agent"}
    expected |= {"./usr/share/zsh/vendor-completions/_he-fsm"}
    expected |= {"./usr/share/fish/vendor_completions.d/he-fsm.fish"}
    expected |= {f"./usr/share/doc/he-fsm/{name}" for name in ("copyright", "CHANGELOG.md")}
    expected |= {"./usr/share/doc/he-fsm/examples/he-fsm.yaml", "./usr/lib/he-fsm/pyvenv.cfg"}
    expected |= {f"{SITE}/he_fsm/cli/main.py", f"{SITE}/qemu/qmp/__init__.py"}
    assert expected - paths == set()
    drop_ins = {path for path in paths if path.startswith("./usr/share/he-fsm/systemd/")}
    assert len([path for path in drop_ins if path.endswith(".conf")]) == len(
        list((ROOT / "packaging/systemd").glob("*.d/*.conf"))
    )


@needs_debhelper
def test_what_only_tests_and_builders_need_is_not_there(built: dict[str, Path]) -> None:
    for path in listed(built["he-fsm.deb"]):
        assert not path.endswith((".pyc", ".so", "direct_url.json")), path
        assert not re.search(r"/(tests|benchmarks|__pycache__)/", path), path
        # It belongs to the administrator alone, and so it is nobody's file.
        assert not path.startswith("./etc/"), path


@needs_debhelper
def test_the_command_of_ovirts_hosts_is_a_package_of_its_own(built: dict[str, Path]) -> None:
    paths = listed(built["he-fsm-hosted-engine.deb"])
    assert "./usr/sbin/hosted-engine" in paths
    assert not any(
        "hosted-engine" in path.partition("site-packages")[0] and "doc" not in path
        for path in listed(built["he-fsm.deb"])
    )
    assert field(built["he-fsm-hosted-engine.deb"], "Conflicts") == "ovirt-hosted-engine-setup"


def test_the_wheel_is_the_package_alone(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["he_fsm.whl"]) as wheel:
        names = {name.split("/")[0] for name in wheel.namelist()}
        assert names == {"he_fsm", f"he_fsm-{__version__}.dist-info"}
        assert len({each.date_time for each in wheel.infolist()}) == 1


def test_the_sdist_has_all_that_packages_are_built_from(built: dict[str, Path]) -> None:
    with tarfile.open(built["he_fsm.gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
        assert {member.mtime for member in sdist.getmembers()} == {EPOCH}
        assert {(member.uid, member.uname) for member in sdist.getmembers()} == {(0, "")}
    for name in ("tools/packages", "packaging/debian/rules", "packaging/maintain", "Makefile"):
        assert name in names
    assert {"docs/upgrade.md", "tests/project/test_packages.py", "LICENSE"} <= names


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh")
@pytest.mark.parametrize(
    "name", ["maintain", "debian/he-fsm.postinst", "debian/he-fsm.prerm", "debian/he-fsm.postrm"]
)
def test_the_scripts_are_read_by_a_plain_shell(name: str) -> None:
    path = ROOT / "packaging" / name
    subprocess.run([str(shutil.which("sh")), "-n", str(path)], check=True)


def test_the_scripts_refuse_what_they_do_not_know() -> None:
    done = subprocess.run(
        [str(ROOT / "packaging/maintain"), "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
