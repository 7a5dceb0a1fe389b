"""The table as a `transitions` machine: it follows decisions and refuses undeclared ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from transitions import Machine, MachineError

from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import INITIAL, ROWS, TABLE
from he_fsm.step import Step


def build_machine(
    model: Optional[Any] = None,
    *,
    initial: State = INITIAL,
    after: Sequence[Callable[..., None]] = (),
) -> Machine:
    """
    Build a `transitions.Machine` from the table.

    Its states are the names of `State`; its triggers the names of the rows. A trigger that the
    table does not declare for the present state raises `transitions.MachineError`.

    A program that embeds he_fsm hands every step to `follow`, and has its own methods called on
    the way. Those of *model* are found by their names, in this order: `on_exit_EngineDown`, of the
    state that is left; `on_enter_EngineStarting`, of the one that is entered; `after_best_host`,
    of the row. Then come those of *after*. What one of them raises is raised by `follow`, and no
    further one is called; the state has changed by then, except for `on_exit_...`.

    Args:
        model: the object that carries `.state`; the machine itself where none is given.
        initial: where it begins: `memory.state` of a memory that was kept.
        after: called after each change of state (notification, metrics, journal).
    """
    machine = Machine(
        model=Machine.self_literal if model is None else model,
        states=[state.value for state in TABLE],
        initial=initial.value,
        # Else to_EngineUp() and its like would walk around the table.
        auto_transitions=False,
        after_state_change=list(after),
        send_event=False,
    )
    for row in ROWS:
        name = f"after_{row.name}"
        # transitions itself looks for the methods of states alone.
        own = name if callable(getattr(model, name, None)) else None
        machine.add_transition(row.name, row.source.value, row.to.value, after=own)
    return machine


def follow(machine: Machine, step: Step, model: Optional[Any] = None) -> bool:
    """
    Drive *machine* along the row that a step took; return whether it took one.

    All callbacks have the step as their argument: its reason, its effects, and the memory in which
    the new state begins.

    Raises:
        transitions.MachineError: the table declares no such row for the present state.
    """
    if step.edge is None:
        return False
    _fire(machine, step.edge, model, step)
    return True


def fire(machine: Machine, edge: Transition, model: Optional[Any] = None) -> None:
    """
    Drive *machine* along one row; callbacks have no argument.

    Raises:
        transitions.MachineError: the table declares no such row for the present state.
    """
    _fire(machine, edge, model)


def _fire(machine: Machine, edge: Transition, model: Optional[Any], *arguments: Step) -> None:
    target = machine if model is None else model
    present = State(machine.get_model_state(target).name)
    # The machine knows names alone, and some are declared for several states.
    if edge not in TABLE[present]:
        msg = f"{edge.label} is not declared for {present.value}"
        raise MachineError(msg)
    target.trigger(edge.name, *arguments)
