"""Questions about the network of the host, and about the engine and its page."""

from __future__ import annotations

from typing import Final, Optional

from he_fsm.deploy.asking import readers
from he_fsm.deploy.asking.conditions import SERVICES, has_vm, unless, when
from he_fsm.deploy.asking.question import Look, Machine, Question, Section, Values
from he_fsm.deploy.asking.readers import Value
from he_fsm.runtime.config.settings import HEALTH_PAGE

_LOOPBACK: Final = "lo"


def _bridge_is_missing(values: Values, machine: Machine) -> bool:
    return has_vm(values, machine) and values.get("bridge") not in machine.interfaces


def _first_nic(_: Values, machine: Machine) -> Optional[Value]:
    return machine.nics[0] if machine.nics else None


def _bridge(values: Values, machine: Machine) -> Value:
    if values.get("hypervisor") in SERVICES:
        # No card of a VM is put on it: any interface that connects this host will do.
        found = (*machine.bridges, *machine.nics, *machine.interfaces)
        return next((each for each in found if each != _LOOPBACK), _LOOPBACK)
    usual = "ovirtmgmt"
    return usual if usual in machine.bridges or not machine.bridges else machine.bridges[0]


def _health_url(values: Values, _: Machine) -> Value:
    return f"http://{values['fqdn']}{HEALTH_PAGE}"


def _host_name(values: Values, _: Machine) -> Value:
    return f"hosted_engine_{values.get('host_id') or 1}"


OF_NETWORK: Final = (
    Question(
        key="gateway",
        section=Section.NETWORK,
        prompt="Please indicate a pingable gateway IP address",
        read=readers.address,
        ovirt="OVEHOSTED_NETWORK/gateway",
        label="Gateway address",
        look=Look.ANSWERS_PING,
    ),
    Question(
        key="firewall",
        section=Section.NETWORK,
        prompt="firewalld was detected on your computer, do you wish setup to configure it?"
        " (Yes, No)",
        read=readers.yes_no,
        default=True,
        applies=lambda values, machine: (
            machine.firewall == "firewalld" and values.get("hypervisor") not in SERVICES
        ),
        label="Firewall manager",
    ),
    Question(
        key="bridge",
        section=Section.NETWORK,
        prompt="Please indicate the management bridge",
        read=readers.nic,
        default=_bridge,
        ovirt="OVEHOSTED_NETWORK/bridgeName",
        label="Bridge name",
        applies=unless("hypervisor", "embedded"),
        is_asked=False,
    ),
    Question(
        key="bridge_nic",
        section=Section.NETWORK,
        prompt="Please indicate a nic to set the bridge on",
        read=readers.nic,
        default=_first_nic,
        ovirt="OVEHOSTED_NETWORK/bridgeIf",
        label="Bridge interface",
        look=Look.NIC,
        applies=_bridge_is_missing,
    ),
)
OF_ENGINE: Final = (
    Question(
        key="ovirt_engine",
        section=Section.ENGINE,
        prompt="Is the VM an oVirt engine, to which this host is added? (Yes, No)",
        read=readers.yes_no,
        default=False,
        applies=unless("hypervisor", "embedded", *SERVICES),
        label="oVirt engine",
    ),
    Question(
        key="host_name",
        section=Section.ENGINE,
        prompt="Enter the name which will be used to identify this host inside the Administrator"
        " Portal",
        read=readers.word,
        default=_host_name,
        ovirt="OVEHOSTED_ENGINE/appHostName",
        label="Host name for web application",
        applies=when("ovirt_engine", True),
    ),
    Question(
        key="admin_password",
        section=Section.ENGINE,
        prompt="Enter 'admin@internal' user password that will be used for accessing the"
        " Administrator Portal",
        read=readers.password,
        ovirt="OVEHOSTED_ENGINE/adminPassword",
        is_secret=True,
        applies=when("ovirt_engine", True),
    ),
    Question(
        key="fqdn",
        section=Section.ENGINE,
        prompt="Please provide the FQDN for the engine you would like to use. This needs to match"
        " the FQDN that you will use for the engine installation within the VM",
        read=readers.fqdn,
        ovirt="OVEHOSTED_NETWORK/fqdn",
        label="Engine FQDN",
        look=Look.RESOLVES,
        look_if=unless("hypervisor", "embedded"),
        applies=unless("hypervisor", *SERVICES),
    ),
    Question(
        key="health_url",
        section=Section.ENGINE,
        prompt="Please provide the address of the engine's health page",
        read=readers.url,
        default=_health_url,
        label="Health page",
        applies=unless("hypervisor", "embedded", *SERVICES),
        is_asked=False,
    ),
    Question(
        key="ssh_port",
        section=Section.ENGINE,
        prompt="Please specify the port of this host's SSH daemon",
        read=readers.whole(1, 65535),
        default=22,
        ovirt="OVEHOSTED_NETWORK/sshdPort",
        label="SSH daemon port",
        is_asked=False,
        applies=when("ovirt_engine", True),
    ),
)
