"""For which systems packages are built, and where each takes the daemons' Python packages from."""

from __future__ import annotations

from typing import Final

import attrs

# What a host needs of the extras of pyproject.toml; the others are for people's own machines.
EXTRAS: Final = ("daemon", "qemu", "systemd")


@attrs.frozen(kw_only=True)
class Target:
    """
    One system.

    `python`: its own Python, for which sanlock's module is built. `depends`: the system's packages
    by the names that pyproject.toml has for them; what is not among them is bundled, in the version
    of packaging/bundled. `is_pure`: what is bundled has no compiled parts.
    """

    name: str
    kind: str
    python: str
    depends: dict[str, str] = attrs.field(factory=dict)
    is_pure: bool = False

    @property
    def site(self) -> str:
        """Return the folder of the Python packages, below `/`."""
        return f"usr/lib/he-fsm/lib/python{self.python}/site-packages"


# Everything that Debian 13 has in a version that will do. It lacks qemu.qmp, and its icmplib is too
# old (2.1.1). Source: the archive of trixie, on 1 December 2026.
_DEBIAN_13: Final = {
    "attrs": "python3-attr",
    "cattrs": "python3-cattr",
    "transitions": "python3-transitions",
    "PyYAML": "python3-yaml",
    "rich": "python3-rich",
    "click": "python3-click",
    "requests": "python3-requests",
    "urllib3": "python3-urllib3",
    "psutil": "python3-psutil",
    "dnspython": "python3-dnspython",
    "aiohttp": "python3-aiohttp",
    "prometheus_client": "python3-prometheus-client",
    "jeepney": "python3-jeepney",
}
# Debian 12 and Enterprise Linux 9 have most of them in older releases, or not at all. What Fedora
# has was not looked up.
TARGETS: Final = {
    each.name: each
    for each in (
        Target(name="debian13", kind="deb", python="3.13", depends=_DEBIAN_13, is_pure=True),
        Target(name="debian12", kind="deb", python="3.11"),
        Target(name="el9", kind="rpm", python="3.9"),
        Target(name="fedora42", kind="rpm", python="3.13"),
    )
}
USUAL: Final = ("debian13", "el9")
