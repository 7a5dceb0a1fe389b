"""What can be asked of the what-if part, for the description that is served."""

from __future__ import annotations

from typing import Any, Final

from he_fsm.dashboard.openapi import ERROR, POSTED, Plain, answers, json_content, posted
from he_fsm.dashboard.whatif.asking import SEEDS_MAX

_TEXT: Final[Plain] = {"type": "string", "description": "A scenario file."}
_EDIT: Final[Plain] = {
    "type": "object",
    "required": ["do", "path"],
    "additionalProperties": False,
    "properties": {
        "do": {"enum": ["set", "unset", "add", "remove"]},
        "path": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "minItems": 1,
            "maxItems": 6,
            "description": "From the scenario on, like ['timeline', 2, 'at'].",
        },
        "value": {"description": "A plain value, as a scenario file has it."},
    },
}
_ASKED: Final[Plain] = {
    "type": "object",
    "additionalProperties": False,
    "oneOf": [{"required": ["text"]}, {"required": ["link"]}],
    "properties": {
        "text": _TEXT,
        "link": {"type": "string", "description": "The fragment of a link, in place of a file."},
        "file": {"type": "string", "maxLength": 200, "description": "What errors call the file."},
        "scenario": {"type": "integer", "minimum": 0, "description": "Which one of the file."},
        "edits": {"type": "array", "items": _EDIT, "maxItems": 200},
        "runs": {"type": "integer", "minimum": 1, "maximum": SEEDS_MAX},
        "seed": {"type": "integer", "minimum": 0},
        "show": {"type": "integer", "minimum": 0, "description": "The run that is drawn."},
        "page": {
            "type": "string",
            "maxLength": 100,
            "description": "A newer question of the same page takes the place of the one before.",
        },
    },
}
_WRONG: Final[Plain] = {
    "type": "object",
    "required": ["error", "line", "column", "text"],
    "properties": {
        **ERROR["properties"],
        "line": {"type": ["integer", "null"]},
        "column": {"type": ["integer", "null"]},
        "text": {"type": ["string", "null"], "description": "The file with the edits."},
    },
}


def what_if_paths() -> Plain:
    """Return the paths of the what-if part."""
    return {
        "/api/what-if": {"post": _question()},
        "/api/what-if/link": {
            "post": {
                "summary": "The fragment of a link that holds a scenario file",
                **posted(_object("text", text=_TEXT)),
                "responses": answers(_object("link", link={"type": "string"}), *POSTED),
            }
        },
        "/api/what-if/start": {
            "get": {
                "summary": "Each cluster as it is now as a scenario file, and an example",
                "responses": answers(_object("starts", starts={"type": "array"})),
            }
        },
        "/api/what-if/language": {
            "get": {
                "summary": "The verbs and keys of the scenario language, and colours",
                "responses": answers(_object("verbs", verbs={"type": "array"})),
            }
        },
    }


def _question() -> Plain:
    answered = _object("text", "scenarios", "model", "answer", text=_TEXT)
    responses = answers(answered, *POSTED, 409, 503)
    responses["422"] = {
        "description": "The scenario can't be used.",
        "content": json_content(_WRONG),
    }
    return {"summary": "Play a scenario file", **posted(_ASKED), "responses": responses}


def _object(*required: str, **properties: Any) -> Plain:
    return {"type": "object", "required": list(required), "properties": properties}
