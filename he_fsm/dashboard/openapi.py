"""What can be asked, described in the form of OpenAPI 3.1; each part adds its own paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from he_fsm.metadata.layout import RELEASE

Plain = dict[str, Any]
ERROR: Final[Plain] = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "One sentence."}},
    "required": ["error"],
}
_OBJECT: Final[Plain] = {"type": "object"}
_ERRORS: Final = {
    400: "What was asked is wrong, or is no HTTP.",
    401: "Log in first.",
    403: "Not for you, or asked by a page of another site.",
    404: "There is nothing of that name.",
    405: "This can't be done with it.",
    409: "It can't be done now.",
    413: "The body is too long.",
    415: "The body is no JSON.",
    421: "The request is for another host.",
    428: "The sign of the session is missing or old.",
    429: "Too many ask at once.",
    502: "The broker refuses, or does not answer.",
    503: "There is nothing to answer with yet.",
}


def json_content(schema: Plain) -> Plain:
    """Return content of one JSON schema."""
    return {"application/json": {"schema": schema}}


def answers(schema: Plain, *errors: int) -> Plain:
    """Return the answers of an operation: what it answers with, and the errors that it has."""
    found: Plain = {"200": {"description": "Done.", "content": json_content(schema)}}
    # Every request may be refused before it comes to an operation.
    for status in sorted({400, 401, 403, 404, 421, *errors}):
        found[str(status)] = {"description": _ERRORS[status], "content": json_content(ERROR)}
    return found


def posted(schema: Plain) -> Plain:
    """Return the body of an operation that changes something, and the header that it needs."""
    return {
        "parameters": [
            {
                "name": "X-He-Fsm-Sign",
                "in": "header",
                "required": False,
                "description": "`sign` of GET /api/session, with its cookie; not with a token.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": json_content(schema)},
    }


# Errors of whatever is posted.
POSTED: Final = (413, 415, 428)


def description(paths: Iterable[Mapping[str, Any]]) -> Plain:
    """Return the whole description; *paths*: those of each part."""
    found: Plain = {}
    for each in (_own(), *paths):
        found.update(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "he-fsm dashboard",
            "version": RELEASE,
            "description": "Shows clusters, and changes little. docs/dashboard.md says more.",
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
        "paths": found,
    }


def _own() -> Plain:
    token = {
        "type": "object",
        "properties": {"token": {"type": "string"}},
        "required": ["token"],
        "additionalProperties": False,
    }
    return {
        "/api/openapi.json": {
            "get": {"summary": "This description", "responses": answers(_OBJECT)},
        },
        "/api/session": {
            "get": {
                "summary": "Who this browser is, and the sign that it sends with what it changes",
                "responses": answers(_OBJECT),
            }
        },
        "/api/login": {
            "post": {
                "summary": "Begin a session",
                **posted(token),
                "responses": answers(_OBJECT, *POSTED, 409, 429),
            }
        },
        "/api/logout": {
            "post": {
                "summary": "End the session",
                **posted(_OBJECT),
                "responses": answers(_OBJECT, *POSTED),
            }
        },
    }
