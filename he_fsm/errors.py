"""Every error that he_fsm raises on purpose."""

from __future__ import annotations


class HeFsmError(Exception):
    """Something outside this process is wrong, or what was given can't be used."""


class RecordTooLongError(HeFsmError):
    """
    A record does not fit the 512 bytes that machines read.

    *field* names the field that has to become shorter.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class RecordFieldError(HeFsmError):
    """A record can't be written: *field* holds what no reader would take for what it is."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class PolicyError(HeFsmError):
    """
    A policy is unsafe or contradicts itself.

    *rule* is the name of the inequality that fails, *excess_s* by how many seconds
    (0.0 where the rule is not about time).
    """

    def __init__(self, message: str, rule: str, excess_s: float = 0.0) -> None:
        super().__init__(message)
        self.rule = rule
        self.excess_s = excess_s


class DocumentError(HeFsmError):
    """
    A YAML document can't be used; the message names file:line:column, key and expectation.

    Who reads a file raises it as the error of that kind of file (`refused_as`).
    """


class ScenarioError(HeFsmError):
    """A scenario file can't be used; the message names file:line:column, key and expectation."""


class CampaignError(HeFsmError):
    """A campaign can't go on: its results file or those who play its runs; what is done is kept."""


class MissingExtraError(HeFsmError):
    """An optional package is needed for what was asked; the message says how to install it."""

    @classmethod
    def of(cls, package: str | None, extra: str, what: str) -> MissingExtraError:
        """Say which Python package is missing, the extra that has it, and *what* needs it."""
        return cls(f"{what} needs the package {package}: pip install 'he-fsm[{extra}]'")


class ConfigError(HeFsmError):
    """
    A configuration can't be used.

    The message names file:line:column, the key and what was expected.
    """


class StorageError(HeFsmError):
    """The shared storage can't be read or written, or did not answer in time; it may next time."""


class LockspaceError(HeFsmError):
    """The lease manager refused or can't reach its storage; *errno* is its own number, if any."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class HostIdBusyError(LockspaceError):
    """Another living host holds this host id; an operator must choose."""


class SanlockMissingError(LockspaceError):
    """Sanlock's Python module or its command is not installed; the message names the package."""


class SanlockDownError(LockspaceError):
    """No sanlock daemon runs here, or it has ended: its leases run out, its VM goes on."""


class SanlockSilentError(LockspaceError):
    """The sanlock daemon does not answer in time: it is stopped, or hangs."""


class SanlockDeniedError(LockspaceError):
    """This process may not talk to the sanlock daemon."""


class WatchdogMissingError(LockspaceError):
    """Sanlock is told to use a watchdog, and finds none: it has no host id without it."""


class JoinPendingError(LockspaceError):
    """The host id is being taken, or given back, which takes its time: ask again."""


class OtherIdError(LockspaceError):
    """The daemon refuses this lockspace and host id: it has it under another, or there is none."""


class EngineHereError(LockspaceError):
    """The host id can't be given back: the engine that runs here needs it."""


class OldVmError(LockspaceError):
    """
    The host id is not taken while an engine VM of an earlier time in the lockspace runs here.

    Joining would free that VM's lease for others: end it first.
    """


class NotJoinedError(LockspaceError):
    """This host does not hold its id, so it can have no lease."""


class LeaseHeldError(LockspaceError):
    """Another process, here or on another host, holds the engine's lease or has just won it."""


class LeaseLostError(LockspaceError):
    """The process does not have the engine's lease, or sanlock does not know it."""


class LeaseMissingError(LockspaceError):
    """Where the leases should be there are none: the path is wrong, or it was never set up."""


class LeaseForeignError(LockspaceError):
    """At that place there is another lockspace's or another resource's lease."""


class LeaseDamagedError(LockspaceError):
    """A lease on the storage is damaged; make sure that no engine runs, then set it up again."""


class LeaseStorageError(LockspaceError):
    """Sanlock can't read or write the leases: the storage fails or is too slow."""


class HostIdLostError(LockspaceError):
    """Another host has written over this host's id; whoever holds leases by it is ended."""


class HypervisorError(HeFsmError):
    """The hypervisor does not answer, or refused; the next loop may succeed."""


class BrokerError(HeFsmError):
    """The broker does not answer, or refused; the agent goes on without it."""


class RefusedRequestError(BrokerError):
    """The broker understood what was asked, and refuses it: asking again changes nothing."""


class MonitorError(HeFsmError):
    """A fact about this host can't be measured now; the last value grows old meanwhile."""


class NotifyError(HeFsmError):
    """People could not be told; *can_retry* says whether a later try may succeed."""

    def __init__(self, message: str, *, can_retry: bool = True) -> None:
        super().__init__(message)
        self.can_retry = can_retry


class AnswerError(HeFsmError):
    """An answer to a question of the deployment can't be used; the message names its place."""


class DeployError(HeFsmError):
    """A deployment, or its reverse, can't go on; the message says why, and what is left."""


def cause_of(error: BaseException) -> str:
    """Return an error in words, for the end of a sentence: one of the system without its number."""
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__
