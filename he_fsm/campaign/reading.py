"""The reader of campaign files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.campaign.aim import AIM_FORM, Aim
from he_fsm.campaign.cycles.precision import AUTO, CYCLES, PLAIN, PercentForm
from he_fsm.campaign.faults import Fault, FaultsForm
from he_fsm.campaign.model import CONFIDENCE, NEEDLESS_WITHIN_S, RUNS, Campaign, Design
from he_fsm.campaign.results import YEAR_S, Variation
from he_fsm.campaign.spans import Surroundings
from he_fsm.campaign.vary import (
    Axis,
    Point,
    Search,
    SearchForm,
    VaryForm,
    check_key,
    points,
    with_point,
)
from he_fsm.document.files import read_text
from he_fsm.document.forms import Choice, Duration, Form, Integer, Number, Schema
from he_fsm.document.mappings import keys_schema, known_pairs
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import (
    Node,
    Place,
    Scalar,
    as_mapping,
    flow_text,
    parse_tree,
    parse_value,
    refusal,
    refused_as,
)
from he_fsm.errors import ScenarioError
from he_fsm.scenario.language.host_names import HostNames
from he_fsm.scenario.language.reading import SCENARIO_FORMS, read_scenario
from he_fsm.scenario.language.schema import DIALECT

# The keys that have the same meaning as in a scenario.
OF_SCENARIO: Final = ("name", "about", "policy", "world", "hosts", "engine", "maintenance")
CAMPAIGN_FORMS: Final[Mapping[str, Form]] = {
    "runs": Integer(1, 10_000_000),
    "horizon": Duration(positive=True),
    "seed": Integer(minimum=0),
    "confidence": Number(0.5, 0.9999),
    "precision": PercentForm(),
    "estimator": Choice.of(AUTO, CYCLES, PLAIN),
    "needless_within": Duration(),
    "faults": FaultsForm(),
    "vary": VaryForm(),
    "search": SearchForm(),
    "aim": AIM_FORM,
}
REQUIRED: Final = ("name", "hosts", "faults")
AS_WRITTEN: Final = "as written"
_SETTABLE: Final = ("runs", "horizon", "seed", "confidence", "precision", "estimator")
_SEARCHED: Final = ("vary", "search")
_WHOLE_FILE: Final = "a mapping with the key 'campaign'"
_VARIATIONS_MAX: Final = 10_000
# A run with more faults would fill the memory before it began.
_STRIKES_MAX: Final = 1_000_000


@attrs.frozen
class Document:
    """
    A campaign's document, from which the design of each point is made.

    `folder`: the folder of the files that the document names.
    """

    tree: Tree
    folder: Path
    axes: tuple[Axis, ...] = ()

    def design(self, point: Optional[Point] = None) -> Design:
        """
        Return the design of a point; None: the file's own values.

        Raises:
            ScenarioError: the design is not valid, for example because its policy is unsafe.
        """
        with refused_as(ScenarioError):
            return _design(self, point)


def load_campaign(
    path: Union[str, Path], overrides: Optional[Mapping[str, str]] = None
) -> Campaign:
    """
    Read a campaign file.

    Args:
        path: the file, in UTF-8; errors name it as *path* does.
        overrides: values that replace the file's, by dotted key: the keys that `vary` may have,
            and `runs`, `horizon`, `seed` and `confidence`.

    Raises:
        ScenarioError: the file is not valid; the error says file:line:column, the path of the key,
            and what was expected there.
    """
    with refused_as(ScenarioError):
        return _campaign(_document(read_text(path), path, overrides or {}))


def load_document(
    path: Union[str, Path], overrides: Optional[Mapping[str, str]] = None
) -> tuple[Campaign, Document]:
    """
    Read a campaign file together with its document, from which `tune` makes further designs.

    The campaign has one design, with the file's own values.

    Raises:
        ScenarioError: as `load_campaign`.
    """
    with refused_as(ScenarioError):
        document = _document(read_text(path), path, overrides or {})
        alone = {key: pair for key, pair in document.tree.pairs.items() if key not in _SEARCHED}
        return _campaign(
            attrs.evolve(document, tree=attrs.evolve(document.tree, pairs=alone))
        ), document


def parse_aim(text: str) -> Aim:
    """
    Read an aim that does not come from a file: `{least: downtime, at_most: {moves: 2}}`.

    Raises:
        ScenarioError: the aim is not valid.
    """
    with refused_as(ScenarioError):
        found: Aim = AIM_FORM.read(parse_value(text, f"--aim {text}", "aim"), None)
        return found


def _document(text: str, path: Union[str, Path], overrides: Mapping[str, str]) -> Document:
    root = parse_tree(text, str(path), _WHOLE_FILE)
    pairs = known_pairs(root, ("campaign",), _WHOLE_FILE)
    if "campaign" not in pairs:
        raise refusal(root, "the key 'campaign' is missing")
    tree = as_mapping(pairs["campaign"].value, "a mapping with 'name', 'hosts' and 'faults'")
    known_pairs(tree, (*OF_SCENARIO, *CAMPAIGN_FORMS), "a campaign")
    for key in REQUIRED:
        if key not in tree.pairs:
            raise refusal(tree, f"the key '{key}' is missing")
    for key, value in overrides.items():
        tree = _overridden(tree, key, value)
    vary = tree.get("vary")
    axes = () if vary is None else VaryForm().read(vary, None)
    return Document(tree, Path(path).parent, axes)


def _overridden(tree: Tree, key: str, text: str) -> Tree:
    place = Place(f"--set {key}={text}")
    if key not in _SETTABLE:
        check_key(Scalar(place, "", key, key))
    return with_point(tree, (key,), (parse_value(text, place.file, f"{tree.path}.{key}"),))


def _campaign(document: Document) -> Campaign:
    tree = document.tree
    plain = (*_SETTABLE, "search", "aim")
    values = {
        key: CAMPAIGN_FORMS[key].read(tree.pairs[key].value, None)
        for key in plain
        if key in tree.pairs
    }
    _check_precision(tree)
    vary = tree.get("vary")
    chosen: list[Optional[Point]] = [None]
    if vary is not None and document.axes:
        search = values.get("search", Search())
        chosen = _some(points(document.axes, search, values.get("seed", 1), vary), vary)
    designs = tuple(_design(document, point) for point in chosen)
    scenario = designs[0].scenario
    return Campaign(
        name=scenario.name,
        about=scenario.about,
        runs=values.get("runs", RUNS),
        horizon_s=designs[0].horizon_s,
        seed=values.get("seed", 1),
        confidence=values.get("confidence", CONFIDENCE),
        precision=values.get("precision"),
        estimator=values.get("estimator", AUTO),
        designs=designs,
        aim=values.get("aim"),
    )


def _check_precision(tree: Tree) -> None:
    """Refuse keys that say in two ways how much is played."""
    if "precision" in tree.pairs and "runs" in tree.pairs:
        message = "this does not go with 'runs': so much is played as the precision takes"
        raise refusal(tree.pairs["precision"].key, message)
    if "estimator" in tree.pairs and "precision" not in tree.pairs:
        raise refusal(tree.pairs["estimator"].key, "this goes with 'precision', like 5%")


def _some(found: Any, vary: Node) -> list[Optional[Point]]:
    chosen: list[Optional[Point]] = []
    for point in found:
        if len(chosen) == _VARIATIONS_MAX:
            raise refusal(vary, f"these are more than {_VARIATIONS_MAX} variations")
        chosen.append(point)
    return chosen


def _design(document: Document, point: Optional[Point]) -> Design:
    """Read the design of a point: the whole document once more, with the point's values."""
    keys = tuple(axis.key for axis in document.axes)
    tree = document.tree
    variation = Variation(name=AS_WRITTEN)
    if point is not None:
        settings = {key: flow_text(node) for key, node in zip(keys, point)}
        name = ", ".join(f"{key}={text}" for key, text in settings.items())
        variation = Variation(name=name, settings=settings)
        tree = with_point(tree, keys, point)
    pairs = {key: pair for key, pair in tree.pairs.items() if key in OF_SCENARIO}
    scenario = read_scenario(attrs.evolve(tree, pairs=pairs))
    horizon_s: float = _value(tree, "horizon", YEAR_S)
    names = HostNames.of(scenario.hosts)
    faults: tuple[Fault, ...] = FaultsForm().read(
        tree.pairs["faults"].value, Surroundings(names, document.folder)
    )
    design = Design(
        variation=variation,
        scenario=attrs.evolve(scenario, until=horizon_s),
        faults=faults,
        horizon_s=horizon_s,
        needless_within_s=_value(tree, "needless_within", NEEDLESS_WITHIN_S),
    )
    if design.strikes_about > _STRIKES_MAX:
        message = f"about {design.strikes_about:.3g} faults a run, expected at most {_STRIKES_MAX}"
        raise refusal(tree.pairs["faults"].value, message)
    return design


def _value(tree: Tree, key: str, default: Any) -> Any:
    node = tree.get(key)
    return default if node is None else CAMPAIGN_FORMS[key].read(node, None)


def json_schema() -> Schema:
    """Return the JSON Schema of a campaign file (draft 2020-12), from the forms that read it."""
    forms = {key: SCENARIO_FORMS[key] for key in OF_SCENARIO}
    return {
        "$schema": DIALECT,
        "title": "he_fsm campaign",
        "type": "object",
        "properties": {"campaign": keys_schema({**forms, **CAMPAIGN_FORMS}, REQUIRED)},
        "required": ["campaign"],
        "additionalProperties": False,
    }
