"""What a question is: its words, what may be answered, and when it is asked."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Optional, Union

import attrs

from he_fsm.deploy.asking.readers import Reader, Value

Values = Mapping[str, Value]


class Section(enum.Enum):
    """Part of the dialogue, by its heading."""

    STORAGE = "STORAGE CONFIGURATION"
    NETWORK = "NETWORK CONFIGURATION"
    VM = "VM CONFIGURATION"
    ENGINE = "HOSTED ENGINE CONFIGURATION"


class Look(enum.Enum):
    """What about an answer only this machine can tell; see `Surroundings.problem`."""

    ANSWERS_PING = "gateway"
    RESOLVES = "fqdn"
    MEDIUM = "medium"
    IMAGE = "image"
    DEVICE = "device"
    NIC = "nic"
    PROGRAM = "program"


@attrs.frozen(kw_only=True)
class Machine:
    """
    What this machine has, as defaults and conditions need it.

    `hypervisors`: kinds that can be used here, the best one first. `interfaces`: those of the
    network; `bridges` and `nics` are bridges and cards among them. `firewall`: the manager that was
    detected (firewalld), or empty. `mac` and `vm_id` are new ones for the VM. `cpu` and `emulated`
    are the CPU model and the machine type that this host would give the VM; empty: QEMU's own.
    `hostname` is this host's, as others reach it. `joins`: another host has installed the VM.
    """

    hypervisors: tuple[str, ...] = ("qemu",)
    bridges: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    firewall: str = ""
    mac: str = "52:54:00:00:00:64"
    vm_id: str = ""
    hostname: str = "localhost"
    cpu: str = ""
    emulated: str = ""
    joins: bool = False


def _always(_: Values, __: Machine) -> bool:
    return True


Default = Union[Value, None, Callable[[Values, Machine], Optional[Value]]]
Condition = Callable[[Values, Machine], bool]
ReaderOf = Callable[[Values], Reader]


@attrs.frozen(kw_only=True)
class Question:
    """
    One question.

    `key` is its name; the option is `--key` with dashes. `ovirt` is what oVirt's `answers.conf`
    calls it; empty: oVirt does not ask that. `read` reads the answer; one that depends on earlier
    answers is `read_by`. `default` None: there is none, and an answer is needed. `label` is its
    line of the preview; empty: none. `applies`: it has a meaning at all. `is_asked` False:
    it is settled by its default unless an option or a file says otherwise.
    """

    key: str
    section: Section
    prompt: str
    read: Optional[Reader] = None
    read_by: Optional[ReaderOf] = None
    default: Default = None
    ovirt: str = ""
    label: str = ""
    look: Optional[Look] = None
    look_if: Optional[Condition] = None
    applies: Condition = _always
    is_asked: bool = True
    is_secret: bool = False
    # An empty answer means that there is none.
    is_optional: bool = False

    @property
    def option(self) -> str:
        """Return the command's option that answers it; secrets come from a file."""
        return f"--{self.key.replace('_', '-')}{'-file' if self.is_secret else ''}"

    def default_for(self, values: Values, machine: Machine) -> Optional[Value]:
        """Return the default, which may depend on earlier answers and on the machine."""
        return self.default(values, machine) if callable(self.default) else self.default

    def value_of(self, text: str, values: Values) -> Value:
        """
        Return what a text says.

        Raises:
            ValueError: it says nothing that can be used, with the end of a sentence.
        """
        if not text and self.is_optional:
            return ""
        read = self.read if self.read_by is None else self.read_by(values)
        if read is None:
            msg = f"the question {self.key} reads nothing"
            raise TypeError(msg)
        return read(text)

    def look_of(self, values: Values, machine: Machine) -> Optional[Look]:
        """Return what has to be looked at on this machine before the answer is taken."""
        if self.look is None or (self.look_if is not None and not self.look_if(values, machine)):
            return None
        return self.look
