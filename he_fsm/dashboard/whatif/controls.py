"""How a value of a scenario is changed on the page: by a slider, a switch, a list or a text."""

from __future__ import annotations

import math
from typing import Any, Final, Optional

import attrs

from he_fsm.document.forms import Choice, Duration, Flag, Form, Integer, Number, OrNull, OrWord
from he_fsm.scenario.language.forms import Fraction, HostReference, Load

# A slider without a limit of its own goes to so many times the usual value.
_TIMES: Final = 4
_STEPS: Final = 200
# Where the usual value is nothing, it goes to these.
_WHOLE: Final = 100.0
_MINUTE: Final = 60.0
_NICE: Final = (1.0, 2.0, 5.0, 10.0)


@attrs.frozen(kw_only=True)
class Control:
    """
    How one key is changed.

    `kind`: `number`, `time` (in seconds), `flag`, `words`, `host` or `text`. `minimum`, `maximum`
    and `step`: of a slider; what is typed beside it may be above `maximum`, up to `limit` (None:
    there is none). `word`: a word that may stand in place of the number. `usual`: the default.
    """

    key: str
    kind: str
    minimum: float = 0.0
    maximum: float = 0.0
    step: float = 1.0
    limit: Optional[float] = None
    words: tuple[str, ...] = ()
    word: str = ""
    usual: Any = None


def control_of(key: str, form: Form, usual: Any) -> Control:
    """Return the control of a key, by the form in which a file has it and its default."""
    if isinstance(form, OrWord):
        return attrs.evolve(control_of(key, form.form, usual), word=form.word)
    if isinstance(form, OrNull):
        return control_of(key, form.form, usual)
    if isinstance(form, (Fraction, Load)):
        return Control(key=key, kind="number", maximum=1.0, step=0.01, limit=1.0, usual=usual)
    if isinstance(form, Duration):
        return _slider(Control(key=key, kind="time", usual=usual), is_whole=False)
    if isinstance(form, (Integer, Number)):
        plain = Control(
            key=key, kind="number", minimum=form.minimum or 0.0, limit=form.maximum, usual=usual
        )
        return _slider(plain, is_whole=isinstance(form, Integer))
    if isinstance(form, Flag):
        return Control(key=key, kind="flag", usual=usual)
    if isinstance(form, Choice):
        return Control(key=key, kind="words", words=tuple(form.values), usual=usual)
    if isinstance(form, HostReference):
        return Control(key=key, kind="host", usual=usual)
    return Control(key=key, kind="text", usual=usual)


def _slider(control: Control, *, is_whole: bool) -> Control:
    """Return a control with the range of its slider, which its default and its limit decide."""
    usual, limit = control.usual, control.limit
    about = abs(float(usual)) if isinstance(usual, (int, float)) else 0.0
    maximum = _round_up(_TIMES * about) if about else (_WHOLE if is_whole else _MINUTE)
    if limit is not None:
        maximum = min(maximum, limit)
    wide = maximum - control.minimum
    step = _round_up(wide / _STEPS) if wide > 0 else 1.0
    return attrs.evolve(control, maximum=maximum, step=max(1.0, step) if is_whole else step)


def _round_up(number: float) -> float:
    """Return a round number (1, 2 or 5 times a power of ten) that is not below a positive one."""
    scale = 10.0 ** math.floor(math.log10(number))
    return next(nice * scale for nice in _NICE if nice * scale >= number * (1 - 1e-9))
