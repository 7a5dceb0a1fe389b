"""The language as JSON Schema, for editors and other programs."""

from __future__ import annotations

from typing import Final

from he_fsm.document.forms import Schema
from he_fsm.document.mappings import keys_schema
from he_fsm.scenario.language.expectations import ExpectationForm
from he_fsm.scenario.language.reading import REQUIRED, SCENARIO_FORMS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> Schema:
    """
    Return the schema of a scenario file (draft 2020-12).

    It is made by the forms that read the file. It describes the data as JSON: the keys of a
    mapping by host id are strings. Only the reader checks what depends on other parts of the file
    (which hosts there are, the order of times, policies).
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
