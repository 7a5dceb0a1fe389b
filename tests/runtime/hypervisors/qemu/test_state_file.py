"""How a saved state is named to each release of QEMU."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from he_fsm.runtime.hypervisors.qemu.state_file import load_from, save_to

pytest.importorskip("qemu.qmp")


class Release:
    """Notes what a QEMU of a release is told; a real one says the rest in `test_hypervisor`."""

    def __init__(self, major: int) -> None:
        self.major = major
        self.told: list[tuple[str, Any]] = []

    async def execute(self, command: str, **arguments: Any) -> Any:
        if command == "query-version":
            return {"qemu": {"major": self.major, "minor": 2, "micro": 0}}
        self.told.append((command, arguments["uri"]))
        return {}

    async def give_file(self, name: str, descriptor: int) -> None:
        assert descriptor >= 0
        self.told.append(("file", name))


@pytest.mark.parametrize(("major", "by_name"), [(7, False), (9, False), (10, True), (11, True)])
def test_a_state_is_named_by_its_file_from_qemu_10_on(
    tmp_path: Path, major: int, by_name: bool
) -> None:
    path = tmp_path / "state"
    qemu: Any = Release(major)
    asyncio.run(save_to(qemu, path))
    asyncio.run(load_from(qemu, path))
    uri = f"file:{path}" if by_name else "fd:saved-state"
    orders = [told for told in qemu.told if told[0] != "file"]
    assert orders == [("migrate", uri), ("migrate-incoming", uri)]
    assert len(qemu.told) - len(orders) == (0 if by_name else 2)


def test_a_state_that_is_not_there_is_an_error_in_any_release(tmp_path: Path) -> None:
    for major in (7, 10):
        qemu: Any = Release(major)
        with pytest.raises(FileNotFoundError):
            asyncio.run(load_from(qemu, tmp_path / "none"))
