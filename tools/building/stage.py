"""The files of the packages as they are on a host, in a folder for each package."""

from __future__ import annotations

import gzip
import shutil
import time
from pathlib import Path
from typing import Final

from manual import commands, configuration

from building import bundle
from building.source import ROOT, same_everywhere
from building.targets import Target
from he_fsm import __version__
from he_fsm.cli.completion import source_of

MAIN: Final = "he-fsm"
# A package of its own: a host may have the original command.
ORIGINAL: Final = "he-fsm-hosted-engine"
# By program: its package, its folder, and the function that it calls.
_PROGRAMS: Final = {
    "he-fsm": (MAIN, "usr/bin", "he_fsm.cli.main import main"),
    "he-fsm-agent": (MAIN, "usr/bin", "he_fsm.cli.daemons import agent as main"),
    "he-fsm-broker": (MAIN, "usr/bin", "he_fsm.cli.daemons import broker as main"),
    "hosted-engine": (ORIGINAL, "usr/sbin", "he_fsm.cli.hosted_engine import main"),
}
_PYTHON: Final = "/usr/lib/he-fsm/bin/python3"
# Where each shell looks for completion by itself; zsh differs by distribution.
_ZSH: Final = {"deb": "usr/share/zsh/vendor-completions", "rpm": "usr/share/zsh/site-functions"}
_DOCS: Final = ("README.md", "CHANGELOG.md")


def stage(target: Target, wheel: Path, tree: Path, at: int) -> None:
    """
    Make the folders `tree/he-fsm` and `tree/he-fsm-hosted-engine`.

    Raises:
        BuildError: something can't be built here.
    """
    for package in (MAIN, ORIGINAL):
        (tree / package).mkdir(parents=True)
    _environment(target, wheel, tree / MAIN, at)
    _programs(tree)
    _units(tree / MAIN)
    _completion(target, tree)
    _manual(tree, at)
    _documents(target, tree)
    for package in (MAIN, ORIGINAL):
        same_everywhere(tree / package, at)


def _environment(target: Target, wheel: Path, root: Path, at: int) -> None:
    """
    Make an environment of the system's own Python, beside the system's packages.

    So sanlock's module and libvirt's, which the system has, are found, and the processes that the
    daemons begin have the same packages without a variable, which a hook would inherit.
    """
    home = root / "usr/lib/he-fsm"
    (home / "bin").mkdir(parents=True)
    for name in ("python3", "python"):
        (home / "bin" / name).symlink_to(f"/usr/bin/python{target.python}")
    shutil.copyfile(ROOT / "packaging" / "maintain", home / "maintain")
    (home / "maintain").chmod(0o755)
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {target.python}\n",
        encoding="utf-8",
    )
    site = root / target.site
    bundle.install(target, wheel, site, at)
    # Programs of theirs would have the path of the building machine's Python.
    shutil.rmtree(site / "bin", ignore_errors=True)


def _programs(tree: Path) -> None:
    for name, (package, folder, function) in _PROGRAMS.items():
        path = tree / package / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # -I: neither the caller's variables nor the folder of the program decide what is loaded.
        path.write_text(f"#!{_PYTHON} -I\nfrom {function}\n\nmain()\n", encoding="utf-8")
        path.chmod(0o755)


# What other programs of the system read: users, folders, shutdowns that wait for the agent.
_SETTINGS: Final = {
    "he-fsm.sysusers.conf": "usr/lib/sysusers.d/he-fsm.conf",
    "he-fsm.tmpfiles.conf": "usr/lib/tmpfiles.d/he-fsm.conf",
    "he-fsm.logind.conf": "usr/lib/systemd/logind.conf.d/he-fsm.conf",
    "he-fsm.polkit.rules": "usr/share/polkit-1/rules.d/he-fsm.rules",
}


def _units(root: Path) -> None:
    units = ROOT / "packaging" / "systemd"
    _copy(sorted(units.glob("*.service")), root / "usr/lib/systemd/system")
    for name, place in _SETTINGS.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(units / name, root / place)
    for folder in sorted(units.glob("*.service.d")):
        _copy(sorted(folder.glob("*.conf")), root / "usr/share/he-fsm/systemd" / folder.name)
    services = sorted((ROOT / "packaging" / "firewalld").glob("*.xml"))
    _copy(services, root / "usr/lib/firewalld/services")


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _completion(target: Target, tree: Path) -> None:
    for program, (package, _, _) in _PROGRAMS.items():
        places = {
            "bash": f"usr/share/bash-completion/completions/{program}",
            "zsh": f"{_ZSH[target.kind]}/_{program}",
            "fish": f"usr/share/fish/vendor_completions.d/{program}.fish",
        }
        for shell, place in places.items():
            path = tree / package / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source_of(shell, program), encoding="utf-8")


def _manual(tree: Path, at: int) -> None:
    date = time.strftime("%Y-%m-%d", time.gmtime(at))
    for page in (*commands.pages(), configuration.page()):
        package = ORIGINAL if page.name.startswith("hosted-engine") else MAIN
        packed = tree / package / "usr/share/man" / f"man{page.section}" / f"{page.file}.gz"
        packed.parent.mkdir(parents=True, exist_ok=True)
        text = page.text(__version__, date)
        packed.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _documents(target: Target, tree: Path) -> None:
    documents = tree / MAIN / "usr/share/doc/he-fsm"
    _copy([ROOT / name for name in _DOCS], documents)
    _copy(sorted((ROOT / "docs").glob("*.md")), documents / "docs")
    _copy(sorted((ROOT / "examples").glob("*.yaml")), documents / "examples")
    if target.kind == "rpm":
        _copy([ROOT / "LICENSE"], tree / MAIN / "usr/share/licenses/he-fsm")
    # Debian asks for one file of this name, and has the licence itself.
    for package in (MAIN, ORIGINAL) if target.kind == "deb" else ():
        place = tree / package / "usr/share/doc" / package
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "packaging/debian/copyright", place / "copyright")
