"""Looking at pages with headless chromium, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--allow-file-access-from-files", "--virtual-time-budget=60000"),
)
# A window of chromium can't be as narrow as a phone; a frame in it can.
_PHONE = """\
<body><iframe src="{page}" style="width:400px;height:3000px;border:0"></iframe><script>
function overlapping(texts) {{
  var boxes = texts.map(function (text) {{ return text.getBoundingClientRect(); }});
  return boxes.filter(function (one, index) {{
    return boxes.slice(index + 1).some(function (other) {{
      return one.left < other.right + 4 && other.left < one.right + 4 &&
        one.top < other.bottom && other.top < one.bottom;
    }});
  }}).length;
}}
// On a busy machine the page's time goes by before it is drawn.
function look(tries) {{
  var found = document.querySelector("iframe").contentDocument;
  var points = found.querySelectorAll(".figure .point").length;
  if (!points && tries) {{ setTimeout(look, 500, tries - 1); return; }}
  document.title = [
    found.documentElement.scrollWidth, points,
    overlapping(Array.prototype.slice.call(found.querySelectorAll(".figure .xtick text")))
  ].join(" ");
}}
onload = function () {{ setTimeout(look, 3000, 100); }};
</script></body>
"""


def drawn(page: Path, size: str = "1400,1800") -> str:
    """Return the elements of a page after its script has run."""
    profile = page.parent / "profile"
    run = subprocess.run(
        [
            *(str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", f"--window-size={size}"),
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout


def on_a_phone(page: Path) -> tuple[int, int, int]:
    """
    Say how a page is on a screen of 400 pixels.

    How wide it is, how many points are drawn there, and how many times of an axis have others
    within 4 pixels.
    """
    frame = page.with_name("phone.html")
    frame.write_text(_PHONE.format(page=page.name), encoding="utf-8")
    title = drawn(frame, "800,3200").partition("<title>")[2].partition("</title>")[0]
    width, points, overlaps = map(int, title.split())
    return width, points, overlaps
