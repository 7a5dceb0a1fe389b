"""The judge looks at changes alone; here it is compared with looking all the time."""

from __future__ import annotations

from typing import Any, Callable

from hypothesis import example, given
from hypothesis import strategies as st

from he_fsm.scenario import Judge, Scenario, Seen

# Changes are on tenths of a second; what happens between two of them is the same all the time,
# so that one look at each tenth and one between show everything.
END = 40
UNTIL = END / 10

tenths = st.integers(0, END)
words = st.sampled_from(["good", "bad", "down"])
operators = st.sampled_from(["", "< ", "<= ", "> ", ">= ", "!= "])
engines = st.dictionaries(tenths, words, max_size=8)
# When the record changed; its score then.
records = st.dictionaries(tenths, st.sampled_from([0, 1400, 2400]), max_size=8)

OPERATIONS: dict[str, Callable[[float, float], bool]] = {
    "": lambda a, b: abs(a - b) < 1e-9,
    "< ": lambda a, b: a < b - 1e-9,
    "<= ": lambda a, b: a < b + 1e-9,
    "> ": lambda a, b: a > b + 1e-9,
    ">= ": lambda a, b: a > b - 1e-9,
    "!= ": lambda a, b: abs(a - b) > 1e-9,
}


def looks(start: int, end: int) -> list[float]:
    return [half / 20 for half in range(2 * start, 2 * end + 1)]


def last(history: dict[int, Any], time: float) -> int | None:
    return max((tenth for tenth in history if tenth / 10 <= time + 1e-9), default=None)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    start, end = sorted((draw(tenths), draw(tenths)))
    return {
        "start": start,
        "end": end,
        "word": draw(words),
        "operator": draw(operators),
        "age": draw(st.integers(0, 20)),
        "score": draw(st.sampled_from([0, 1400, 2400])),
        "engine": {0: draw(words), **draw(engines)},
        "record": draw(records),
        "both": draw(st.booleans()),
    }


def conditions_of(case: dict[str, Any]) -> str:
    fields = f"age: '{case['operator']}{case['age'] / 10}s', score: '!= {case['score']}'"
    record = f"record: {{1: {{{fields}}}}}"
    return f"engine: {case['word']}, {record}" if case["both"] else record


def holds_at(case: dict[str, Any], time: float) -> bool:
    if case["both"] and case["engine"][last(case["engine"], time)] != case["word"]:
        return False
    changed = last(case["record"], time)
    if changed is None or case["record"][changed] == case["score"]:
        return False
    return OPERATIONS[case["operator"]](time - changed / 10, case["age"] / 10)


def shown_to(judge: Judge, case: dict[str, Any]) -> Judge:
    for tenth, word in sorted(case["engine"].items()):
        judge.observe(tenth / 10, ("engine",), word)
    for tenth, score in sorted(case["record"].items()):
        seen = Seen(score=score, vm="up", hostname="host1", since=tenth / 10)
        judge.observe(tenth / 10, ("record", "1"), seen)
    return judge


def passes(read: Callable[..., Scenario], case: dict[str, Any], entry: str) -> bool:
    scenario = read(f"until: {UNTIL}\nexpect:\n  - {{{entry}}}")
    return shown_to(Judge(scenario), case).finish(UNTIL).failures == ()


@given(case=cases())
def test_from_and_to_is_every_moment(read: Callable[..., Scenario], case: dict[str, Any]) -> None:
    entry = f"from: {case['start'] / 10}, to: {case['end'] / 10}, {conditions_of(case)}"
    wanted = all(holds_at(case, time) for time in looks(case["start"], case["end"]))
    assert passes(read, case, entry) is wanted


# 0.8 s and 0.4 s are a little more than 1.2 s in binary numbers.
AT_THE_END = {
    "start": 0,
    "end": 12,
    "word": "good",
    "operator": "",
    "age": 4,
    "score": 1400,
    "engine": {0: "good"},
    "record": {8: 0},
    "both": False,
}


