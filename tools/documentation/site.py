"""The site itself: sources are staged, then Sphinx builds it; a warning is an error."""

from __future__ import annotations

import shutil
from pathlib import Path

from sphinx.cmd.build import main as sphinx

from tools.documentation import playground, reference, stage
from tools.documentation.errors import SiteError

_THEME = Path(__file__).resolve().parent / "theme"
PLAYGROUND = "playground-files"


def build(target: Path, work: Path, *, with_playground: bool) -> None:
    """
    Build the site.

    Args:
        target: where it is written; made anew.
        work: a folder for what is needed meanwhile, and for what was fetched.

    Raises:
        SiteError: a page has a broken link or another fault, or something can't be fetched.
    """
    sources = work / "sources"
    stage.stage(sources)
    reference.write(sources)
    left_out = sources / "playground-left-out.md"
    if not with_playground:
        shutil.copyfile(left_out, sources / "playground.md")
    left_out.unlink()
    shutil.rmtree(target, ignore_errors=True)
    run_sphinx(sources, target, work / "doctrees")
    if with_playground:
        playground.build(target / PLAYGROUND, work / "fetched")


def run_sphinx(sources: Path, target: Path, doctrees: Path) -> None:
    """
    Have Sphinx build what was staged.

    Raises:
        SiteError: there was a warning; Sphinx has printed it.
    """
    words = ["-b", "html", "-c", str(_THEME), "-d", str(doctrees), "-E", "-q"]
    if sphinx([*words, "-W", "--keep-going", str(sources), str(target)]) != 0:
        msg = "the pages are not in order: see above"
        raise SiteError(msg)
    # Needed to build the site again, and by nobody who reads it.
    (target / ".buildinfo").unlink(missing_ok=True)
