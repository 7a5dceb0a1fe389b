"""The files that a command reads, and must not write over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Optional, Union

import attrs

from he_fsm.errors import HeFsmError


@attrs.frozen
class Inputs:
    """What a command reads: paths, with a name of each for people."""

    names: Mapping[Path, str]

    @classmethod
    def of(cls, *inputs: tuple[str, Optional[Union[str, Path]]]) -> Inputs:
        """Make inputs of pairs of a name and a path; None: this one is not read."""
        return cls({Path(path): name for name, path in inputs if path is not None})

    @classmethod
    def files(cls, name: str, paths: Iterable[Union[str, Path]]) -> Inputs:
        """Make inputs of files that share a name."""
        return cls.of(*((name, path) for path in paths))

    def __or__(self, other: Inputs) -> Inputs:
        """Return these inputs and others."""
        return Inputs({**self.names, **other.names})

    def spare(self, option: str, output: Optional[Union[str, Path]]) -> None:
        """
        Check that a file that is about to be written is none of the inputs.

        Args:
            option: what names the output, like `--html`.

        Raises:
            HeFsmError: it is the same file, under whatever name.
        """
        if output is None:
            return
        for path, name in self.names.items():
            if _is_same(Path(output), path):
                msg = f"{option} {output}: this is {name}; choose another file to write to"
                raise HeFsmError(msg)


def check_outputs(inputs: Inputs, outputs: Mapping[str, Optional[Union[str, Path]]]) -> None:
    """
    Check that no output is an input, and that no two outputs are one file.

    Raises:
        HeFsmError: two of them are the same file.
    """
    before = inputs
    for option, path in outputs.items():
        before.spare(option, path)
        before |= Inputs.of((f"the file of {option}", path))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        # One of them is not there yet, or no path at all.
        return os.path.realpath(one) == os.path.realpath(other)
