"""What a machine lacks for hosts with libvirt is said, each in a sentence with its package."""

from __future__ import annotations

import pytest

from he_fsm.lab import netns
from he_fsm.lab.libvirt import daemon, needs


def test_every_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "program", lambda: None)
    monkeypatch.setattr(daemon, "_PLUG_INS", "/no/such/folder/*.so")
    monkeypatch.setattr(needs, "find_spec", lambda _: None)
    said = "\n".join(needs.missing(10.0))
    for what in ("libvirt-daemon-system", "libvirt-sanlock", "pip install 'he-fsm[libvirt]'"):
        assert what in said


def test_libvirts_system_daemon_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    assert "libvirt's system daemon needs root" in needs.missing(10.0)


def test_hosts_without_namespaces_have_no_bridge_for_a_domain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netns, "why_not", lambda: "the kernel has none")
    (reason,) = (each for each in needs.missing(10.0) if "namespaces" in each)
    assert reason.endswith("the kernel has none")
