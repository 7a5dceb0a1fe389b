"""The table as a `transitions` machine: it follows decisions and refuses undeclared ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

from transitions import Machine, MachineError

from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import INITIAL, ROWS, TABLE


def build_machine(
    model: Optional[Any] = None,
    *,
    after: Sequence[Callable[..., None]] = (),
) -> Machine:
    """
    Build a `transitions.Machine` from the table.

    Its states are the names of `State`; its triggers the names of the rows. Fire a decision with
    `fire(machine, step.edge)`. A trigger that the table does not declare for the present state
    raises `transitions.MachineError`.

    Args:
        model: the object that carries `.state`; the machine itself where none is given.
        after: called after each change of state (notification, metrics, journal).
    """
    machine = Machine(
        model=Machine.self_literal if model is None else model,
        states=[state.value for state in TABLE],
        initial=INITIAL.value,
        # Else to_EngineUp() and its like would walk around the table.
        auto_transitions=False,
        after_state_change=list(after),
        send_event=False,
    )
    for row in ROWS:
        machine.add_transition(row.name, row.source.value, row.to.value)
    return machine


def fire(machine: Machine, edge: Transition, model: Optional[Any] = None) -> None:
    """
    Follow one decision on *machine*.

    Raises:
        transitions.MachineError: the table declares no such row for the present state.
    """
    target = machine if model is None else model
    present = State(machine.get_model_state(target).name)
    # The machine knows names alone, and some are declared for several states.
    if edge not in TABLE[present]:
        msg = f"{edge.label} is not declared for {present.value}"
        raise MachineError(msg)
    target.trigger(edge.name)
