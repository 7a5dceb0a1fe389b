"""What can be asked of the live part, for the description that is served."""

from __future__ import annotations

from typing import Any

from he_fsm.dashboard.live.wishes import DEEDS, GLOBAL, LOCAL, MOVE
from he_fsm.dashboard.openapi import ERROR, POSTED, Plain, answers, json_content, posted
from he_fsm.metadata.layout import HOST_ID_MAX

_TIME = {"type": "string", "description": "A time like 2h, of 1s to 31d.", "examples": ["2h"]}
_HOST = {"type": "integer", "minimum": 1, "maximum": HOST_ID_MAX}
_CLUSTER: dict[str, Any] = {
    "name": "cluster",
    "in": "path",
    "required": True,
    "description": "The `key` of GET /api/clusters.",
    "schema": {"type": "string"},
}


def live_paths() -> Plain:
    """Return the paths of the live part."""
    return {
        "/api/clusters": {
            "get": {"summary": "The clusters that are shown", "responses": answers(_clusters())}
        },
        "/api/events": {"get": _events()},
        "/api/clusters/{cluster}/status": {
            "get": {
                "summary": "The last look, in the form of `he-fsm status --json`",
                "parameters": [_CLUSTER],
                "responses": answers({"type": "object", "required": ["verdict"]}, 503),
            }
        },
        "/api/clusters/{cluster}/forecast": {
            "get": {
                "summary": "What a change would do, as the simulator says; nothing is changed",
                "parameters": [_CLUSTER, *_query()],
                "responses": answers(_forecast(), 409, 429, 502),
            }
        },
        "/api/clusters/{cluster}/deeds": {
            "post": _posted_deed(),
        },
    }


def _clusters() -> Plain:
    names = ("key", "title", "kind")
    return {
        "type": "object",
        "required": ["clusters"],
        "properties": {
            "clusters": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": [*names, "answers"],
                    "properties": {
                        **{name: {"type": "string"} for name in names},
                        "answers": {"type": "boolean"},
                    },
                },
            }
        },
    }


def _forecast() -> Plain:
    return {
        "type": "object",
        "required": ["question", "answer", "well", "runs", "hosts", "notes"],
        "properties": {
            "question": {"type": "string"},
            "answer": {"type": "string"},
            "well": {"type": "boolean"},
            "runs": {"type": "integer"},
            "hosts": {"type": "object"},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    }


def _events() -> Plain:
    found = answers({"type": "object"}, 503)
    found["200"] = {
        "description": "Server-sent events `clusters`, `change` and `beat`, until one side ends.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    last = {
        "name": "last",
        "in": "query",
        "required": False,
        "description": "The id of the last event that was taken, as Last-Event-ID.",
        "schema": {"type": "string"},
    }
    return {"summary": "What is so, and what changes", "parameters": [last], "responses": found}


def _query() -> list[Plain]:
    def parameter(name: str, schema: Plain, *, required: bool = False) -> Plain:
        return {"name": name, "in": "query", "required": required, "schema": schema}

    return [
        parameter("deed", {"type": "string", "enum": list(DEEDS)}, required=True),
        parameter("on", {"type": "string", "enum": ["true", "false"]}),
        parameter("for", _TIME),
        parameter("to", _HOST),
    ]


def _posted_deed() -> Plain:
    def maintenance(deed: str) -> Plain:
        return {
            "type": "object",
            "required": ["deed", "on"],
            "additionalProperties": False,
            "properties": {"deed": {"const": deed}, "on": {"type": "boolean"}, "for": _TIME},
        }

    move = {
        "type": "object",
        "required": ["deed"],
        "additionalProperties": False,
        "properties": {"deed": {"const": MOVE}, "to": _HOST},
    }
    found = posted({"oneOf": [maintenance(LOCAL), maintenance(GLOBAL), move]})
    done = {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string"}},
    }
    return {
        "summary": "Set or end maintenance, or move the engine",
        **found,
        "parameters": [_CLUSTER, *found["parameters"]],
        "responses": {
            **answers(done, *POSTED, 409, 502),
            "default": {"description": "An error.", "content": json_content(ERROR)},
        },
    }
