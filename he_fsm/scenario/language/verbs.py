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
from he_fsm.metadata.layout import SLOT_BYTES, VERSION_MAX
from he_fsm.scenario.language.conditions import ConditionsForm
from he_fsm.scenario.language.forms import (
    HOST_SCHEMA,
    Argument,
    Fraction,
    HostReference,
    Load,
    Phrase,
)
from he_fsm.scenario.language.host_names import GLOBAL_SLOT, HostNames
from he_fsm.scenario.model import COUNT, NOT_NEGATIVE, TimelineEntry, Verb

# How many bytes of a torn write arrive if the entry does not say.
TORN_BYTES: Final = 300


@attrs.frozen
class ReadingsForm:
    """Some of a host's readings."""

    forms: Mapping[str, Form] = attrs.field(
        factory=lambda: {
            "gateway": Fraction(),
            "bridge": Fraction(),
            "mem_free": NOT_NEGATIVE,
            "cpu_load": Load(),
            "mem_load": Load(),
        }
    )

    def read(self, node: Node, hosts: HostNames) -> dict[str, float]:
        """Return the readings by name."""
        readings = read_keys(node, self.forms, hosts, "readings like {gateway: 0}")
        if not readings:
            raise refusal(node, f"expected at least one of {', '.join(self.forms)}")
        return readings

    def schema(self) -> Schema:
        """Return the schema of an object with at least one reading."""
        return {**keys_schema(self.forms), "minProperties": 1}


# No clock that a machine still uses is further off.
_RATE_MIN: Final = 0.1
_RATE_MAX: Final = 10.0
# The longest number that an oVirt reader is sure to read: 64 bits.
_SCORE_WRITTEN_MAX: Final = 2**63 - 1


@attrs.frozen
class ClockChangeForm:
    """`+1h`, `-1h`: a jump; `rate 1.01`: seconds of the clock in each true second."""

    def read(self, node: Node, hosts: HostNames) -> tuple[str, float]:
        """Return ("jump", seconds) or ("rate", factor)."""
        scalar = as_scalar(node, "a jump like +1h, or 'rate 1.01'")
        word, _, rest = scalar.text.partition(" ")
        if word != "rate":
            return "jump", Duration(signed=True).read(node, hosts)
        rate = NOT_NEGATIVE.read(attrs.evolve(scalar, text=rest, value=rest), hosts)
        if not rate:
            raise refusal(node, "a clock's rate must be above 0")
        if not _RATE_MIN <= rate <= _RATE_MAX:
            limits = f"{_RATE_MIN:g} to {_RATE_MAX:g}"
            raise refusal(node, f"expected a clock's rate from {limits}, got {describe(node)}")
        return "rate", rate

    def schema(self) -> Schema:
        """Return the schema of a signed duration, or of a rate."""
        rate = {"type": "string", "pattern": "^rate .+"}
        return {"anyOf": [*Duration(signed=True).schema()["anyOf"], rate]}


@attrs.frozen
class BytesForm:
    """The bytes of a slot: `0x00ff` in hexadecimal, anything else as text in UTF-8."""

    def read(self, node: Node, _hosts: HostNames) -> bytes:
        """Return the bytes, at most those of a slot."""
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
        """Return the hosts' names."""
        parts = node.items if isinstance(node, Sequence) else (node,)
        if not parts:
            raise refusal(node, "expected at least one host")
        names: dict[str, None] = {}
        for part in parts:
            is_global = isinstance(part, Scalar) and part.label == str(GLOBAL_SLOT)
            names.update(dict.fromkeys([str(GLOBAL_SLOT)] if is_global else hosts.many(part)))
        return tuple(names)

    def schema(self) -> Schema:
        """Return the schema of a host, or of an array of hosts."""
        return {"anyOf": [HOST_SCHEMA, {"type": "array", "items": HOST_SCHEMA, "minItems": 1}]}


@attrs.frozen
class VerbForm:
    """
    The form of a verb's value.

    `needs_host`: the verb concerns hosts (True), no host (False), or that depends on the value
    (None).
    """

    form: Form
    needs_host: Optional[bool] = True


_FAILS: Final = {"ok": None, "fail": Argument(Integer(1, COUNT.maximum), is_optional=True)}

