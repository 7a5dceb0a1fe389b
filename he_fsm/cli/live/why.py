"""`he-fsm why`: what each host decides, from what, and what would make it decide otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Optional

import attrs
import click

from he_fsm.cli.broker import broker_option
from he_fsm.cli.live.seen import read, say_assumptions
from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.hosts import HostId, host_ids
from he_fsm.errors import ScenarioError
from he_fsm.live.seen import Seen
from he_fsm.observe import observe
from he_fsm.reasons import why_stay
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.score import Score
from he_fsm.simulate.standing import Standing, standing
from he_fsm.why.otherwise import Otherwise, otherwise
from he_fsm.why.outlook import Case, Turn, outlook
from he_fsm.words import id_ranges, printable, several, span_text

# So many loops make every host known to every other.
_LOOPS: Final = 3.5
# Of larger clusters only the hosts that matter are shown, unless one is asked for.
_SHOWN_MAX: Final = 8


@attrs.frozen(kw_only=True)
class _Host:
    """
    One host's answer.

    `decided`: the agent's own words, where it is this host's agent. `coming`: what it does if
    nothing changes. `moves_here`: what makes another host move the engine to this one.
    """

    host_id: int
    name: str
    state: str
    decided: str
    score: Score
    coming: Optional[Turn]
    otherwise: tuple[Otherwise, ...]
    moves_here: tuple[tuple[int, Otherwise], ...] = ()


@click.command()
@click.argument("host", type=HostId(), required=False, shell_complete=host_ids)
@broker_option
@json_option
def why(host: Optional[int], broker: BrokerClient, as_json: bool) -> None:
    """
    Explain what each host of the live cluster decides, or only HOST.

    Each host's state, reason and score come first; then what would make it decide otherwise, each
    thing alone, and how soon. The answers are those of the state machine itself, which is asked
    again with one thing changed. What hosts remember and do not write down is not known: it is
    taken as after some quiet loops.
    """
    seen = read(broker)
    say_assumptions(seen)
    loop_s = seen.scenario().policy.loop_s
    found = standing(seen.scenario(settings={"until": f"{_LOOPS * loop_s:g}s"}))
    if host is not None and host not in found:
        msg = f"host {host} has no agent that runs; there are {id_ranges(found)}"
        raise ScenarioError(msg)
    hosts = _hosts(seen, found, _chosen(seen, found) if host is None else [host])
    if as_json:
        click.echo(json.dumps({"hosts": {each.host_id: _plain(each) for each in hosts}}, indent=2))
        return
    for each in hosts:
        for line in _lines(each):
            click.echo(printable(line))
        click.echo()
    left_out = len(found) - len(hosts)
    if host is None and left_out:
        click.echo(f"{several(left_out, 'other host')}: he-fsm why HOST")


def _chosen(seen: Seen, found: Mapping[int, Standing]) -> list[int]:
    """Return all hosts, or of many that with the engine and this one."""
    if len(found) <= _SHOWN_MAX:
        return sorted(found)
    wanted = {seen.runs_on, seen.status["host_id"]}
    return [host_id for host_id in sorted(found) if host_id in wanted]


def _hosts(seen: Seen, found: Mapping[int, Standing], chosen: Sequence[int]) -> list[_Host]:
    # What the host with the engine would do concerns the others.
    asked = {*chosen, *([] if seen.runs_on is None else [seen.runs_on])}
    answers = {
        host_id: tuple(otherwise(found[host_id].case)) for host_id in sorted(asked & set(found))
    }
    return [
        _Host(
            host_id=host_id,
            name=found[host_id].name,
            state=found[host_id].case.memory.state.value,
            decided=_decided(seen.status, host_id, found[host_id]),
            score=found[host_id].score,
            coming=outlook(found[host_id].case),
            otherwise=answers[host_id],
            moves_here=tuple(_moves_here(answers, host_id)),
        )
        for host_id in chosen
    ]


def _decided(status: Mapping[str, Any], host_id: int, host: Standing) -> str:
    """Return why a host stays in its state: in its agent's words, where they are known."""
    agent = status["agent"]
    if host_id == status["host_id"] and agent.get("state") == host.case.memory.state.value:
        return f"{agent['why']} (its agent's own words, {span_text(agent['age_s'])} ago)"
    return _why(host.case)


def _why(case: Case) -> str:
    return why_stay(observe(case.memory, case.snapshot, case.policy))


def _moves_here(
    answers: Mapping[int, tuple[Otherwise, ...]], host_id: int
) -> Iterator[tuple[int, Otherwise]]:
    for other, found in answers.items():
        for each in found:
            if each.turn is not None and each.turn.target == host_id:
                yield other, each


def _lines(host: _Host) -> Iterator[str]:
    yield f"host {host.host_id}: {host.state}: {host.decided}"
    yield f"  score {host.score.total}: {_parts(host.score)}"
    if host.coming is not None:
        yield f"  comes next: {_turn(host.coming)}"
    for other, each in host.moves_here:
        yield f"  host {other} moves the engine here, if {each.what}{_when(each.turn)}"
    yield "  it would decide otherwise, if"
    for each in host.otherwise:
        yield f"  - {each.what}{_enough(host.score, each)}: {_turn(each.turn)}"


def _parts(score: Score) -> str:
    """Return the parts of a score, each with its weight where it lacks something."""
    if score.zero_because:
        return score.zero_because
    return ", ".join(
        f"{part.name} {part.points}"
        + ("" if part.points == part.weight else f" of {part.weight} ({part.why})")
        for part in score.parts
    )


def _enough(score: Score, found: Otherwise) -> str:
    """Return which part of this host's own score is enough to lose."""
    if found.falls_by is None:
        return ""
    names = [part.name for part in score.parts if part.points >= found.falls_by]
    return f", which the loss of {' or of '.join(names)} makes" if names else ""


def _turn(turn: Optional[Turn]) -> str:
    if turn is None:
        return "it would stay as it is"
    return f"{turn.edge.source.value} -> {turn.edge.to.value}{_when(turn)}: {turn.reason}"


def _when(turn: Optional[Turn]) -> str:
    if turn is None or turn.after_s < 1:
        return ", at once"
    return f", after {span_text(turn.after_s)}"


def _plain(host: _Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "state": host.state,
        "why": host.decided,
        "score": host.score.total,
        "parts": [part._asdict() for part in host.score.parts],
        "coming": _plain_turn(host.coming),
        "otherwise": [{"if": each.what, "then": _plain_turn(each.turn)} for each in host.otherwise],
        "moves_here": [
            {"host": other, "if": each.what, "then": _plain_turn(each.turn)}
            for other, each in host.moves_here
        ],
    }


def _plain_turn(turn: Optional[Turn]) -> Optional[dict[str, Any]]:
    if turn is None:
        return None
    return {
        "from": turn.edge.source.value,
        "to": turn.edge.to.value,
        "edge": turn.edge.name,
        "after_s": round(turn.after_s, 3),
        "why": turn.reason,
        "target": turn.target,
    }
