"""Two states of a vault differ in items that were added, changed or are gone; what differs is named, not shown."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given, settings

from backup import comparing
from backup.reading import Opener
from tests.backup import sets
from tests.backup.sets import KIT, LATER, PASSWORD
from tests.vault.strategies import vaults
from vault.model import Vault

MAIL, BANK = sets.login("mail", "Mail"), sets.login("bank", "Bank")


def told(before: Vault, after: Vault) -> list[tuple[str, str, str]]:
    return [(one.title, one.kind, one.what) for one in comparing.differences(before, after)]


def test_new_changed_and_gone() -> None:
    changed = msgspec.structs.replace(sets.login("mail", "Post", "other"), favorite=True)
    found = told(Vault(items=(MAIL, BANK)), Vault(items=(sets.login("shop", "Shop"), changed)))
    assert [title for title, _, _ in found] == ["Shop", "Post", "Bank"]
    assert [kind for _, kind, _ in found] == ["new", "changed", "gone"]
    assert {"title", "credentials", "favorite"} == set(found[1][2].split(", "))


def test_no_value_is_told() -> None:
    found = comparing.differences(Vault(items=(MAIL,)), Vault(items=(sets.login("mail", "Mail", "n3w-value"),)))
    assert [one.what for one in found] == ["credentials"]
    assert PASSWORD not in repr(found) and "n3w-value" not in repr(found)


@given(vaults())
@settings(max_examples=50)
def test_a_vault_differs_from_nothing_in_all_and_from_itself_in_nothing(vault: Vault) -> None:
    assert comparing.differences(vault, vault) == ()
    assert [one.kind for one in comparing.differences(Vault(), vault)] == ["new"] * len(vault.items)
    assert [one.kind for one in comparing.differences(vault, Vault())] == ["gone"] * len(vault.items)
    turned = msgspec.structs.replace(vault, items=vault.items[::-1])
    assert comparing.differences(vault, turned) == ()


def test_a_set_is_compared_with_the_vault_of_today(tmp_path: Path) -> None:
    with sets.small(tmp_path / "v") as store:
        (tmp_path / "b").write_bytes(sets.sealed(sets.plain(store), KIT.recipient))
        store.put(sets.login("mail", "Mail", "new"), now=LATER)
        store.purge("bank")
        before = comparing.of_set(tmp_path / "b", Opener((KIT.identity,), (KIT.root_public,)))
        assert told(before, comparing.of_vault(store)) == [
            ("Mail", "changed", "credentials"),
            ("Bank", "gone", "gone"),
        ]
