"""The page of the configuration, from the tables that the keys' own definitions make."""

from __future__ import annotations

import runpy
from pathlib import Path

from manual.roff import Page, escaped, example, filled, inline, listed, section, see_also

_GENERATOR = Path(__file__).resolve().parents[1] / "generate-docs"
_DESCRIPTION = """\
The agent and the broker of a host read one file in YAML. A time has a unit (`500ms`, `10s`,
`1h30m`); a bare number is in seconds. Memory is in MiB. A path that does not begin with / is
relative to the folder of the file. No password is a part of the file: `password_file` names another
one. `he-fsm config check --deep` says what can't be used and what is missing, and `he-fsm config
show` prints all values and where each comes from.
"""
_SHORTEST = (
    "host: {id: 1}",
    "storage: {path: /srv/he-fsm}",
    "monitors: {network: {address: 192.0.2.1}}",
)
# A `|` of a cell itself.
_BAR = "\\|"


def page() -> Page:
    """Return the page of the configuration."""
    return Page(
        name="he-fsm.yaml",
        section=5,
        about="the configuration of a host's agent and broker",
        blocks=(
            section("Description", filled(_DESCRIPTION)),
            section("Keys", *_tables(runpy.run_path(str(_GENERATOR))["configuration_keys"]())),
            section("Examples", inline("The shortest file:"), example(*_SHORTEST)),
            section(
                "Files",
                listed(
                    [
                        ("\\fB/etc/he\\-fsm/he\\-fsm.yaml\\fR", "where it usually is"),
                        ("\\fB/usr/share/doc/he\\-fsm/examples\\fR", "one with comments"),
                    ]
                ),
            ),
            see_also([("he-fsm-config-check", 1), ("he-fsm-agent", 8), ("he-fsm-broker", 8)]),
        ),
    )


def _tables(text: str) -> list[str]:
    """Return the sections of keys, from tables of Markdown."""
    made = []
    for part in text.split("### ")[1:]:
        title, _, table = part.partition("\n")
        rows = [cells(line) for line in table.splitlines() if line.startswith("| `")]
        made.append(f".SS {inline(title)}")
        made.append(listed((_term(row), _meaning(row)) for row in rows))
    return made


def cells(line: str) -> list[str]:
    """Return the cells of a row of a table of Markdown."""
    inner = line.strip()[1:-1].replace(_BAR, "\0")
    return [cell.strip().replace("\0", "|") for cell in inner.split("|")]


def _term(row: list[str]) -> str:
    key, kind = row[:2]
    return f"\\fB{escaped(key.strip('`'))}\\fR ({inline(kind)})"


def _meaning(row: list[str]) -> str:
    default, about = row[2:]
    if default in ("", "required", "see there"):
        return f"{default}: {about}" if default == "required" else about
    return f"{about} (default: {default})"
