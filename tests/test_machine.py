"""The `transitions` machine: it follows the table and refuses the rest."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from transitions import Machine, MachineError

from he_fsm import TABLE, TALK, Memory, State, Step, Transition, build_machine, fire, follow, step
from he_fsm.states.table import INITIAL, ROWS
from he_fsm.testing.scenes import NOW, Scene

TRIGGERS = sorted({row.name for row in ROWS})


class Model:
    """A plain object that carries the state."""

    state: str
    trigger: Any


def row_of(state: State, name: str) -> Transition:
    return next(row for row in TABLE[state] if row.name == name)


def machine_in(state: State) -> Machine:
    machine = build_machine()
    machine.set_state(state.value)
    return machine


def test_the_machine_begins_where_the_table_does() -> None:
    assert build_machine().state == INITIAL.value == "Unknown"


def test_the_machines_states_are_the_tables() -> None:
    assert set(build_machine().states) == {state.value for state in State}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_declared_row_is_followed(row: Transition) -> None:
    machine = machine_in(row.source)
    fire(machine, row)
    assert machine.state == row.to.value


@pytest.mark.parametrize("state", list(State), ids=lambda state: state.value)
@pytest.mark.parametrize("name", TRIGGERS)
def test_a_row_that_the_present_state_does_not_declare_is_refused(state: State, name: str) -> None:
    if name in {row.name for row in TABLE[state]}:
        return
    machine = machine_in(state)
    undeclared = next(row for row in ROWS if row.name == name)
    with pytest.raises(MachineError):
        fire(machine, undeclared)
    assert machine.state == state.value


def test_a_row_of_another_state_is_refused_even_if_its_name_is_known_here() -> None:
    machine = machine_in(State.ENGINE_UP)
    with pytest.raises(MachineError, match="EngineDown --facts_missing--> Unknown"):
        fire(machine, row_of(State.ENGINE_DOWN, "facts_missing"))
    assert machine.state == "EngineUp"


def test_a_row_that_no_state_declares_is_refused() -> None:
    machine = machine_in(State.ENGINE_DOWN)
    made_up = attrs.evolve(row_of(State.ENGINE_DOWN, "best_host"), name="made_up")
    with pytest.raises(MachineError, match="made_up"):
        fire(machine, made_up)
    elsewhere = attrs.evolve(row_of(State.ENGINE_DOWN, "best_host"), to=State.ENGINE_UP)
    with pytest.raises(MachineError, match="EngineUp"):
        fire(machine, elsewhere)


def test_no_trigger_walks_around_the_table() -> None:
    machine = build_machine()
    assert not [name for name in machine.events if name.startswith("to_")]
    assert set(machine.events) == set(TRIGGERS)


def test_a_model_of_ones_own_carries_the_state() -> None:
    model = Model()
    machine = build_machine(model)
    assert model.state == "Unknown"
    fire(machine, row_of(State.UNKNOWN, "vm_absent"), model)
    assert model.state == "EngineDown"
    with pytest.raises(MachineError):
        fire(machine, row_of(State.UNKNOWN, "vm_absent"), model)


def test_callbacks_run_after_each_change_of_state() -> None:
    seen: list[str] = []
    machine = build_machine(after=[lambda: seen.append(machine.state)])
    fire(machine, row_of(State.UNKNOWN, "vm_absent"))
    fire(machine, row_of(State.ENGINE_DOWN, "best_host"))
    assert seen == ["EngineDown", "EngineStarting"]


def test_callbacks_do_not_run_for_what_is_refused() -> None:
    seen: list[str] = []
    machine = build_machine(after=[lambda: seen.append(machine.state)])
    with pytest.raises(MachineError):
        fire(machine, row_of(State.ENGINE_DOWN, "best_host"))
    assert seen == []


class Program:
    """A program that embeds he_fsm: it writes down what is called, with the reasons."""

    state: str

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []

    def _note(self, name: str, step: Step) -> None:
        self.called.append((name, step.reason))

    def on_exit_Unknown(self, step: Step) -> None:  # noqa: N802 - the state's name
        self._note(f"exit, {self.state}", step)

    def on_enter_EngineDown(self, step: Step) -> None:  # noqa: N802 - the state's name
        self._note(f"enter, {self.state}", step)

    def after_vm_absent(self, step: Step) -> None:
        self._note("row", step)

    # What can't be called is no callback.
    after_best_host = "1"


def decided(memory: Memory) -> Step:
    """Decide for a host that sees no VM and nobody else."""
    return step(memory, Scene(state=State.UNKNOWN).snapshot(), TALK)


def test_a_step_drives_a_programs_own_methods() -> None:
    program = Program()
    machine = build_machine(program, after=[lambda step: program._note("all", step)])
    decision = decided(Memory.beginning(NOW))
    assert follow(machine, decision, program)
    assert program.state == decision.memory.state.value == "EngineDown"
    reason = decision.reason
    names = ("exit, Unknown", "enter, EngineDown", "row", "all")
    assert program.called == [(name, reason) for name in names]


def test_a_step_that_stays_drives_nothing() -> None:
    program = Program()
    machine = build_machine(program, initial=State.ENGINE_DOWN)
    stays = decided(decided(Memory.beginning(NOW)).memory)
    assert stays.edge is None
    assert not follow(machine, stays, program)
    assert (program.state, program.called) == ("EngineDown", [])


def test_a_step_from_another_state_is_refused_and_calls_nothing() -> None:
    program = Program()
    machine = build_machine(program, initial=State.ENGINE_UP)
    with pytest.raises(MachineError, match="vm_absent"):
        follow(machine, decided(Memory.beginning(NOW)), program)
    assert (program.state, program.called) == ("EngineUp", [])


def test_the_machine_itself_takes_callbacks_of_states_and_rows() -> None:
    seen: list[str] = []
    machine = build_machine()
    machine.on_enter_EngineDown(lambda step: seen.append(step.reason))
    machine.after_vm_absent(lambda step: seen.append(step.edge.name))
    decision = decided(Memory.beginning(NOW))
    follow(machine, decision)
    assert seen == [decision.reason, "vm_absent"]


def test_what_a_callback_raises_is_raised_when_the_state_has_changed() -> None:
    class Fails(Program):
        def on_enter_EngineDown(self, step: Step) -> None:  # noqa: N802 - the state's name
            raise RuntimeError(step.reason)

    program = Fails()
    with pytest.raises(RuntimeError):
        follow(build_machine(program), decided(Memory.beginning(NOW)), program)
    assert program.state == "EngineDown"
    assert [name for name, _ in program.called] == ["exit, Unknown"]
