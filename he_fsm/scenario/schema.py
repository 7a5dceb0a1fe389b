"""The language as JSON Schema, for editors and other programs."""

from __future__ import annotations

from typing import Final

from he_fsm.document.forms import Schema
from he_fsm.document.mappings import keys_schema
from he_fsm.scenario.expectations import ExpectationForm
from he_fsm.scenario.reading import REQUIRED, SCENARIO_FORMS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """
    Give the schema of a scenario file (draft 2020-12).

    It comes from the same forms that read the file. It is about the data as JSON has it: the
    keys of a mapping by host id are strings there. What depends on other parts of the file
    (which hosts there are, the order of times, policies) only the reader checks.
    """
    return {
        "$schema": DIALECT,
        "title": "he_fsm scenarios",
        "type": "object",
        "properties": {
            "scenarios": {
                "type": "array",
                "items": keys_schema(SCENARIO_FORMS, REQUIRED),
                "minItems": 1,
            }
        },
        "required": ["scenarios"],
        "additionalProperties": False,
        "$defs": {"expectation": ExpectationForm().schema()},
    }