# A choice is read as its word, a phrase as a pair: the word, and what it has besides or None.
VERBS: Final[Mapping[Verb, VerbForm]] = {
    # A mapping from names of readings to numbers.
    Verb.SET: VerbForm(ReadingsForm()),
    Verb.POWER: VerbForm(
        Choice.of(
            *("off", "on", "reset", "freeze", "thaw", "suspend", "resume"),
            *("shutdown", "reboot", "stay"),
        ),
    ),
    Verb.AGENT: VerbForm(Choice.of("kill", "crash", "stop", "start", "freeze", "thaw")),
    Verb.BROKER: VerbForm(Choice.of("kill", "crash", "start", "freeze", "thaw")),
    Verb.SANLOCK: VerbForm(Choice.of("kill", "start", "freeze", "thaw")),
    # Seconds for `slow`.
    Verb.STORAGE: VerbForm(
        Phrase(
            {
                **dict.fromkeys(("cut", "hang", "no-writes", "no-reads", "restore")),
                "slow": Argument(Duration()),
            }
        ),
    ),
    Verb.HYPERVISOR: VerbForm(Choice.of("lost", "back")),
    # How many for `fail`, None: always.
    Verb.STARTS: VerbForm(Phrase(_FAILS)),
    # Seconds for `die`.
    Verb.BOOTS: VerbForm(
        Phrase({"ok": None, "never": None, "die": Argument(Duration())}),
    ),
    # How many for `fail`, None: always.
    Verb.MIGRATIONS: VerbForm(
        Phrase({**_FAILS, "hang": None}),
    ),
    Verb.FAILED_STARTS: VerbForm(COUNT),
    Verb.VERSION: VerbForm(Integer(0, VERSION_MAX)),
    # `on` and `off` with a host, `global` and `none` without.
    Verb.MAINTENANCE: VerbForm(
        Choice.of("on", "off", "global", "none"),
        needs_host=None,
    ),
    # A pair: `jump` and seconds, or `rate` and a factor.
    Verb.CLOCK: VerbForm(ClockChangeForm()),
    # A number for `torn` and `score`, bytes for `text`.
    Verb.SLOT: VerbForm(
        Phrase(
            {
                **dict.fromkeys(("corrupt", "zero", "bad-crc", "bad-text", "too-new", "too-old")),
                **dict.fromkeys(("wrong-id", "stale", "snapshot", "replay")),
                "torn": Argument(Integer(0, SLOT_BYTES), is_optional=True, default=TORN_BYTES),
                "score": Argument(Integer(-_SCORE_WRITTEN_MAX, _SCORE_WRITTEN_MAX)),
                "text": Argument(BytesForm()),
            }
        ),
    ),
    # The name of the host for `migrate`.
    Verb.ENGINE: VerbForm(
        Phrase(
            {
                **dict.fromkeys(("kill", "panic", "shutdown", "hang", "heal", "pause", "resume")),
                "migrate": Argument(HostReference()),
            }
        ),
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
_LASTING: Final = (Verb.SLOT, Verb.MAINTENANCE)
_VERB_NAMES: Final = tuple(verb.value for verb in VERBS)


@attrs.frozen
class TimelineForm:
    """One entry of the timeline."""

    def read(self, node: Node, hosts: HostNames) -> TimelineEntry:
        """Return the entry."""
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
        if "for" in common and not _may_last(verb, value):
            message = "'for' goes with what overwrites a slot, and with maintenance that is set"
            raise refusal(pairs["for"].key, message)
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
        """Return the schema of an object with exactly one verb."""
        forms = {**_COMMON, **{verb.value: form.form for verb, form in VERBS.items()}}
        return {
            **keys_schema(forms),
            "anyOf": [{"required": ["at"]}, {"required": ["since"]}],
            "oneOf": [_verb_schema(verb) for verb in VERBS],
            "not": {"required": ["host", "hosts"]},
            "dependentRequired": {"times": ["every"]},
            "dependentSchemas": {
                "for": {"anyOf": [{"required": [each.value]} for each in _LASTING]}
            },
        }


_HAS_HOST: Final[Schema] = {"anyOf": [{"required": ["host"]}, {"required": ["hosts"]}]}


def _verb_schema(verb: Verb) -> Schema:
    """Return the schema that requires the verb, and a host if the verb needs one."""
    schema: Schema = {"required": [verb.value]}
    needs_host = VERBS[verb].needs_host
    if needs_host is None:
        about_host = {"properties": {verb.value: words_schema(HOST_MAINTENANCE)}}
        return {**schema, "if": _HAS_HOST, "then": about_host, "else": {"not": about_host}}
    return {**schema, **(_HAS_HOST if needs_host else {"not": _HAS_HOST})}


def _may_last(verb: Verb, value: Any) -> bool:
    """Return whether what a verb does may be for a time."""
    if verb is Verb.MAINTENANCE:
        return value in ("on", "global")
    return verb is Verb.SLOT and value[0] != "snapshot"


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
