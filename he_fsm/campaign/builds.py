"""
Which he_fsm a process has, asked without needing it there.

The question is text that the builtin `eval` answers, so nothing of he_fsm, nor any bytecode, has to
be unpickled by a process whose he_fsm is missing or differs.
"""

from __future__ import annotations

from typing import Any, Final, Optional

# Release, whether the modules are compiled, and Python's release; None without he_fsm.
QUESTION: Final = (
    "[find := __import__('importlib.util', fromlist=['x']).find_spec,"
    " sys := __import__('sys'),"
    " None if find('he_fsm') is None else ["
    "getattr(__import__('he_fsm'), '__version__', '?'),"
    " not find('he_fsm.step').origin.endswith('.py'),"
    " '.'.join(map(str, sys.version_info[:2]))]"
    "][-1]"
)


def build_here() -> Any:
    """Return the answer of this process."""
    return eval(QUESTION)  # noqa: S307 - our own text


def why_unlike(found: Any, mine: Any) -> Optional[str]:
    """Return what is wrong with another process's answer; None: it has the same he_fsm."""
    if isinstance(found, BaseException):
        return f"it can't say which he_fsm it has: {type(found).__name__}: {found}"
    if found is None:
        return f"it has no he_fsm: install he-fsm {mine[0]} for its Python"
    version, is_compiled, python = found
    if version != mine[0]:
        return f"it has he_fsm {version}, and this machine {mine[0]}: install the same release"
    if is_compiled != mine[1]:
        words = {True: "compiled", False: "not compiled"}
        return (
            f"its he_fsm is {words[is_compiled]}, and that of this machine {words[mine[1]]}:"
            " install the same build"
        )
    if python != mine[2]:
        return f"it runs Python {python}, and this machine {mine[2]}: use the same release"
    return None
