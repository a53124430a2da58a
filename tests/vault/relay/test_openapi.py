"""The OpenAPI document is true: it names every endpoint and no other, and lies in docs/ as it is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vault.relay.calling import Clock, running
from vault.relay.openapi import document

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs" / "relay-openapi.json"


def test_the_document_in_docs_is_the_one_that_is_served(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with running(tmp_path, clock=Clock()) as caller:
        served = json.loads(caller.call("GET", "/v1/openapi.json").body)
    assert served == document()
    if request.config.getoption("--bless"):
        FILE.write_text(json.dumps(document(), indent=1) + "\n", encoding="utf-8")
    assert json.loads(FILE.read_text(encoding="utf-8")) == served


def test_every_endpoint_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as caller:
        routes = {
            (route.path, method)
            for route in caller._app.routes
            for method in route.methods
            if route.path.startswith("/v1/") and route.name != "openapi"
        }
    told = {
        (path, method.upper())
        for path, calls in document()["paths"].items()
        for method in calls
        if method != "parameters"
    }
    # A reader of a page may ask for its head only, which says nothing that is worth telling.
    assert told <= routes
    assert {method for _, method in routes - told} == {"HEAD"}