@example(case=AT_THE_END)
@given(case=cases())
def test_by_is_some_moment_and_never_is_none(
    read: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    some = any(holds_at(case, time) for time in looks(case["start"], case["end"]))
    conditions = conditions_of(case)
    by = f"after: {case['start'] / 10}, by: {case['end'] / 10}, {conditions}"
    never = f"from: {case['start'] / 10}, to: {case['end'] / 10}, never: true, {conditions}"
    assert passes(read, case, by) is some
    assert passes(read, case, never) is not some


@given(case=cases())
def test_at_is_that_moment(read: Callable[..., Scenario], case: dict[str, Any]) -> None:
    entry = f"at: {case['start'] / 10}, {conditions_of(case)}"
    assert passes(read, case, entry) is holds_at(case, case["start"] / 10)


@given(case=cases())
def test_the_timeline_s_since_comes_at_the_first_moment(
    read: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    entry = f"{{since: {{{conditions_of(case)}}}, host: 1, power: off}}"
    judge = Judge(read(f"until: {UNTIL}\ntimeline:\n  - {entry}"))
    came = []
    changes = {tenth / 10 for tenth in (*case["engine"], *case["record"])} | {0.0}
    time: float | None = 0.0
    while time is not None and time <= UNTIL:
        tenth = round(time * 10)
        if abs(time - tenth / 10) < 1e-9:
            if tenth in case["engine"]:
                judge.observe(time, ("engine",), case["engine"][tenth])
            if tenth in case["record"]:
                seen = Seen(score=case["record"][tenth], vm="up", hostname="a", since=tenth / 10)
                judge.observe(time, ("record", "1"), seen)
        came.extend([time] * len(judge.settle(time)))
        later = [change for change in changes if change > time]
        check = judge.next_check(time)
        time = min([*later, *([] if check is None else [check])], default=None)
    found = [time for time in looks(0, END) if holds_at(case, time)]
    # A comparison with ">" holds just after a tenth, which is that tenth's moment.
    first = found[0] if found else None
    if first is None:
        assert came in ([], [UNTIL])
    else:
        assert came
        assert first - 0.05 - 1e-9 <= came[0] <= first + 1e-9


@st.composite
def stretches(draw: st.DrawFn) -> dict[str, Any]:
    start, end = sorted((draw(tenths), draw(tenths)))
    return {
        "borders": sorted(draw(st.sets(tenths, max_size=8))),
        "start": start,
        "end": end,
        "window": draw(st.integers(1, END)),
        "number": draw(st.integers(0, 80)),
        "operator": draw(operators),
        "name": draw(st.sampled_from(["downtime", "longest_outage", "starts"])),
    }


@given(case=stretches())
def test_a_window_is_each_stretch_of_its_length(
    read: Callable[..., Scenario], case: dict[str, Any]
) -> None:
    start, end, window, number = (case[key] for key in ("start", "end", "window", "number"))
    outages, operator, name = (case[key] for key in ("borders", "operator", "name"))
    # Half tenths as well: two borders that approach each other meet between two tenths.
    wanted = f"{operator}{number // 10}" if name == "starts" else f"{operator}{number / 20}s"
    entry = (
        f"from: {start / 10}, to: {end / 10}, window: {window / 10}, total: {{{name}: '{wanted}'}}"
    )
    judge = Judge(read(f"until: {UNTIL}\nexpect:\n  - {{{entry}}}"))
    judge.observe(0.0, ("healthy",), True)
    for index, tenth in enumerate(outages):
        judge.observe(tenth / 10, ("healthy",), bool(index % 2))
        judge.count(tenth / 10, "starts", "1")
    length = min(window, end - start) * 2
    begins = range(2 * start, 2 * end - length + 1)
    compare = OPERATIONS[operator]
    aim = number // 10 if name == "starts" else number / 20
    expected = all(compare(total(outages, name, b / 20, (b + length) / 20), aim) for b in begins)
    assert (judge.finish(UNTIL).failures == ()) is expected


def total(borders: list[int], name: str, start: float, end: float) -> float:
    if name == "starts":
        return sum(start - 1e-9 <= tenth / 10 <= end + 1e-9 for tenth in borders)
    ends = [*borders, END] if len(borders) % 2 else borders
    lengths = [
        max(0.0, min(stop / 10, end) - max(begin / 10, start))
        for begin, stop in zip(ends[::2], ends[1::2])
    ]
    return sum(lengths) if name == "downtime" else max(lengths, default=0.0)
