"""Campaigns for tests, from a few lines of YAML."""

from __future__ import annotations

from pathlib import Path

from he_fsm.campaign.model import Campaign, Design
from he_fsm.campaign.reading import load_campaign

# Quick ones: nothing but what a test is about takes time.
AT_ONCE = "{jitter: 0s, vm_start: 0s, vm_boot: 0s, reboot: 0s}"


def written(folder: Path, faults: str, more: str = "", hosts: str = "2") -> Path:
    """Write a campaign of some hosts and faults; *more* are further lines."""
    path = folder / "campaign.yaml"
    lines = [
        *("campaign:", "  name: c", f"  hosts: {hosts}", "  engine: {running_on: 1}"),
        *("  faults:", *(f"    - {line}" for line in faults.strip().splitlines())),
        *(f"  {line}" for line in more.strip().splitlines()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def campaign(folder: Path, faults: str, more: str = "", hosts: str = "2") -> Campaign:
    """Return such a campaign."""
    return load_campaign(written(folder, faults, more, hosts))


def design(folder: Path, faults: str, more: str = "", hosts: str = "2") -> Design:
    """Return the first design of such a campaign."""
    return campaign(folder, faults, more, hosts).designs[0]
