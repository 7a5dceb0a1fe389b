"""The timeline: its verbs, their values, and how an entry is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Choice, Duration, Form, Integer, Schema, words_schema
from he_fsm.document.mappings import keys_schema, known_pairs, read_keys
from he_fsm.document.nodes import (
    Node,
    Pair,
    Scalar,
    Sequence,
    as_scalar,
    describe,
    flow_text,
    refusal,
)
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.scenario.conditions import ConditionsForm
from he_fsm.scenario.forms import HOST_SCHEMA, Argument, Fraction, HostReference, Phrase
from he_fsm.scenario.host_names import GLOBAL_SLOT, HostNames
from he_fsm.scenario.model import NOT_NEGATIVE, TimelineEntry, Verb

# How much of a torn write arrives where the entry does not say.
TORN_BYTES: Final = 300


@attrs.frozen
class ReadingsForm:
    """Some of a host's readings."""

    forms: Mapping[str, Form] = attrs.field(
        factory=lambda: {
            "gateway": Fraction(),
            "bridge": Fraction(),
            "mem_free": NOT_NEGATIVE,
            "cpu_load": NOT_NEGATIVE,
            "mem_load": NOT_NEGATIVE,
        }
    )

    def read(self, node: Node, hosts: HostNames) -> dict[str, float]:
        """Give the readings by name."""
        readings = read_keys(node, self.forms, hosts, "readings like {gateway: 0}")
        if not readings:
            raise refusal(node, f"expected at least one of {', '.join(self.forms)}")
        return readings

    def schema(self) -> Schema:
        """Give an object with at least one reading."""
        return {**keys_schema(self.forms), "minProperties": 1}


@attrs.frozen
class ClockChangeForm:
    """`+1h`, `-1h`: a jump; `rate 1.01`: seconds that the clock runs in each true one."""

    def read(self, node: Node, hosts: HostNames) -> tuple[str, float]:
        """Give ("jump", seconds) or ("rate", factor)."""
        scalar = as_scalar(node, "a jump like +1h, or 'rate 1.01'")
        word, _, rest = scalar.text.partition(" ")
        if word != "rate":
            return "jump", Duration(signed=True).read(node, hosts)
        rate = NOT_NEGATIVE.read(attrs.evolve(scalar, text=rest, value=rest), hosts)
        if not rate:
            raise refusal(node, "a clock's rate must be above 0")
        return "rate", rate

    def schema(self) -> Schema:
        """Give a signed duration, or a rate."""
        rate = {"type": "string", "pattern": "^rate .+"}
        return {"anyOf": [*Duration(signed=True).schema()["anyOf"], rate]}


@attrs.frozen
class BytesForm:
    """The bytes of a slot: `0x00ff` in hexadecimal, anything else as text in UTF-8."""

    def read(self, node: Node, _hosts: HostNames) -> bytes:
        """Give at most as many bytes as a slot has."""
        text = as_scalar(node, "text, or bytes like 0x00ff").text
        is_hex = re.fullmatch("0x([0-9a-fA-F]{2})*", text) is not None
        data = bytes.fromhex(text[2:]) if is_hex else text.encode()
        if len(data) > SLOT_BYTES:
            raise refusal(node, f"a slot has {SLOT_BYTES} bytes, got {len(data)}")
        return data


@attrs.frozen
class EntryHostsForm:
    """Hosts by id, name, range, `all` or a list of these; 0 is the global slot."""

    def read(self, node: Node, hosts: HostNames) -> tuple[str, ...]:
        """Give the hosts' names."""
        parts = node.items if isinstance(node, Sequence) else (node,)
        if not parts:
            raise refusal(node, "expected at least one host")
        names: dict[str, None] = {}
        for part in parts:
            is_global = isinstance(part, Scalar) and part.label == str(GLOBAL_SLOT)
            names.update(dict.fromkeys([str(GLOBAL_SLOT)] if is_global else hosts.many(part)))
        return tuple(names)

    def schema(self) -> Schema:
        """Give one or many."""
        return {"anyOf": [HOST_SCHEMA, {"type": "array", "items": HOST_SCHEMA, "minItems": 1}]}


