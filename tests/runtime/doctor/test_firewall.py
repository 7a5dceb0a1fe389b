"""A firewall between hosts, as a real firewalld in a network of its own has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.runtime.doctor.firewall import Zone, lets_in, parsed_names, parsed_zone
from he_fsm.runtime.ports import Port

# In namespaces of their own: a bus, firewalld, what a person orders, and the question.
_RUN = """
mount -t tmpfs none /run; mkdir -p /run/dbus; ip link set lo up
cat > /run/bus.conf <<X
<busconfig><type>system</type><listen>unix:path=/run/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
X
dbus-daemon --nofork --nopidfile --config-file=/run/bus.conf 2> /dev/null &
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/bus
firewalld --nofork --nopid > /run/firewalld.log 2>&1 &
for i in $(seq 100); do firewall-cmd --state > /dev/null 2>&1 && break; sleep 0.1; done
firewall-cmd --state > /dev/null 2>&1 || { cat /run/firewalld.log >&2; exit 77; }
sh -ec "$1" > /dev/null || exit 1
shift
"$@"
"""
_ASK = """
import json, sys
from he_fsm.runtime.doctor.firewall import firewall_findings
from he_fsm.runtime.ports import Port
ports = [Port(first, last, "a move") for first, last in json.loads(sys.argv[1])]
print(json.dumps([[each.what, each.mend] for each in firewall_findings(ports)]))
"""


def asked(orders: str, *ranges: tuple[int, int]) -> list[tuple[str, str]]:
    unshare = shutil.which("unshare")
    needed = ("firewalld", "firewall-cmd", "dbus-daemon")
    if unshare is None or os.geteuid() != 0 or not all(map(shutil.which, needed)):
        pytest.skip("needs root, unshare, dbus-daemon and firewalld")
    inner = [sys.executable, "-c", _ASK, json.dumps(ranges)]
    done = subprocess.run(
        [unshare, "-nmpf", "--mount-proc", "sh", "-c", _RUN, "sh", orders, *inner],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"no firewalld can be begun here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [(what, mend) for what, mend in json.loads(done.stdout)]


def test_ports_that_are_closed_are_named_with_the_command() -> None:
    orders = """
    firewall-cmd --add-port=8703/tcp
    firewall-cmd --add-port=49152-49200/tcp
    firewall-cmd --add-service=libvirt-tls
    firewall-cmd --add-port=16509/udp
    """
    found = asked(orders, (8703, 8703), (49152, 49215), (16514, 16514), (16509, 16509))
    assert found == [
        (
            "firewalld does not let in TCP 49152-49215, which a move needs",
            "firewall-cmd --permanent --add-port=49152-49215/tcp && firewall-cmd --reload",
        ),
        (
            "firewalld does not let in TCP 16509, which a move needs",
            "firewall-cmd --permanent --add-port=16509/tcp && firewall-cmd --reload",
        ),
    ]


def test_a_zone_that_is_trusted_lets_all_in() -> None:
    orders = "firewall-cmd --zone=trusted --add-source=192.0.2.0/24"
    assert asked(orders, (1, 65535)) == []


@given(
    ranges=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=8),
    first=st.integers(1, 60),
    more=st.integers(0, 20),
)
def test_a_range_is_let_in_if_each_of_its_ports_is(
    ranges: list[tuple[int, int]], first: int, more: int
) -> None:
    zone = Zone("public", False, tuple((begin, begin + length) for begin, length in ranges))
    each = all(
        any(begin <= port <= end for begin, end in zone.ranges)
        for port in range(first, first + more + 1)
    )
    assert lets_in(zone, Port(first, first + more, "a test")) is each


def test_what_is_listed_is_read() -> None:
    # The default zone has a word behind its name since firewalld 1.3.
    text = "public (default)\n  interfaces: eth0\ntrusted\n  sources: 10.0.0.0/8\n"
    assert parsed_names(text) == ["public", "trusted"]
    zone = parsed_zone(
        "public", "public\n  target: default\n  services: ssh\n  ports: 1/tcp x 5-6/tcp 7/udp\n"
    )
    assert zone == Zone("public", False, ((1, 1), (5, 6)), ("ssh",))
    assert parsed_zone("public", "") == Zone("public", False, ())


def test_without_the_program_nothing_is_said(tmp_path: Path) -> None:
    code = (
        "from he_fsm.runtime.doctor.firewall import firewall_findings as f\n"
        "from he_fsm.runtime.ports import Port\n"
        "assert list(f([Port(1, 1, 'a test')])) == []\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, check=True, timeout=60
    )
