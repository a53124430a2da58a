"""What a revoked device has seen: a list of things to change, never with a value in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import KIT, World
from vault import identity, seniority
from vault.errors import NoSuchItem, UsageError
from vault.model import BasicAuth, CustomFields, Field, Item, Note, Past, Totp, concealed
from vault.secret import Secret
from vault.sync import belonging, revoking


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone")
    yield found
    found.close()


def test_every_kind_of_secret_is_named_and_no_value_is(world: World) -> None:
    login = BasicAuth(username=Field(value="ada"), password=concealed("CANARY-1"))
    hidden = CustomFields(fields=(Field(label="Second PIN", value=Secret("CANARY-2"), field_type="concealed-string"),))
    parts = (login, Totp(secret=Secret("CANARY3CANARY")), Note(content=Secret("CANARY-4")), hidden)
    past = (Past(value=Secret("CANARY-5")),)
    world["laptop"].put(Item(id="bank", title="Bank", credentials=parts, history=past))
    seen = revoking.secrets_seen(world["laptop"].store)
    assert {one.id for one in seen} == {"bank"}
    assert {"Password", "Second PIN"} <= {one.what for one in seen}
    assert len(seen) >= 5
    assert "CANARY" not in repr(seen)


def test_what_lies_in_the_trash_was_seen_too(world: World) -> None:
    world["laptop"].add("old", trashed=True)
    assert [one.id for one in revoking.secrets_seen(world["laptop"].store)] == ["old"]


def test_the_secret_unchanged_for_longest_comes_first(world: World) -> None:
    world["laptop"].add("new", modified_at="2026-01-01T00:00:00Z")
    world["laptop"].add("old", modified_at="2019-01-01T00:00:00Z")
    world["laptop"].add("undated")
    assert [one.id for one in revoking.secrets_seen(world["laptop"].store)] == ["undated", "old", "new"]


def test_a_device_is_found_by_name_id_and_its_beginning(world: World) -> None:
    store, phone = world["laptop"].store, world["phone"].id
    for text in ("phone", phone, phone[:4], phone[:12]):
        assert revoking.find(store, text).device_id == phone
    assert revoking.find(store, "phone").name == "phone"


@pytest.mark.parametrize("text", ["tablet", "", "pho"])
def test_what_is_no_device_is_told(world: World, text: str) -> None:
    with pytest.raises(NoSuchItem, match="no device is called"):
        revoking.find(world["laptop"].store, text)


def test_too_short_a_beginning_names_nobody(world: World) -> None:
    with pytest.raises(NoSuchItem):
        revoking.find(world["laptop"].store, world["phone"].id[:3])


def test_two_devices_of_one_name_are_told_apart_by_their_ids(world: World) -> None:
    world["laptop"].do(lambda store: identity.name_device(store, world["laptop"].id, "phone"))
    with pytest.raises(UsageError, match="2 devices are called") as caught:
        revoking.find(world["laptop"].store, "phone")
    assert world["phone"].id[:12] in (caught.value.hint or "")


def test_a_revoked_device_is_not_found_again(world: World) -> None:
    belonging.revoke(world["laptop"].store, world["phone"].id, world["laptop"].now())
    with pytest.raises(NoSuchItem):
        revoking.find(world["laptop"].store, "phone")


def test_a_revocation_signed_by_the_kit_stands_above_one_of_an_older_device(world: World) -> None:
    laptop, phone = world["laptop"], world["phone"]
    at = "2026-11-23T12:00:00Z"
    by_root = belonging.revoke(phone.store, laptop.id, at, kit=KIT)
    by_elder = belonging.revoke(laptop.store, phone.id, at)
    assert seniority.outranks(by_root, by_elder)
    assert not seniority.outranks(by_elder, by_root)
