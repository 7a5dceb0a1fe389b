"""A host that can't listen for migrations yet does so as soon as that is possible."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from he_fsm.runtime.hypervisors.qemu import host as qemu_host
from he_fsm.runtime.hypervisors.qemu.host import QemuHost, QemuSettings
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, VmConfig
from he_fsm.testing.waiting import until


class NoLease:
    """No VM runs, so nobody asks for its lease."""


def test_a_host_listens_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "he_fsm")
    monkeypatch.setattr(qemu_host, "LISTEN_AGAIN_S", 0.01)
    late, lease = tmp_path / "late", NoLease()
    settings = QemuSettings(
        host_id=1,
        run_dir=tmp_path,
        vm=VmConfig(),
        move=MoveConfig(peers=f"unix:{late}/{{id}}"),
    )

    async def live() -> None:
        untyped: Any = lease
        host = QemuHost(settings, untyped)
        await host.adopt()
        # Several tries, one line.
        await asyncio.sleep(0.1)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "no VM can migrate to here" in caplog.messages[0]
        late.mkdir()
        await asyncio.to_thread(until, (late / "1").exists)
        await host.close()

    asyncio.run(live())
    assert caplog.messages[1].startswith(f"VMs can migrate to here: listening to unix:{late}/1")


def test_a_host_that_ends_stops_trying(tmp_path: Path) -> None:
    settings = QemuSettings(
        host_id=1,
        run_dir=tmp_path,
        vm=VmConfig(),
        move=MoveConfig(peers=f"unix:{tmp_path}/never/{{id}}"),
    )

    async def live() -> None:
        untyped: Any = NoLease()
        host = QemuHost(settings, untyped)
        await host.adopt()
        await asyncio.wait_for(host.close(), 5)

    asyncio.run(live())