@attrs.frozen
class VerbForm:
    """
    A verb's value, and what the reader makes of it.

    `needs_host`: it is about hosts (True), about none (False), or the value says (None).
    """

    form: Form
    gives: str
    needs_host: Optional[bool] = True


_FAILS: Final = {"ok": None, "fail": Argument(Integer(minimum=1), is_optional=True)}

VERBS: Final[Mapping[Verb, VerbForm]] = {
    Verb.SET: VerbForm(ReadingsForm(), "dict: name of a reading -> number"),
    Verb.POWER: VerbForm(Choice.of("off", "on", "reset", "freeze", "thaw"), "str"),
    Verb.AGENT: VerbForm(Choice.of("kill", "stop", "start", "freeze", "thaw"), "str"),
    Verb.BROKER: VerbForm(Choice.of("kill", "start", "freeze", "thaw"), "str"),
    Verb.SANLOCK: VerbForm(Choice.of("kill", "start", "freeze", "thaw"), "str"),
    Verb.STORAGE: VerbForm(
        Phrase({"cut": None, "hang": None, "restore": None, "slow": Argument(Duration())}),
        "(word, seconds for slow)",
    ),
    Verb.HYPERVISOR: VerbForm(Choice.of("lost", "back"), "str"),
    Verb.STARTS: VerbForm(Phrase(_FAILS), "(word, how many for fail, None: always)"),
    Verb.BOOTS: VerbForm(
        Phrase({"ok": None, "never": None, "die": Argument(Duration())}),
        "(word, seconds for die)",
    ),
    Verb.MIGRATIONS: VerbForm(
        Phrase({**_FAILS, "hang": None}), "(word, how many for fail, None: always)"
    ),
    Verb.FAILED_STARTS: VerbForm(Integer(minimum=0), "int"),
    Verb.VERSION: VerbForm(Integer(minimum=0), "int"),
    Verb.MAINTENANCE: VerbForm(
        Choice.of("on", "off", "global", "none"),
        "str: on or off with a host, global or none without",
        needs_host=None,
    ),
    Verb.CLOCK: VerbForm(ClockChangeForm(), "('jump', seconds) or ('rate', factor)"),
    Verb.SLOT: VerbForm(
        Phrase(
            {
                **dict.fromkeys(("corrupt", "zero", "bad-crc", "bad-text", "too-new", "too-old")),
                **dict.fromkeys(("wrong-id", "stale", "snapshot", "replay")),
                "torn": Argument(Integer(0, SLOT_BYTES), is_optional=True, default=TORN_BYTES),
                "score": Argument(Integer()),
                "text": Argument(BytesForm()),
            }
        ),
        "(word, int for torn and score, bytes for text)",
    ),
    Verb.ENGINE: VerbForm(
        Phrase(
            {
                **dict.fromkeys(("kill", "shutdown", "hang", "heal", "pause", "resume")),
                "migrate": Argument(HostReference()),
            }
        ),
        "(word, name of the host for migrate)",
        needs_host=False,
    ),
}
HOST_MAINTENANCE: Final = ("on", "off")

_COMMON: Final[Mapping[str, Form]] = {
    "at": Duration(),
    "host": EntryHostsForm(),
    "hosts": EntryHostsForm(),
    "every": Duration(positive=True),
    "times": Integer(minimum=1),
    "since": ConditionsForm(),
    "for": Duration(positive=True),
}
_VERB_NAMES: Final = tuple(verb.value for verb in VERBS)


