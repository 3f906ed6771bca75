"""The OpenAPI 3.1 description of the service."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Of a job; who has it has the job.",
}


def description() -> dict[str, Any]:
    """The document ``/openapi.json``."""
    job = {"$ref": "#/components/schemas/Job"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aumer",
            "version": version("aumer"),
            "description": "Spots facial micro- and macro-expressions in videos. Results are those "
            "of `aumer.spot`. Errors are problems (RFC 9457).",
        },
        "security": [{"token": []}],
        "paths": {
            "/": {"get": _open("The page", "text/html")},
            "/assets/{name}": {
                "get": {
                    **_open("A file of the page", "*/*", (404,)),
                    "parameters": [{**_ID, "name": "name", "description": "Of the file."}],
                }
            },
            "/health": {
                "get": {
                    **_open("Whether jobs are begun", "application/json"),
                    "responses": {
                        **_open("", "application/json")["responses"],
                        "503": {
                            "description": "They are not, or there are too many connections",
                            "content": {
                                "application/json": {"schema": {"type": "object"}},
                                **_BAD["content"],
                            },
                        },
                    },
                }
            },
            "/openapi.json": {"get": _open("This document", "application/json")},
            "/v1/service": {
                "get": _operation("Version, limits, jobs, formats, and what is kept of people")
            },
            "/v1/jobs": {
                "post": {
                    **_operation("Begin a job", 201, job, (408, 413, 415, 422, 429, 507)),
                    "parameters": [
                        _query("name", "Plain name of an uploaded video, such as interview.mp4."),
                        _query("options", "Of an uploaded video: JSON, see Options."),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            **{
                                kind: {"schema": {"type": "string", "format": "binary"}}
                                for kind in ("application/octet-stream", "video/*")
                            },
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["path"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "path": {
                                            "type": "string",
                                            "description": "Absolute, in a folder of the service.",
                                        },
                                        "options": {"$ref": "#/components/schemas/Options"},
                                    },
                                }
                            },
                        },
                    },
                }
            },
            "/v1/jobs/{id}": {
                "parameters": [_ID],
                "get": _operation("A job and how far it is", 200, job, (404,)),
                "delete": _operation(
                    "Remove a job and all that is kept of it", 204, None, (404, 507)
                ),
            },
            "/v1/jobs/{id}/events": {
                "parameters": [_ID],
                "get": {
                    **_operation(
                        "Server-Sent Events: `job`, with a Job, at every change until it has "
                        "ended; `removed`"
                    ),
                    "responses": _answers(200, {"type": "string"}, (404,), "text/event-stream"),
                },
            },
            "/v1/jobs/{id}/cancel": {
                "parameters": [_ID],
                "post": _operation("End a job; its upload is removed", 200, job, (404, 507)),
            },
            "/v1/jobs/{id}/result.{suffix}": {
                "parameters": [
                    _ID,
                    {**_ID, "name": "suffix", "description": "A format, such as json."},
                    _query("number", "Which result, from 1, where every face has its own."),
                ],
                "get": {
                    **_operation("A file of a job that is done"),
                    "responses": _answers(200, {"type": "string"}, (404, 409), "*/*"),
                },
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Job": _JOB, "Options": _OPTIONS, "Problem": _PROBLEM},
        },
    }


def _query(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}, "description": what}


def _open(what: str, media: str, errors: tuple[int, ...] = ()) -> dict[str, Any]:
    """An operation without a token."""
    good = {"description": "OK", "content": {media: {}}}
    bad = dict.fromkeys(map(str, (*_ANYWHERE, *errors)), _BAD)
    return {"summary": what, "security": [], "responses": {"200": good, **bad}}


def _operation(
    what: str, status: int = 200, schema: Any = None, errors: tuple[int, ...] = ()
) -> dict[str, Any]:
    schema = schema or (None if status == 204 else {"type": "object"})
    return {"summary": what, "responses": _answers(status, schema, errors, "application/json")}


def _answers(status: int, schema: Any, errors: tuple[int, ...], media: str) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "OK"}
    if schema is not None:
        good["content"] = {media: {"schema": schema}}
    return {str(status): good, **dict.fromkeys(map(str, (*_ANYWHERE, 401, *errors)), _BAD)}


#: Error responses of all operations: malformed request, wrong host name or page, internal error,
#: unusable disk, too many connections.
_ANYWHERE = (400, 403, 500, 503)
_BAD: dict[str, Any] = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _or_null(kind: str | list[str], what: str = "") -> dict[str, Any]:
    kinds = [kind] if isinstance(kind, str) else kind
    return {"type": [*kinds, "null"], **({"description": what} if what else {})}


_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "state": {"enum": ["queued", "running", "done", "failed", "canceled"]},
        "created": {"type": "number", "description": "Seconds since 1970."},
        "started": _or_null("number"),
        "ended": _or_null("number"),
        "removed_at": _or_null("number"),
        "frames": _or_null("integer", "Decoded so far, while it runs."),
        "frames_estimate": _or_null("integer", "Of all frames."),
        "options": {"$ref": "#/components/schemas/Options"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "face": _or_null("integer"),
                    "micro": {"type": "integer"},
                    "macro": {"type": "integer"},
                },
            },
        },
        "problem": {"oneOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
    },
}
_OPTIONS = {
    "type": "object",
    "description": "As of `aumer.spot`; what is left out is as there.",
    "additionalProperties": False,
    "properties": {
        "model": _or_null("string"),
        "recognizer": _or_null("string", "`default` labels every expression."),
        "aus": {"type": "boolean"},
        "start": _or_null("number"),
        "end": _or_null("number"),
        "fps": _or_null("number"),
        "face": _or_null(["string", "integer"]),
        "sensitivity": _or_null(["string", "number"]),
        "micro_max_s": _or_null("number"),
        "min_coverage": _or_null("number"),
        "settings": {"type": "object"},
        "formats": {"type": "array", "items": {"type": "string"}},
        "faces": {"type": "boolean", "description": "Pages and pictures show faces."},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:aumer:problem:..."},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "status": {"type": "integer"},
        "exit_code": {"type": "integer", "description": "With which `aumer spot` would end."},
        "meaning": {"type": "string"},
    },
}
