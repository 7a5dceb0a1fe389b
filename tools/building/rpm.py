"""The .rpm files: rpmbuild packs what `stage` has made."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from building import bundle
from building.source import ROOT, call, project
from building.targets import Target


def build(target: Target, tree: Path, output: Path, at: int) -> list[Path]:
    """
    Build the .rpms of a target into *output*, and return their paths.

    Raises:
        BuildError: rpmbuild is missing, or refuses something.
    """
    bundled = tree / "bundled"
    lines = [
        f"Provides: bundled(python3dist({name.lower()})) = {version}"
        for name, version in bundle.locked(target).items()
    ]
    bundled.write_text("\n".join(lines) + "\n", encoding="utf-8")
    defined = {
        "he_version": project()["version"],
        "dist_of": f".{target.name}",
        "tree": str(tree),
        "python": target.python,
        "build_arch": "noarch" if target.is_pure else platform.machine(),
        "bundled": str(bundled),
        "_topdir": str(tree / "rpmbuild"),
    }
    words = ["rpmbuild", "-bb", "--quiet"]
    for name, value in defined.items():
        words += ["--define", f"{name} {value}"]
    call([*words, str(ROOT / "packaging" / "rpm" / "he-fsm.spec")], tree, at)
    return [
        Path(shutil.move(path, output / path.name))
        for path in sorted((tree / "rpmbuild" / "RPMS").rglob("*.rpm"))
    ]