@attrs.frozen
class TimelineForm:
    """One entry of the timeline."""

    def read(self, node: Node, hosts: HostNames) -> TimelineEntry:
        """Give the entry."""
        pairs = known_pairs(
            node, (*_COMMON, *_VERB_NAMES), "an entry like {at: 60s, host: 1, power: off}"
        )
        verb = _the_verb(node, pairs)
        common = {
            key: _COMMON[key].read(pair.value, hosts)
            for key, pair in pairs.items()
            if key in _COMMON
        }
        if "at" not in common and "since" not in common:
            raise refusal(node, "the key 'at' is missing")
        if "times" in common and "every" not in common:
            raise refusal(pairs["times"].key, "'times' needs 'every' beside it")
        value_node = pairs[verb.value].value
        value = VERBS[verb].form.read(value_node, hosts)
        names = _hosts_of(pairs, verb, common)
        _check_host_or_none(pairs, verb, value, names)
        if "for" in common and (verb is not Verb.SLOT or value[0] == "snapshot"):
            raise refusal(pairs["for"].key, "'for' goes with what overwrites a slot")
        every = common.get("every")
        return TimelineEntry(
            at=common.get("at", 0.0),
            hosts=names,
            verb=verb,
            value=value,
            every=every,
            times=common.get("times", 1 if every is None else None),
            since=common.get("since", ()),
            for_s=common.get("for"),
            text=flow_text(node),
            place=node.place,
        )

    def schema(self) -> Schema:
        """Give an object with exactly one verb."""
        forms = {**_COMMON, **{verb.value: form.form for verb, form in VERBS.items()}}
        return {
            **keys_schema(forms),
            "anyOf": [{"required": ["at"]}, {"required": ["since"]}],
            "oneOf": [_verb_schema(verb) for verb in VERBS],
            "not": {"required": ["host", "hosts"]},
            "dependentRequired": {"times": ["every"], "for": [Verb.SLOT.value]},
        }


_HAS_HOST: Final[Schema] = {"anyOf": [{"required": ["host"]}, {"required": ["hosts"]}]}


def _verb_schema(verb: Verb) -> Schema:
    """Say that the verb is there, with or without a host as it needs."""
    schema: Schema = {"required": [verb.value]}
    needs_host = VERBS[verb].needs_host
    if needs_host is None:
        about_host = {"properties": {verb.value: words_schema(HOST_MAINTENANCE)}}
        return {**schema, "if": _HAS_HOST, "then": about_host, "else": {"not": about_host}}
    return {**schema, **(_HAS_HOST if needs_host else {"not": _HAS_HOST})}


def _the_verb(node: Node, pairs: Mapping[str, Pair]) -> Verb:
    found = [key for key in pairs if key in _VERB_NAMES]
    if not found:
        raise refusal(node, f"no verb here; expected one of {', '.join(_VERB_NAMES)}")
    if len(found) > 1:
        raise refusal(pairs[found[1]].key, f"an entry has one verb, this has '{found[0]}' as well")
    return Verb(found[0])


def _hosts_of(pairs: Mapping[str, Pair], verb: Verb, common: Mapping[str, Any]) -> tuple[str, ...]:
    if "host" in common and "hosts" in common:
        raise refusal(pairs["hosts"].key, "give 'host' or 'hosts', not both")
    for key in ("host", "hosts"):
        names: tuple[str, ...] = common.get(key, ())
        if str(GLOBAL_SLOT) in names and verb is not Verb.SLOT:
            message = "host 0 is the global slot: only the verb 'slot' is about it"
            raise refusal(pairs[key].value, message)
        if names:
            return names
    return ()


def _check_host_or_none(
    pairs: Mapping[str, Pair], verb: Verb, value: Any, names: tuple[str, ...]
) -> None:
    key, written = pairs[verb.value].key, pairs[verb.value].value
    needs_host = VERBS[verb].needs_host
    if needs_host is None:
        needs_host = value in HOST_MAINTENANCE
        if needs_host and not names:
            message = f"expected global or none, or a host beside it, got {describe(written)}"
            raise refusal(written, message)
        if names and not needs_host:
            raise refusal(written, f"expected on or off for a host, got {describe(written)}")
    if needs_host and not names:
        raise refusal(key, f"'{verb.value}' is about hosts: give 'host' or 'hosts'")
    if names and not needs_host:
        host_key = (pairs.get("host") or pairs["hosts"]).key
        raise refusal(host_key, f"'{verb.value}' is about no host: leave this key out")
