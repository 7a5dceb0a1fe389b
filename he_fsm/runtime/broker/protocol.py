"""
What goes over the broker's socket: HTTP with JSON, so that a person can ask with curl.

    curl --unix-socket /run/he-fsm/broker.sock http://localhost/v1/status

| request | answer |
| --- | --- |
| GET /v1/facts | readings with ages, engine health, leases, the local flag |
| POST /v1/join | 204 when this host holds its host id; 409 while another has it |
| GET /v1/whiteboard | the bytes of all slots; 503 while the storage can't be read |
| GET /v1/whiteboard?fresh=1 | the same, of a reading that ends after the question: for the agent |
| PUT /v1/slot | 204 when this host's slot (4096 bytes) is on the storage; 409 without the host id |
| POST /v1/mend | writes {"global": bool} to slot 0 if that can't be believed: {"written": bool} |
| POST /v1/end | ends global maintenance if slot 0 says {"until": time}: {"written": bool} |
| PUT /v1/report | what the agent thinks, shown by the status: 204, or {"orders": [...]} for it |
| GET /v1/report | the agent's last report and its age; the storage is not touched |
| POST /v1/events | 204; something people may be told, queued |
| GET /v1/wake?after=N&timeout=S | {"count": M} as soon as M is not N: a change; else after S |
| GET /v1/watch?after=N&timeout=S | the same for people: there is a new status; 429: too many wait |
| GET /v1/maintenance | {"local": bool, "global": bool, or null while slot 0 can't be read} |
| PUT /v1/maintenance | sets {"local": bool} and/or {"global": bool}; the answer is as for GET |
| both, with an end | "until", and "local_until", "global_until" in answers: seconds since 1970 |
| POST /v1/vm | orders {"order": "start"} (start-paused, shutdown, poweroff): {"number": N} |
| POST /v1/leave | 204 when the host id is given back; 409 while the engine's VM is here |
| GET /v1/status | everything a person wants to know, as JSON |
| GET /metrics | the same for Prometheus |

Root and the broker's own user may ask all of it. Members of the broker's group may look, and set
maintenance: what changes what other hosts see, or speaks in the agent's name, is the agent's alone
(slot, mend, PUT report, events, join, leave), and only root and the daemons' own user order the VM.

Errors are {"error": sentence}: 400 what was asked is wrong, 403 not for you, 409 the lease manager
refuses, 503 the storage can't be used, 500 anything else. docs/broker.md has an example of each.
"""

from __future__ import annotations

from typing import Any, Optional, TypeVar

import attrs
import cattrs

from he_fsm.errors import HeFsmError
from he_fsm.runtime.ports import Event, LeaseStatus
from he_fsm.serialise import teach
from he_fsm.snapshot import Health, Readings

JSON = dict[str, Any]
_Kind = TypeVar("_Kind")


@attrs.frozen(kw_only=True)
class EngineHealth:
    """The health page as it was last asked: what it said, how many seconds ago, and why."""

    health: Health
    age_s: float
    why: str = ""


@attrs.frozen(kw_only=True)
class BrokerFacts:
    """All that the broker knows for one pass of the agent's loop, the whiteboard apart."""

    readings: Readings
    engine: EngineHealth
    # None: the lease manager or its storage does not answer.
    leases: Optional[LeaseStatus]
    local_maintenance: bool


@attrs.frozen(kw_only=True)
class Maintenance:
    """
    The two flags. `everywhere` None: slot 0 can't be read, or holds no value.

    The others: when each ends by itself (seconds since 1970); None: somebody ends it.
    """

    local: bool
    everywhere: Optional[bool]
    local_until: Optional[int] = None
    everywhere_until: Optional[int] = None


_converter = cattrs.Converter(forbid_extra_keys=True)
teach(_converter)


def facts_to_json(facts: BrokerFacts) -> JSON:
    """Return facts as a plain object."""
    return dict(_converter.unstructure(facts))


def facts_from_json(plain: JSON) -> BrokerFacts:
    """
    Read facts.

    Raises:
        HeFsmError: the object is of another form.
    """
    return _structured(plain, BrokerFacts)


def event_to_json(event: Event) -> JSON:
    """Return an event as a plain object."""
    return dict(_converter.unstructure(event))


def event_from_json(plain: JSON) -> Event:
    """
    Read an event.

    Raises:
        HeFsmError: the object is of another form.
    """
    return _structured(plain, Event)


def _structured(plain: JSON, kind: type[_Kind]) -> _Kind:
    try:
        return _converter.structure(plain, kind)
    # cattrs raises what it likes for what is not of the expected form.
    except Exception as error:
        reasons = "; ".join(cattrs.transform_error(error))
        msg = f"expected an object like {kind.__name__}: {reasons}"
        raise HeFsmError(msg) from error
