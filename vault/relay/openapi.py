"""The eight endpoints in OpenAPI's words, from one table; ``docs/relay-openapi.json`` is this document."""

from __future__ import annotations

from typing import Any

from vault.sync import wire

_BINARY = "application/octet-stream"
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NUMBER = {"type": "integer", "minimum": 0}
_VAULT, _SLOT, _BLOB = "/v1/vaults/{vault}", "/v1/rendezvous/{slot}", "/v1/vaults/{vault}/blobs/{digest}"


def document() -> dict[str, Any]:
    """Return the document."""
    cursor, empty = ("newest cursor", "bytes"), ("", "")
    paths: dict[str, dict[str, Any]] = {
        "/v1/vaults": {
            "post": _call(
                "create",
                "Bring a vault's membership chain.",
                body="chain",
                most=wire.MOST_CHAIN,
                headers=(wire.INVITE,),
                answers={
                    200: cursor,
                    201: cursor,
                    401: empty,
                    403: empty,
                    413: empty,
                    422: empty,
                    429: empty,
                    507: empty,
                },
            )
        },
        f"{_VAULT}/entries": {
            "post": _call(
                "append",
                "Add entries, all or none; what is there already is taken as sent.",
                body="batch",
                most=wire.MOST_BATCH,
                answers={
                    200: cursor,
                    401: empty,
                    403: empty,
                    404: empty,
                    409: ("hash in its place", "bytes"),
                    410: empty,
                    413: empty,
                    422: empty,
                    429: empty,
                    507: empty,
                },
            ),
            "get": _call(
                "page",
                "Read what came behind a cursor.",
                query={"after": _NUMBER, "limit": _limit()},
                answers={200: ("page", "bytes"), 401: empty, 403: empty, 404: empty, 410: empty, 429: empty},
            ),
        },
        f"{_VAULT}/heads": {
            "get": _call(
                "heads",
                "Ask what the relay has.",
                answers={200: ("heads", "bytes"), 401: empty, 403: empty, 404: empty, 410: empty, 429: empty},
            )
        },
        f"{_VAULT}/watch": {
            "get": _call(
                "watch",
                "Wait until the newest cursor is another one.",
                query={"after": _NUMBER, "wait": {**_NUMBER, "maximum": wire.MOST_WAIT}},
                answers={
                    200: cursor,
                    204: ("nothing new", ""),
                    401: empty,
                    403: empty,
                    404: empty,
                    410: empty,
                    429: empty,
                },
            )
        },
        _BLOB: {
            "put": _call(
                "put_blob",
                "Keep bytes under their SHA-256, which is also what is signed.",
                body="the bytes",
                most=wire.MOST_BLOB,
                answers={
                    200: ("there already", ""),
                    201: ("kept", ""),
                    401: empty,
                    403: empty,
                    404: empty,
                    410: empty,
                    413: empty,
                    422: empty,
                    429: empty,
                    507: empty,
                },
            ),
            "get": _call(
                "blob",
                "Read bytes.",
                answers={200: ("the bytes", "bytes"), 401: empty, 403: empty, 404: empty, 410: empty, 429: empty},
            ),
            "head": _call(
                "blob_size",
                "Ask for the size.",
                answers={200: ("there", ""), 401: empty, 403: empty, 404: empty, 410: empty, 429: empty},
            ),
        },
        "/v1/rendezvous": {
            "post": _call(
                "open_slot",
                f"Open a slot for {wire.SLOT_SECONDS} seconds.",
                body="content",
                most=wire.MOST_SLOT,
                signed=False,
                answers={201: ("slot, and its etag in ETag", "json"), 403: empty, 413: empty, 429: empty},
            )
        },
        _SLOT: {
            "get": _call(
                "slot",
                "Read a slot, or wait until it holds something else than If-None-Match names.",
                query={"wait": {**_NUMBER, "maximum": wire.MOST_WAIT}},
                headers=("if-none-match",),
                signed=False,
                answers={200: ("content", "bytes"), 304: ("the same", ""), 403: empty, 404: empty, 429: empty},
            ),
            "put": _call(
                "put_slot",
                "Replace what If-Match names.",
                body="content",
                most=wire.MOST_SLOT,
                headers=("if-match",),
                signed=False,
                answers={
                    204: ("replaced; its etag in ETag", ""),
                    403: empty,
                    404: empty,
                    412: empty,
                    413: empty,
                    428: empty,
                    429: empty,
                },
            ),
            "delete": _call(
                "burn_slot",
                "Forget a slot.",
                signed=False,
                answers={204: ("forgotten", ""), 403: empty, 404: empty, 429: empty},
            ),
        },
        _VAULT: {
            "delete": _call(
                "delete",
                "Delete a vault, signed by its root key; a member may bring it back for 30 days.",
                answers={204: ("deleted", ""), 401: empty, 403: empty, 404: empty, 410: empty, 429: empty},
            )
        },
    }
    for path, calls in paths.items():
        named = [one[1:-1] for one in path.split("/") if one.startswith("{")]
        if named:
            calls["parameters"] = [
                {"name": one, "in": "path", "required": True, "schema": _DIGEST if one == "digest" else _ID}
                for one in named
            ]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keyferry relay", "version": "1", "description": "See docs/relay.md."},
        "paths": paths,
        "components": {"securitySchemes": _schemes(), "schemas": {"Refusal": _refusal()}},
    }


def _call(
    name: str,
    summary: str,
    *,
    answers: dict[int, tuple[str, str]],
    body: str = "",
    most: int = 0,
    query: dict[str, Any] | None = None,
    headers: tuple[str, ...] = (),
    signed: bool = True,
) -> dict[str, Any]:
    call: dict[str, Any] = {"operationId": name, "summary": summary}
    parameters = [{"name": one, "in": "query", "schema": schema} for one, schema in (query or {}).items()]
    parameters += [{"name": one, "in": "header", "schema": {"type": "string"}} for one in headers]
    if parameters:
        call["parameters"] = parameters
    if body:
        content = {_BINARY: {"schema": {"type": "string", "format": "binary", "maxLength": most}}}
        call["requestBody"] = {"description": body, "required": True, "content": content}
    call["responses"] = {str(status): _answer(status, *told) for status, told in sorted(answers.items())}
    if signed:
        call["security"] = [{name: [] for name in _schemes()}]
    return call


def _answer(status: int, description: str, kind: str) -> dict[str, Any]:
    if kind == "bytes":
        return {"description": description, "content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}}}
    if kind == "json":
        shape = {"type": "object", "properties": {"slot": _ID, "seconds": _NUMBER}}
        return {"description": description, "content": {"application/json": {"schema": shape}}}
    if description or status < 400:
        return {"description": description}
    refusal = {"schema": {"$ref": "#/components/schemas/Refusal"}}
    return {"description": "refused; see the word", "content": {"application/json": refusal}}


def _schemes() -> dict[str, Any]:
    told = {
        wire.DEVICE: "device id, or instead keyferry-root: the root's public key, in hexadecimal",
        wire.TIME: "UNIX milliseconds",
        wire.NONCE: "32 hexadecimal digits, used once",
        wire.SIGNATURE: "Ed25519, in base64, over namespace, method, target, SHA-256 of the body, time and nonce",
    }
    return {name: {"type": "apiKey", "in": "header", "name": name, "description": one} for name, one in told.items()}


def _refusal() -> dict[str, Any]:
    text = {"type": "string"}
    return {"type": "object", "required": ["error", "message"], "properties": {"error": text, "message": text}}


def _limit() -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": wire.MOST_PAGE_ENTRIES}
