"""
What the first host tells further hosts, on the shared storage.

A document in JSON: the answers as `answers.conf`, the settings that were put over the
configuration, what each host can run, the secret of migrations, and the definition of a domain. It
holds a secret, so the file is for root and the daemons' group alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from he_fsm.errors import DeployError

_FORMAT: Final = 1


@attrs.frozen(kw_only=True)
class Fitness:
    """
    What a host can give the VM.

    `cpus`: the CPU models that it can run, the most able one first; `machines`: the machine types,
    the newest one first. Empty: it is not known. `accel`: kvm or tcg; empty: not known.
    `memory_mb`: its whole memory.
    """

    hostname: str = ""
    cpus: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    accel: str = ""
    memory_mb: int = 0


@attrs.frozen(kw_only=True)
class Told:
    """All of it; `hosts` by their host ids."""

    answers: str
    settings: Mapping[str, Any]
    hosts: Mapping[int, Fitness]
    secret: str = attrs.field(default="", repr=False)
    domain: str = ""

    def with_host(self, host_id: int, fitness: Fitness) -> Told:
        """Return the same with one more host, or one that has changed."""
        return attrs.evolve(self, hosts={**self.hosts, host_id: fitness})

    def with_secret(self, secret: str) -> Told:
        """Return the same with the secret of migrations."""
        return attrs.evolve(self, secret=secret)

    def with_domain(self, domain: str) -> Told:
        """Return the same with the definition of a domain that has no place of its own."""
        return attrs.evolve(self, domain=domain)

    def without_host(self, host_id: int) -> Told:
        """Return the same without a host."""
        hosts = {number: each for number, each in self.hosts.items() if number != host_id}
        return attrs.evolve(self, hosts=hosts)


def to_text(told: Told) -> str:
    """Return the document."""
    plain = {
        "he-fsm deployment": _FORMAT,
        "answers": told.answers,
        "settings": dict(told.settings),
        "hosts": {str(number): attrs.asdict(each) for number, each in sorted(told.hosts.items())},
        "secret": told.secret,
        "domain": told.domain,
    }
    return json.dumps(plain, indent=1)


def from_text(text: str, where: str) -> Told:
    """
    Read the document.

    Raises:
        DeployError: it is none, or a newer release has written it.
    """
    try:
        plain = json.loads(text)
        if plain["he-fsm deployment"] != _FORMAT:
            msg = f"{where} was written by a newer release of he_fsm: upgrade this host first"
            raise DeployError(msg)
        return Told(
            answers=str(plain["answers"]),
            settings=dict(plain["settings"]),
            hosts={int(number): _fitness(each) for number, each in plain["hosts"].items()},
            secret=str(plain["secret"]),
            domain=str(plain["domain"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{where} does not hold what a first host tells further ones: {error!r}"
        raise DeployError(msg) from error


def _fitness(plain: Mapping[str, Any]) -> Fitness:
    return Fitness(
        hostname=str(plain["hostname"]),
        cpus=tuple(map(str, plain["cpus"])),
        machines=tuple(map(str, plain["machines"])),
        accel=str(plain["accel"]),
        memory_mb=int(plain["memory_mb"]),
    )
