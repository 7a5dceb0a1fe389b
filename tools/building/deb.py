"""The .deb files: debhelper's own tools pack what `stage` has made."""

from __future__ import annotations

import re
import shutil
from email.utils import formatdate
from pathlib import Path

from building import bundle
from building.source import ROOT, call, found, project
from building.targets import EXTRAS, Target


def build(target: Target, tree: Path, output: Path, at: int) -> list[Path]:
    """
    Build the .debs of a target into *output*, and return their paths.

    Raises:
        BuildError: dpkg-dev or debhelper are missing, or refuse something.
    """
    found("dh_builddeb")
    shutil.copytree(ROOT / "packaging" / "debian", tree / "debian")
    version = f"{project()['version']}-1~{target.name}"
    changelog = (
        f"he-fsm ({version}) unstable; urgency=medium\n\n"
        "  * See /usr/share/doc/he-fsm/CHANGELOG.md.\n\n"
        f" -- The he_fsm developers <he-fsm@localhost>  {formatdate(at)}\n"
    )
    (tree / "debian" / "changelog").write_text(changelog, encoding="utf-8")
    control = tree / "debian" / "control"
    text = control.read_text(encoding="utf-8")
    for name, value in {
        "@ARCH@": "all" if target.is_pure else "any",
        "@PYTHON@": python_range(target),
        "@DEPENDS@": ", ".join(depends(target)),
    }.items():
        text = text.replace(name, value)
    # A field must not end with a comma where nothing follows.
    control.write_text(re.sub(r",\s*\n(?=\S)", "\n", text), encoding="utf-8")
    (tree / "debian" / "rules").chmod(0o755)
    call(["dpkg-buildpackage", "-us", "-uc", "-b", "-d"], tree, at, DEB_BUILD_OPTIONS="nocheck")
    return [
        Path(shutil.move(path, output / path.name))
        for path in sorted(tree.parent.glob(f"*_{version}_*.deb"))
    ]


def python_range(target: Target) -> str:
    """Return the Python of a target as a dependency: what is bundled is in its own folder alone."""
    major, minor = target.python.split(".")
    return f"python3 (>= {target.python}~), python3 (<< {major}.{int(minor) + 1}~)"


def depends(target: Target) -> list[str]:
    """Return the system's packages with the versions that pyproject.toml asks for."""
    needs = project()["needs"]
    names = []
    for each in [each for extra in ("", *EXTRAS) for each in needs[extra]]:
        package = target.depends.get(bundle.name_of(each))
        if package is not None:
            names.append(f"{package} (>= {each.partition('>=')[2]})")
    if not target.is_pure:
        names.append("libc6 (>= 2.28)")
    return names
