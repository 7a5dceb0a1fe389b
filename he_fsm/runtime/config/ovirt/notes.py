"""What oVirt's files say that means nothing here, or not what it seems to: for `config check`."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final, Optional

from he_fsm.document.nodes import Scalar, suggestion
from he_fsm.runtime.config.outside import OvirtConfig
from he_fsm.runtime.config.ovirt import files as ovirt
from he_fsm.runtime.ports import Finding
from he_fsm.states.names import State
from he_fsm.states.table import TABLE

# What each section of `agent.conf` and `broker.conf` may hold.
_AGENT_KEYS: Final = frozenset(ovirt.SCORE_KEYS)
_EMAIL_KEYS: Final = frozenset((*ovirt.MAIL_KEYS, "destination-emails"))
_NOTIFY_KEYS: Final = frozenset(("state_transition",))
# Names that people write, or that older files have, and what they are called.
_OTHER_NAMES: Final = {
    "gateway-score-penalty": "network-score-penalty",
    "bridge-score-penalty": "mgmt-bridge-score-penalty",
    "memory-score-penalty": "free-memory-score-penalty",
    "smtp-host": "smtp-server",
    "email-to": "destination-emails",
    "email-from": "source-email",
    "state-transition": "state_transition",
}
# The keys of `hosted-engine.conf` that are read, where quotes would be part of the value.
_DEPLOYED_KEYS: Final = (
    *("fqdn", "vmid", "host_id", "sdUUID", "gateway", "bridge", "conf", "configured"),
    *("network_test", "tcp_t_address", "tcp_t_port"),
    *("vdsm_use_ssl", "vm_disk_id", "vm_disk_vol_id"),
)
_PORT: Final = re.compile(r"(?P<host>[^:]+):(?P<port>[0-9]+)")


def ovirt_notes(files: Optional[OvirtConfig]) -> tuple[Finding, ...]:
    """
    Return what is read from oVirt's files and means nothing here, with what to write instead.

    Raises:
        DocumentError: a file can't be read.
    """
    if files is None:
        return ()
    deployment = ovirt.deployment_of(files)
    configured = deployment.get("configured")
    if configured is not None and configured.text != "True":
        said = (
            "nothing in oVirt's files is used; where this host is deployed, write configured=True"
        )
        return (_note(configured, said),)
    agent = ovirt.values_of(files.agent_dir / "agent.conf")
    broker_path = ovirt.broker_path(files)
    broker = {} if broker_path is None else ovirt.values_of(broker_path)
    return (
        *_deployed(deployment),
        *_unknown_keys(agent, {"score": _AGENT_KEYS}),
        *_unknown_keys(broker, {"email": _EMAIL_KEYS, "notify": _NOTIFY_KEYS}),
        *_mail(broker),
        *_transitions(broker.get(("notify", "state_transition"))),
        *_quoted((*agent.values(), *broker.values())),
    )


def _note(where: Scalar, what: str) -> Finding:
    return Finding(what=f"{where.place.exact}: {where.path}: {what}", is_fatal=False)


def _deployed(deployment: ovirt.Values) -> Iterator[Finding]:
    values = [deployment[key] for key in _DEPLOYED_KEYS if key in deployment]
    yield from _quoted(values)
    fqdn = deployment.get("fqdn")
    if fqdn is None:
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(fqdn.text).version == 6:
            yield _note(
                fqdn,
                f"an IPv6 address, asked as http://[{fqdn.text}]/...; set engine.health.url if the"
                " page is elsewhere",
            )


def _quoted(values: Iterable[Scalar]) -> Iterator[Finding]:
    for value in values:
        text = value.text
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            yield _note(value, f"the quotes are part of the value here: write {text[1:-1]}")


def _unknown_keys(values: ovirt.Sections, known: dict[str, frozenset[str]]) -> Iterator[Finding]:
    for (section, key), value in values.items():
        names = known.get(section, frozenset())
        if section not in known or key in names:
            continue
        other = _OTHER_NAMES.get(key)
        better = f": write {other}" if other in names else suggestion(key, sorted(names))
        yield _note(value, f"this key means nothing in [{section}]{better}")


def _mail(values: ovirt.Sections) -> Iterator[Finding]:
    server = values.get(("email", "smtp-server"))
    parts = None if server is None else _PORT.fullmatch(server.text)
    if server is not None and parts is not None:
        yield _note(
            server,
            f"the port does not belong here: write smtp-server = {parts['host']} and"
            f" smtp-port = {parts['port']}",
        )


def _transitions(pattern: Optional[Scalar]) -> Iterator[Finding]:
    """Name the alternatives of the pattern that no edge can ever match."""
    if pattern is None:
        return
    edges = [f"{state.value}-{edge.to.value}" for state, rows in TABLE.items() for edge in rows]
    for word in _alternatives(pattern.text):
        try:
            matches = any(re.search(word, edge, re.IGNORECASE) for edge in edges)
        except re.error:
            # Only together with the others it is an expression.
            return
        if not matches:
            names = suggestion(word, [state.value for state in State])
            yield _note(pattern, f"no edge between states here matches {word!r}{names}")


def _alternatives(pattern: str) -> list[str]:
    """Return the alternatives of a pattern, unless one has parts of its own."""
    if re.search(r"[()\[\]\\]", pattern):
        return [pattern]
    return [word for word in pattern.split("|") if word]
