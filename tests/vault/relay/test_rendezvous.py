"""Slots are small, short-lived, changed by who has read them, and nothing a browser would show."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.vault.relay.calling import Answer, Caller, running
from vault.relay.quota import Limits
from vault.sync import wire


@pytest.fixture
def caller(tmp_path: Path) -> Any:
    with running(tmp_path) as made:
        yield made


def opened(caller: Caller, body: bytes = b"first") -> tuple[str, str]:
    """Open a slot and return its address and etag."""
    answer = caller.call("POST", "/v1/rendezvous", body)
    assert answer.status == 201
    return answer.headers["location"], answer.headers["etag"]


def test_a_slot_ends_after_five_minutes(caller: Caller) -> None:
    slot, etag = opened(caller)
    caller.clock.now += wire.SLOT_SECONDS - 1
    changed = caller.call("PUT", slot, b"second", {"if-match": etag})
    assert (changed.status, caller.call("GET", slot).body) == (204, b"second")
    caller.clock.now += 1
    assert caller.call("GET", slot).word == "no-such-slot"
    assert caller.call("PUT", slot, b"third", {"if-match": changed.headers["etag"]}).status == 404


def test_a_slot_holds_four_kilobytes(caller: Caller) -> None:
    slot, etag = opened(caller, bytes(4096))
    assert caller.call("POST", "/v1/rendezvous", bytes(4097)).word == "too-large"
    assert caller.call("PUT", slot, bytes(4097), {"if-match": etag}).word == "too-large"
    assert caller.call("GET", slot).body == bytes(4096)


def test_a_replacement_names_what_it_replaces(caller: Caller) -> None:
    slot, _ = opened(caller)
    assert caller.call("PUT", slot, b"x").status == 428
    assert caller.call("PUT", slot, b"x", {"if-match": '"0"'}).status == 412
    assert caller.call("PUT", slot, b"x", {"if-match": "*"}).status == 412
    assert caller.call("GET", slot).body == b"first"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-mode": "navigate"},
        {"sec-fetch-mode": "cors"},
        {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"sec-fetch-dest": "document"},
        {"accept": "text/html,application/xhtml+xml"},
        {"origin": "https://elsewhere.example"},
    ],
)
def test_a_browser_is_shown_nothing(caller: Caller, headers: dict[str, str]) -> None:
    slot, _ = opened(caller)
    answer = caller.call("GET", slot, headers=headers)
    assert (answer.status, answer.word) == (403, "browser")
    assert b"first" not in answer.body
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_what_lies_in_a_slot_is_bytes_and_nothing_else(caller: Caller) -> None:
    slot, _ = opened(caller, b"<script>alert(1)</script>")
    answer = caller.call("GET", slot)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_a_reader_may_wait_for_a_change(caller: Caller) -> None:
    slot, etag = opened(caller)

    async def both() -> Answer:
        waiting = asyncio.create_task(caller.acall("GET", f"{slot}?wait=25", headers={"if-none-match": etag}))
        while not caller.relay.bells.count:
            await asyncio.sleep(0)
        await caller.acall("PUT", slot, b"second", {"if-match": etag})
        async with asyncio.timeout(5):
            return await waiting

    assert caller.run(both()).body == b"second"
    assert caller.relay.bells.count == 0


def test_a_reader_who_waits_for_a_burnt_slot_is_told(caller: Caller) -> None:
    slot, etag = opened(caller)

    async def both() -> Answer:
        waiting = asyncio.create_task(caller.acall("GET", f"{slot}?wait=25", headers={"if-none-match": etag}))
        while not caller.relay.bells.count:
            await asyncio.sleep(0)
        await caller.acall("DELETE", slot)
        async with asyncio.timeout(5):
            return await waiting

    assert caller.run(both()).word == "no-such-slot"


def test_an_address_opens_few_slots_a_minute(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(slots=2)) as caller:
        assert [caller.call("POST", "/v1/rendezvous").status for _ in range(3)] == [201, 201, 429]
        caller.address = "198.51.100.1"
        assert caller.call("POST", "/v1/rendezvous").status == 201


def test_an_address_asks_for_few_slots_a_minute(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(slot_requests=2)) as caller:
        slot, _ = opened(caller)
        assert [caller.call("GET", slot).status for _ in range(2)] == [200, 429]


def test_a_relay_holds_so_many_slots_and_forgets_those_that_ended(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(most_slots=2)) as caller:
        assert [caller.call("POST", "/v1/rendezvous").status for _ in range(3)] == [201, 201, 503]
        caller.clock.now += wire.SLOT_SECONDS
        assert caller.call("POST", "/v1/rendezvous").status == 201


@pytest.mark.parametrize("slot", ["0" * 32, "x", "0" * 31, "A" * 32])
def test_no_slot_of_another_name_is_there(caller: Caller, slot: str) -> None:
    for method in ("GET", "DELETE"):
        assert caller.call(method, f"/v1/rendezvous/{slot}").status == 404
