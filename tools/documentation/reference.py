"""The pages of the site that the code says: commands, the library, what back ends need."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path

import he_fsm

# What a value is that can have no docstring of its own.
VALUES: Mapping[str, str] = {
    "OVIRT": "The policy of oVirt's own agent: see :doc:`policy`.",
    "TALK": "The policy of the talk of 2013, the default: see :doc:`policy`.",
    "POLICIES": "All policies that he_fsm has, by name.",
    "TABLE": "The declared edges of each state, in order of priority: see :doc:`state-machine`.",
    "Effect": "Any effect: something for the agent to do, as a value.",
}
# What somebody needs who writes a back end, in the order in which it is read.
BACK_END_MODULES = (
    "he_fsm.runtime.kinds",
    "he_fsm.runtime.ports.hypervisor",
    "he_fsm.runtime.ports.vm",
    "he_fsm.runtime.ports.leases",
    "he_fsm.runtime.ports.monitors",
    "he_fsm.runtime.ports.notify",
    "he_fsm.testing.hypervisors",
    "he_fsm.testing.vm_hosts",
    "he_fsm.testing.leases",
)


def write(folder: Path) -> None:
    """Write the pages beside the other sources of the site."""
    for name, text in (
        ("all-commands.md", commands()),
        ("library-reference.md", library()),
        ("back-end-reference.md", back_ends()),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def commands() -> str:
    """Return the page of all commands with their options."""
    return _page(
        "All commands and options",
        "This page is made from the definitions of the commands, so it has every option. "
        "[](commands.md) says what the commands are for, with examples and exit statuses.",
        _rst([".. click:: he_fsm.cli.main:cli", "   :prog: he-fsm", "   :nested: full"]),
    )


def library() -> str:
    """Return the page of everything in `import he_fsm`, by the module where it is at home."""
    parts = []
    for module, names in sorted(he_fsm._HOMES.items()):  # noqa: SLF001 - the one list of them
        about = inspect.getdoc(importlib.import_module(module)) or ""
        parts.append(f"## `{module}`\n\n{about.partition(chr(10) * 2)[0]}\n")
        parts += [_entry(name) for name in sorted(names)]
    return _page(
        "The library: reference",
        "This page is made from the docstrings of the code. It has everything that is in "
        "`import he_fsm`; these names stay where they are, whatever module they come from. "
        "[](library.md) shows them at work.",
        *parts,
    )


def back_ends() -> str:
    """Return the page of what somebody needs who writes a back end."""
    parts = []
    for name in BACK_END_MODULES:
        lines = [f".. automodule:: {name}", "   :members:", "   :noindex:"]
        parts.append(f"## `{name}`\n\n{_rst(lines)}")
    return _page(
        "Back ends: reference",
        "This page is made from the docstrings of the code: the protocols that a back end keeps, "
        "and the contract suites that it has to pass. [](write-a-back-end.md) shows how they are "
        "used.",
        *parts,
    )


def _entry(name: str) -> str:
    """Return the entry of one public name."""
    value = getattr(he_fsm, name)
    if name in VALUES:
        return _rst([f".. py:data:: {name}", "   :module: he_fsm", "", f"   {VALUES[name]}"])
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        return _rst([f".. {kind}:: he_fsm.{name}", "   :members:"])
    return _rst([f".. autofunction:: he_fsm.{name}"])


def _page(title: str, about: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", about, *parts]) + "\n"


def _rst(lines: Iterable[str]) -> str:
    """Return directives that only reStructuredText has, in a page of Markdown."""
    return "\n".join(["```{eval-rst}", *lines, "```"]) + "\n"
