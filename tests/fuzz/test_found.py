"""What fuzzing found, each made small: it was an error of another kind, or was believed, before it was mended."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.fuzz import ground
from tests.fuzz.of_devices import _guest, _invitations, _parted, _sealed, _Slot
from vault import crypto, listmaking
from vault.device import read_bundle
from vault.errors import ForgedEntry, PairingFailed
from vault.sync import epochs, merge, replaying, wire
from vault.sync.pairing import Newcomer

EC_KEY = "3059301306072a8648ce3d020106082a8648ce3d030107034200"


@pytest.mark.parametrize(
    "altered",
    [
        {"writes": {"title": [["laptop", "7", 1]]}},
        {"writes": {"title": [[None, 7, 1]]}},
        {"writes": {"title": [["laptop", 7, 1], ["phone", 7.5, 1, "Bank"]]}},
        {"writes": {"title": [["laptop", 7, True]]}},
        {"writes": {"title": []}},
        {"cells": {"title": msgspec.Raw(b"1e99999999999999999999")}},
    ],
    ids=lambda one: str(one)[:40],
)
def test_a_state_that_no_entry_made_is_none(altered: dict[str, Any]) -> None:
    state = {"kind": "item", "id": "a", "cells": {"title": "Bank"}, **altered}
    with pytest.raises(ValueError, match="not the state of a thing"):
        merge.decode(msgspec.json.encode(state))


@pytest.mark.parametrize("state", [b'"nothing"', b'{"kind":"item"}', b'{"kind":"item","id":"a","presence":[1]}'])
def test_a_snapshot_with_a_state_that_cannot_be_read_is_refused_before_a_log_begins_with_it(state: bytes) -> None:
    told = replaying.Told(replaying.digest_of([state]), 1)
    with pytest.raises(ForgedEntry) as caught:
        replaying.states_of([replaying.Part([msgspec.Raw(state)], told)])
    assert caught.value.hint == "update Keyferry"


@pytest.mark.parametrize(
    "rsa", [bytes.fromhex(EC_KEY), bytes.fromhex(EC_KEY.replace("0301", "03ff")), b"", b"\x30\x00"]
)
def test_a_device_whose_key_is_of_an_algorithm_nobody_knows_is_named(rsa: bytes) -> None:
    parts = list(crypto.unpacked(ground.log().phone.bundle.packed))
    own = read_bundle(crypto.packed(*parts[:2], rsa + bytes(65), *parts[3:]))
    with pytest.raises(ForgedEntry, match="no usable keys"):
        epochs.wrap(bytes(32), own, vault="0" * 32, epoch=0, suite=1)


def newcomer(*parts: bytes) -> tuple[Newcomer, _Slot]:
    """Return the new device before the enrolment, and the slot that gives it these four parts."""
    slot = _Slot(_sealed(5, *parts[:2]), _sealed(7, *parts[2:4]))
    made = Newcomer(_invitations()[0], slot, _guest(), "guest")
    made._talk._number = 4
    return made, slot


PARTS = crypto.unpacked(_parted()[0])
TOLD: dict[str, Any] = json.loads(PARTS[3])


def test_the_honest_words_are_taken() -> None:
    assert newcomer(*PARTS)[0].complete().name == "Ada"


@pytest.mark.parametrize(
    "told",
    [
        b"[]",
        b"7",
        b"[" * 5000,
        b"\xff",
        *(
            json.dumps({**TOLD, **one}).encode()
            for one in (
                {"heads": {"a": [1, "zz"]}},
                {"heads": {"a": [0, "00" * 32]}},
                {"heads": {"a": [1, "00"]}},
                {"old_kits": "no list"},
                {"old_kits": "[1]"},
                {"old_kits": '[{"until": ""}]'},
                {"names": {"a": 1}},
            )
        ),
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_an_inviter_tells_is_of_its_form_or_nobody_joins(told: bytes) -> None:
    with pytest.raises(PairingFailed):
        newcomer(*PARTS[:3], told)[0].complete()


def test_an_inviter_that_enrols_somebody_else_burns_the_slot() -> None:
    log = ground.log()
    body, signature = listmaking.propose(
        log.chain, ground.log("both_signatures").phone.bundle, by=log.laptop.signer, now=ground.AT
    )
    made, slot = newcomer(body, signature, *PARTS[2:])
    with pytest.raises(PairingFailed, match="enrols somebody else"):
        made.complete()
    assert slot.is_burnt


@pytest.mark.parametrize("time", ["05", "005", "00", "", "-5", "5 ", "٥", "1" * 16])
def test_the_time_of_a_request_is_written_in_one_way(time: str) -> None:
    """Else a header could be altered and the signature would hold."""
    own = ground.log().laptop
    headers = wire.sign_request(
        own.ed25519, "GET", "/", wire.digest_of(b""), device_id=own.device_id, now_ms=5, nonce=bytes(16)
    )
    assert wire.read_signed(headers).time_ms == 5
    with pytest.raises(ValueError, match="without"):
        wire.read_signed({**headers, wire.TIME: time})
