"""What a set holds comes back whole, into a vault of its own or into the one that is here, and can be taken back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup import book as books
from backup import making, payload, reading, restoring
from backup.reading import Opened, Opener
from backup.restoring import MERGE, REPLACE, Restored
from tests.backup import worlds
from tests.backup.worlds import AT, NOW, login
from tests.vault import strategies
from vault import canonical, keys, listentry, membership
from vault.errors import (
    AmbiguousItem,
    DamagedBackup,
    ForeignBackup,
    KeyferryError,
    KeyringUnavailable,
    NoSuchItem,
    WrongKit,
)
from vault.keyholders import KeyFileHolder
from vault.kit import open_recovery
from vault.model import Collection, File, Item, Vault
from vault.store import Store

FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
LATER = "2026-12-01T10:00:00Z"


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each restore take the keys of the same device, which are not made again each time."""
    monkeypatch.setattr("vault.rejoining.device.new_device", lambda: worlds.a_device("restored"))


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def proven(path: Path, opener: Opener | None = None) -> tuple[Opener, Opened]:
    opener = opener or worlds.kit_opener()
    return opener, reading.check(path, opener)


def onto_new_device(home: Path, path: Path) -> Store:
    """Restore with the kit, as on a bare machine."""
    opener, found = proven(path)
    holder = KeyFileHolder(home.with_name(f"{home.name}.key"), home)
    store, _ = restoring.into_new(home, path, opener, found, kit=worlds.a_kit(), holder=holder, clock=lambda: NOW)
    return store


def into(store: Store, path: Path, mode: str, *, wanted: str | None = None) -> Restored:
    """Bring a set into an open vault."""
    opener, found = proven(path)
    return restoring.into_present(store, Path("nowhere"), path, opener, found, mode, wanted=wanted, clock=lambda: LATER)


def backed_up(store: Store, place: Path) -> Path:
    """Make a set of the vault as the program does."""
    target = place / "made.keyferry"
    making.create(store, place, to=target, clock=lambda: NOW)
    return target


# -- onto a new device


def test_every_table_comes_back_row_by_row(tmp_path: Path) -> None:
    with worlds.a_store(tmp_path) as store:
        before = worlds.tables(worlds.lived_in(store))
        path = backed_up(store, tmp_path)
        assert worlds.all_tables(store) - {"meta"} == set(before) - {"places"}
    assert all(before.values()), "a table that holds nothing proves nothing"
    with onto_new_device(tmp_path / "new", path) as restored:
        assert worlds.tables(restored) == before
        assert restored.is_sound()


@FEW
@given(vault=strategies.vaults(), again=strategies.vaults())
def test_any_vault_comes_back_with_its_past(vault: Vault, again: Vault) -> None:
    with folder() as place, worlds.a_store(place) as store:
        worlds.filled(store, vault)
        worlds.filled(store, again)
        before, words = as_read(store), [item.title for item in store.items() if item.title]
        path = backed_up(store, place)
        with onto_new_device(place / "new", path) as restored:
            assert as_read(restored) == before
            assert [restored.search([word]) for word in words] == [store.search([word]) for word in words]


def as_read(store: Store) -> dict[str, Any]:
    """Return every table, its rows as they are read: an empty secret, or keys in another order, say the same."""
    found: dict[str, Any] = worlds.tables(store)
    readers = {
        "items": canonical.decode_item,
        "past": canonical.decode_item,
        "collections": canonical.decode_collection,
        "extras": canonical.decode_any,
    }
    for name, read in readers.items():
        found[name] = [[read(one) if isinstance(one, bytes) else one for one in row] for row in found[name]]
    return found


def test_what_is_restored_can_be_taken_back_and_searched_as_before(tmp_path: Path) -> None:
    with worlds.a_store(tmp_path) as store:
        path = backed_up(worlds.lived_in(store), tmp_path)
        with onto_new_device(tmp_path / "new", path) as restored:
            assert restored.undo("run3", NOW) == store.undo("run3", NOW)
            assert restored.undo("run1", NOW) == store.undo("run1", NOW) == ["new-run1-0"]
            assert worlds.tables(restored) == worlds.tables(store)
            assert restored.search("edited") == store.search("edited") == ["new-run1-0"]


def test_the_restored_device_is_a_new_one_let_in_by_the_root(tmp_path: Path) -> None:
    chain = worlds.genesis()
    path = worlds.written_set(tmp_path, chain, "laptop")
    with onto_new_device(tmp_path / "new", path) as restored:
        own = keys.own_chain(restored)
        assert own[:-1] == chain
        assert keys.own_device(restored).device_id != worlds.a_device("laptop").device_id
        assert [one.device_id for one in keys.members(restored)] == [
            worlds.a_device("laptop").device_id,
            keys.own_device(restored).device_id,
        ]
        signers = listentry.signers_of(own[-1])
        assert signers[0] == worlds.a_kit().root_public
        assert restored.vault_id == membership.vault_id_of(chain)
        assert restored.meta("kit_checked_at") == NOW
        assert restored.meta("kit") is None


def test_the_restored_vault_keeps_nothing_of_the_old_device_or_its_backups(tmp_path: Path) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", counter=41)
    with onto_new_device(tmp_path / "new", path) as restored:
        book = books.load(restored, tmp_path / "new")
        assert (book.counter, book.sets, book.newest) == (0, (), "")
        told = "".join(body for (body,) in restored._db.all("SELECT value FROM meta"))
        assert worlds.a_device("laptop").age not in told


def test_the_recovery_file_opens_with_the_kit(tmp_path: Path) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop")
    home = tmp_path / "new"
    onto_new_device(home, path).close()
    vault_id, found = open_recovery((home / "vault.recovery.age").read_bytes(), worlds.a_kit())
    assert vault_id == membership.vault_id_of(worlds.genesis())
    with Store.open(home / "vault.db", found[0]) as store:
        assert store.count() == 3


def test_the_first_backup_of_the_new_device_holds_under_the_kit(tmp_path: Path) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", counter=41)
    with onto_new_device(tmp_path / "new", path) as restored:
        made = making.create(restored, tmp_path / "new", clock=lambda: NOW).made
        assert made is not None
        target = tmp_path / "new" / "backups" / made.name
        found = reading.check(target, worlds.kit_opener())
        assert found.manifest.counter == 1
        assert found.manifest.device == keys.own_device(restored).device_id
        assert found.manifest.previous is None
        assert len(found.signed.chain) == 2
        _, before = proven(path)
        whole = restoring.changes(restored, _vault_in(target), REPLACE)
        assert whole == ()
        assert found.manifest.content != before.manifest.content  # the test's own sets say nothing of it


def test_a_restored_vault_and_its_source_hold_the_same_by_their_own_digest(tmp_path: Path) -> None:
    with worlds.a_store(tmp_path) as store:
        path = backed_up(worlds.lived_in(store), tmp_path)
        with onto_new_device(tmp_path / "new", path) as restored:
            contents = []
            for one in (store, restored):
                with one.snapshot():
                    contents.append(payload.gather(one, NOW).content)
    assert contents[0] == contents[1] == proven(path)[1].manifest.content


def test_those_who_were_given_the_backups_by_consent_still_are(tmp_path: Path) -> None:
    escrow = payload.Recipient("escrow", "notary", worlds.a_kit("notary").recipient)
    kit = payload.Recipient("kit", "recovery kit", worlds.a_kit().recipient)
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", recipients=(kit, escrow))
    with onto_new_device(tmp_path / "new", path) as restored:
        assert books.load(restored, tmp_path / "new").recipients == (escrow,)


def test_without_the_vaults_kit_it_is_a_vault_of_its_own(tmp_path: Path) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop")
    opener, found = proven(path)
    home = tmp_path / "new"
    holder = KeyFileHolder(tmp_path / "key", home)
    store, _ = restoring.into_new(home, path, opener, found, kit=None, holder=holder, clock=lambda: NOW)
    with store:
        assert store.vault_id != found.manifest.vault
        assert len(keys.own_chain(store)) == 1
        assert worlds.by_id(store.vault()) == worlds.by_id(worlds.household())
        waiting = store.meta("kit")
        assert waiting
        assert store.meta("kit_recipient") != worlds.a_kit().recipient


def _vault_in(path: Path) -> Vault:
    from backup import comparing

    return comparing.of_set(path, worlds.kit_opener())


# -- refused on the way: then there is no vault


def exchanged(monkeypatch: pytest.MonkeyPatch, path: Path, other: bytes) -> None:
    """Let somebody put another file there after the first reading."""
    real = restoring._again

    def again(*given: Any) -> None:
        path.write_bytes(other)
        real(*given)

    monkeypatch.setattr(restoring, "_again", again)


def test_a_set_that_is_exchanged_between_the_readings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even for one that is as good by itself."""
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop")
    other = worlds.written_set(tmp_path / "b", worlds.genesis(), "laptop", Vault(items=(login("evil-item"),)))
    exchanged(monkeypatch, path, other.read_bytes())
    with pytest.raises(DamagedBackup, match="exchanged while it was read"):
        onto_new_device(tmp_path / "new", path)
    assert not (tmp_path / "new").exists()


def test_a_set_that_is_exchanged_changes_nothing_in_the_vault_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop")
    other = worlds.written_set(tmp_path / "b", worlds.genesis(), "laptop", Vault(items=(login("evil-item"),)))
    with worlds.a_store(tmp_path) as store:
        before = worlds.tables(store)
        exchanged(monkeypatch, path, other.read_bytes())
        with pytest.raises(DamagedBackup, match="exchanged while it was read"):
            into(store, path, REPLACE)
        assert worlds.tables(store) == before


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


HOUSEHOLD = worlds.parts_of(worlds.household())
_FIRST = HOUSEHOLD[payload.VAULT].splitlines(keepends=True)


def spoiled_vault(old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in HOUSEHOLD[payload.VAULT]
    return {payload.VAULT: HOUSEHOLD[payload.VAULT].replace(old, new, 1)}


def with_lines(*lines: bytes) -> dict[str, bytes]:
    return {payload.HISTORY: HOUSEHOLD[payload.HISTORY] + b"".join(line + b"\n" for line in lines)}


RUN = b'["run",1,"r","f","n","d","2026-01-01T00:00:00Z","{}","{}",null]'
HOSTILE = {
    "no json": {payload.VAULT: b"\xff\xfe"},
    "nothing": {payload.VAULT: b""},
    "a list": {payload.VAULT: b"[]"},
    "a number": {payload.VAULT: b"7"},
    "100,000 deep": {payload.VAULT: nested(100_000)},
    "900 deep in extras": spoiled_vault(b'"exporterRpId":"example.org"', b'"x":' + nested(900)),
    "deep in an item": spoiled_vault(b'"title":"Mail"', b'"title":"Mail","zzz":' + nested(2_000)),
    "two items of one id": spoiled_vault(b"bank-item-1", b"mail-item-1"),
    "an id that is a number": spoiled_vault(b'"id":"mail-item-1"', b'"id":7'),
    "a title that is a list": spoiled_vault(b'"title":"Mail"', b'"title":[]'),
    "items that are text": spoiled_vault(b'"items":[', b'"items":"","x":['),
    "half a surrogate": spoiled_vault(b'"title":"Mail"', b'"title":"\\ud800"'),
    "history: no json": {payload.HISTORY: b"\xff\n"},
    "history: empty": {payload.HISTORY: b""},
    "history: objects": {payload.HISTORY: b"{}\n"},
    "history: deep": {payload.HISTORY: b"[" * 100_000 + b"\n"},
    "history: another kind": with_lines(b'["drop",1]'),
    "history: too short": with_lines(b'["run",1]'),
    "history: too long": with_lines(RUN[:-1] + b",1]"),
    "history: a run twice": with_lines(RUN, RUN),
    "history: a number beyond 64 bits": with_lines(RUN.replace(b'"run",1,', b'"run",%d,' % 2**70)),
    "history: a fraction": with_lines(RUN.replace(b'"run",1,', b'"run",1.5,')),
    "history: options that are no json": with_lines(RUN.replace(b'"{}","{}"', b'"{","{}"')),
    "history: a past row that is no json": with_lines(b'["past","mail-item-1","2026-01-01T00:00:00Z","{",null]'),
    "history: a past time that is none": with_lines(b'["past","mail-item-1","soon","{}",null]'),
    "history: places that fall": {payload.HISTORY: HOUSEHOLD[payload.HISTORY].replace(b"1, 2, 3", b"3, 2, 1")},
    "history: a place beyond 64 bits": {
        payload.HISTORY: HOUSEHOLD[payload.HISTORY].replace(b"3, [1, 2, 3]", b"%d, [1, 2, %d]" % (2**70, 2**70))
    },
    "history: places of another vault": {
        payload.HISTORY: b'["order","items",1,[1]]\n["order","collections",0,[]]\n',
    },
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_member_that_signs_nonsense_makes_no_vault_and_no_defect(tmp_path: Path, kind: str) -> None:
    """Either one sentence and no vault, or a vault that can be read from end to end."""
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", parts=HOSTILE[kind])
    home = tmp_path / "new"
    try:
        store = onto_new_device(home, path)
    except DamagedBackup as error:
        assert "\n" not in error.message
        assert not home.exists()
        return
    with store:
        assert store.is_sound()
        store.vault()
        for run in store.runs():
            store.journal(run.id)
        for item in store.items():
            for _, body in store.past(item.id):
                canonical.decode_item(body)


TAKEN = {  # odd, but nothing that cannot be shown
    *("900 deep in extras", "deep in an item", "an id that is a number", "a title that is a list"),
    "history: a past time that is none",
}


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in TAKEN])
def test_nonsense_is_refused_and_not_bent_into_shape(tmp_path: Path, kind: str) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", parts=HOSTILE[kind])
    with pytest.raises(DamagedBackup):
        onto_new_device(tmp_path / "new", path)


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if not kind.startswith("history")])
def test_nonsense_changes_nothing_in_the_vault_that_is_here(tmp_path: Path, kind: str) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", parts=HOSTILE[kind])
    with worlds.a_store(tmp_path) as store:
        worlds.filled(store, Vault(items=(login("mine-item-1"),)))
        before = worlds.tables(store)
        try:
            run = into(store, path, MERGE).run
        except DamagedBackup:
            assert worlds.tables(store) == before
            return
        store.vault()
        store.undo(run, NOW)
        assert worlds.tables(store, "runs", "places") == {
            name: rows for name, rows in before.items() if name not in ("runs", "places")
        }


def test_another_kit_than_the_newest_root_lets_no_device_in(tmp_path: Path) -> None:
    chain = worlds.renewed(worlds.genesis(), "next kit", "laptop")
    path = worlds.written_set(tmp_path, chain, "laptop")
    opener, found = proven(path, Opener((worlds.a_kit().identity,), (worlds.a_kit("next kit").root_public,)))
    with pytest.raises(WrongKit):
        restoring.into_new(
            tmp_path / "new",
            path,
            opener,
            found,
            kit=worlds.a_kit(),
            holder=KeyFileHolder(tmp_path / "key", tmp_path / "new"),
        )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("own", [True, False])
def test_without_a_keyring_the_hint_is_about_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop")
    opener, found = proven(path)
    with pytest.raises(KeyringUnavailable) as caught:
        restoring.into_new(tmp_path / "new", path, opener, found, kit=worlds.a_kit() if own else None, holder=None)
    assert "keyferry restore BACKUP --key-file PATH" in (caught.value.hint or "")
    assert not (tmp_path / "new").exists()


# -- into the vault that is here


@st.composite
def two_states(draw: st.DrawFn) -> tuple[Vault, Vault]:
    """Make a vault and another state of it: items left out, changed with an older, newer or no time, and new ones."""
    backup, others = draw(strategies.vaults()), draw(strategies.vaults())
    held = {item.id for item in backup.items}
    items = [item for item in others.items if item.id not in held]
    for item in backup.items:
        kind = draw(st.sampled_from(["gone", "same", "other"]))
        times = st.sampled_from([None, "2000-01-01T00:00:00Z", "2090-01-01T00:00:00Z"])
        if kind == "same":
            items.append(item)
        elif kind == "other":
            items.append(msgspec.structs.replace(item, title="other", modified_at=draw(times)))
    present = Vault(items=tuple(items), collections=others.collections, extras=others.extras)
    return backup, present


@contextmanager
def both(states: tuple[Vault, Vault]) -> Iterator[tuple[Store, Path]]:
    """Give the second state as an open vault, and the first as a set of it."""
    with folder() as place, worlds.a_store(place) as store:
        yield worlds.filled(store, states[1]), worlds.written_set(place, worlds.genesis(), "laptop", states[0])


def versions(store: Store) -> list[Item]:
    """Return every version of every item that is current or past."""
    rows = store._db.all("SELECT body FROM items UNION SELECT body FROM past")
    return [canonical.decode_item(body) for (body,) in rows]


def settled(vault: Vault) -> tuple[Any, ...]:
    """Return what a vault holds, whatever the order; a format that says nothing beside its items counts as none."""
    items, collections, extras = worlds.by_id(vault)
    return items, collections, {name: said for name, said in extras.items() if said}


@FEW
@given(two_states())
def test_merging_twice_is_merging_once(states: tuple[Vault, Vault]) -> None:
    with both(states) as (store, path):
        into(store, path, MERGE)
        once = worlds.tables(store, "runs")
        again = into(store, path, MERGE)
        assert again.changes == ()
        assert worlds.tables(store, "runs") == once


@FEW
@given(two_states())
def test_replacing_makes_the_vault_what_the_set_holds(states: tuple[Vault, Vault]) -> None:
    with both(states) as (store, path):
        into(store, path, REPLACE)
        assert settled(store.vault()) == settled(_vault_in(path))


@FEW
@given(two_states(), st.sampled_from([MERGE, REPLACE]))
def test_undo_gives_the_vault_back_row_by_row(states: tuple[Vault, Vault], mode: str) -> None:
    """But for folders that items name: those stay, as with every undo."""
    with both(states) as (store, path):
        before, folders = worlds.tables(store, "runs", "places", "collections"), store.collections()
        run = into(store, path, mode).run
        assert store.undo(run, NOW) == []
        assert worlds.tables(store, "runs", "places", "collections") == before
        named = {id_ for item in store.items() for id_ in item.collections}
        named |= {one.parent for one in store.collections() if one.parent}
        assert all(one in store.collections() for one in folders)
        assert {one.id for one in store.collections()} - {one.id for one in folders} <= named


@FEW
@given(two_states())
def test_a_merge_loses_no_version_of_anything(states: tuple[Vault, Vault]) -> None:
    with both(states) as (store, path):
        before = versions(store)
        into(store, path, MERGE)
        after = versions(store)
        assert all(item in after for item in (*before, *_vault_in(path).items))


@FEW
@given(two_states())
def test_replacing_keeps_every_version_as_past_or_in_the_run(states: tuple[Vault, Vault]) -> None:
    with both(states) as (store, path):
        before = versions(store)
        run = into(store, path, REPLACE).run
        rows = [entry.before for entry in store.journal(run) if entry.kind == "item" and entry.before]
        after = [*versions(store), *map(canonical.decode_item, rows)]
        assert all(item in after for item in before)


def test_of_two_versions_the_later_one_is_the_present_one(tmp_path: Path) -> None:
    old, new = "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+00:00"
    backup = Vault(
        items=(
            login("a-item", "set", modified_at=new),
            login("b-item", "set", modified_at=old),
            login("c-item", "set", modified_at=old),
            login("d-item", "set"),
        )
    )
    present = Vault(
        items=(
            login("a-item", "here", modified_at=old),
            login("b-item", "here", modified_at=new),
            login("c-item", "here"),
            login("d-item", "here"),
        )
    )
    with both((backup, present)) as (store, path):
        done = into(store, path, MERGE)
        assert {item.id: item.title for item in store.items()} == {
            "a-item": "set",
            "b-item": "here",
            "c-item": "set",
            "d-item": "here",
        }
        assert {change.id: change.what for change in done.changes} == {
            "a-item": "brought back",
            "b-item": "kept as a past version",
            "c-item": "brought back",
            "d-item": "kept as a past version",
        }


@pytest.mark.parametrize(("mode", "title"), [(MERGE, "here"), (REPLACE, "set")])
def test_a_folder_that_was_renamed_has_its_old_name_after_a_replace_only(tmp_path: Path, mode: str, title: str) -> None:
    states = tuple(Vault(collections=(Collection(id="folder", title=name),)) for name in ("set", "here"))
    with both((states[0], states[1])) as (store, path):
        run = into(store, path, mode).run
        assert [one.title for one in store.collections()] == [title]
        store.undo(run, NOW)
        assert [one.title for one in store.collections()] == ["here"]


def test_the_past_of_an_item_that_a_restore_removes_comes_back_with_it(tmp_path: Path) -> None:
    with both((Vault(), Vault(items=(login("a-item", "first"),)))) as (store, path):
        store.put(login("a-item", "second"), now=NOW)
        before = worlds.tables(store, "runs", "places")
        run = into(store, path, REPLACE).run
        assert store.count() == 0
        store.undo(run, NOW)
        assert worlds.tables(store, "runs", "places") == before


def test_an_item_edited_after_the_restore_stays_when_that_is_undone(tmp_path: Path) -> None:
    backup = Vault(items=(login("a-item", "set", modified_at=NOW), login("b-item", "set", modified_at=NOW)))
    present = Vault(items=(login("a-item", "here", modified_at=AT), login("b-item", "here", modified_at=AT)))
    with both((backup, present)) as (store, path):
        run = into(store, path, MERGE).run
        store.put(login("a-item", "edited"), now=LATER)
        assert store.undo(run, LATER) == ["a-item"]
        assert {item.id: item.title for item in store.items()} == {"a-item": "edited", "b-item": "here"}
        titles = [canonical.decode_item(body).title for _, body in store.past("a-item")]
        assert titles == ["here", "set"]


def test_one_item_comes_back_with_its_folders_and_nothing_else(tmp_path: Path) -> None:
    with both((worlds.household(), Vault(items=(login("mine-item-1"),)))) as (store, path):
        done = into(store, path, MERGE, wanted="Bank")
        assert [(change.id, change.what) for change in done.changes] == [("bank-item-1", "added")]
        assert [item.id for item in store.items()] == ["mine-item-1", "bank-item-1"]
        assert {one.id for one in store.collections()} == {"bank", "home"}
        assert store.extras() == {}
        store.undo(done.run, NOW)
        assert [item.id for item in store.items()] == ["mine-item-1"]
        assert store.collections() == ()


def test_one_item_comes_back_even_if_the_one_here_is_newer(tmp_path: Path) -> None:
    backup = Vault(items=(login("a-item", "set", modified_at=AT),))
    present = Vault(items=(login("a-item", "here", modified_at=NOW),))
    with both((backup, present)) as (store, path):
        into(store, path, MERGE, wanted="set")
        item = store.item("a-item")
        assert item is not None and item.title == "set"
        assert [canonical.decode_item(body).title for _, body in store.past("a-item")] == ["here"]


def attached(id_: str, data: bytes) -> Item:
    from vault.rows import document_name

    name = document_name(data)
    file = File(id=name, name=id_, decrypted_size=len(data), integrity_hash=name)
    return Item(id=id_, title=id_, credentials=(file,))


def test_one_item_brings_its_own_attachment_only(tmp_path: Path) -> None:
    backup = Vault(items=(attached("one-item", b"one"), attached("two-item", b"two")))
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", backup, documents=[b"one", b"two", b"orphan"])
    with worlds.a_store(tmp_path) as store:
        run = into(store, path, MERGE, wanted="two-item").run
        assert [store.document(name) for name in store.documents()] == [b"two"]
        store.undo(run, NOW)
        assert store.documents() == []


def test_a_merge_brings_attachments_that_something_refers_to(tmp_path: Path) -> None:
    backup = Vault(items=(attached("one-item", b"one"),))
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", backup, documents=[b"one", b"orphan"])
    with worlds.a_store(tmp_path) as store:
        store.put_document(b"orphan of my own")
        into(store, path, MERGE)
        assert {store.document(name) for name in store.documents()} == {b"one", b"orphan of my own"}


@pytest.mark.parametrize(
    ("wanted", "refusal"), [("nothing", NoSuchItem), ("Mai", NoSuchItem), ("Twin", AmbiguousItem), ("", NoSuchItem)]
)
def test_an_item_that_is_not_meant_clearly_changes_nothing(
    tmp_path: Path, wanted: str, refusal: type[KeyferryError]
) -> None:
    backup = Vault(items=(*worlds.household().items, login("twin-one-1", "Twin"), login("twin-two-1", "Twin")))
    with both((backup, Vault())) as (store, path):
        before = worlds.tables(store)
        with pytest.raises(refusal) as caught:
            into(store, path, MERGE, wanted=wanted)
        assert worlds.tables(store) == before
        if refusal is AmbiguousItem:
            assert "twin-one-1" in (caught.value.hint or "") and "twin-two-1" in (caught.value.hint or "")


@pytest.mark.parametrize("wanted", ["mail-item-1", "mail", "Mail"])
def test_an_item_is_named_by_its_id_a_beginning_of_it_or_its_title(wanted: str) -> None:
    assert restoring.find(worlds.household(), wanted).id == "mail-item-1"


def test_a_set_of_another_vault_is_refused(tmp_path: Path) -> None:
    other = worlds.genesis("other kit", "other device")
    path = worlds.written_set(tmp_path, other, "other device", to=[worlds.a_kit("other kit").recipient])
    opener, found = proven(path, worlds.kit_opener("other kit"))
    with worlds.a_store(tmp_path) as store, pytest.raises(ForeignBackup):
        restoring.into_present(store, tmp_path, path, opener, found, MERGE)


# -- a vault file that was put back


def test_a_restore_brings_the_list_of_devices_up_to_date(tmp_path: Path) -> None:
    """Else an older state of the vault would seal to a device that was revoked since, and to a kit that was ended."""
    early = worlds.enrolled(worlds.genesis(), "phone", "laptop")
    late = worlds.renewed(worlds.revoked(early, "phone", "laptop"), "next kit", "laptop", old="kit")
    path = worlds.written_set(tmp_path, late, "laptop", to=[worlds.a_kit("next kit").recipient], counter=9)
    with worlds.a_store(tmp_path, early) as store:
        opener, found = proven(path, worlds.kit_opener("next kit"))
        restoring.into_present(store, tmp_path, path, opener, found, MERGE, clock=lambda: NOW)
        assert keys.own_chain(store) == late
        assert [one.device_id for one in keys.members(store)] == [worlds.a_device("laptop").device_id]
        assert [one.recipient for one in keys.kits(store)] == [
            worlds.a_kit("next kit").recipient,
            worlds.a_kit().recipient,
        ]
        assert store.meta("recovery_due")
        assert books.load(store, tmp_path).counter == 9


def test_a_restore_takes_over_no_list_of_devices_without_this_device(tmp_path: Path) -> None:
    early = worlds.enrolled(worlds.genesis(), "phone", "laptop")
    late = worlds.revoked(early, "laptop", "phone")
    path = worlds.written_set(tmp_path, late, "phone")
    with worlds.a_store(tmp_path, early) as store:
        into(store, path, MERGE)
        assert keys.own_chain(store) == early


def test_a_shorter_list_of_devices_changes_nothing(tmp_path: Path) -> None:
    late = worlds.enrolled(worlds.genesis(), "phone", "laptop")
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", counter=2)
    with worlds.a_store(tmp_path, late) as store:
        into(store, path, MERGE)
        assert keys.own_chain(store) == late


# -- what lies in the way


def test_what_cannot_be_opened_is_moved_aside_and_nothing_else(tmp_path: Path) -> None:
    names = ["vault.db", "vault.db-wal", "vault.json", "vault.recovery.age", "vault.anchor", "vault.lock"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "backups").mkdir()
    aside = restoring.set_aside(tmp_path, NOW)
    assert {path.name for path in aside.iterdir()} == set(names) - {"vault.lock"}
    assert all(path.read_bytes() == path.name.encode() for path in aside.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"vault.lock", "backups", aside.name}
    assert aside.stat().st_mode & 0o777 == 0o700


def test_two_vaults_moved_aside_in_one_second_do_not_meet(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "vault.db").write_bytes(b"x")
        restoring.set_aside(tmp_path, NOW)
    assert len(list(tmp_path.iterdir())) == 2


def test_facts_are_shown_of_what_was_signed(tmp_path: Path) -> None:
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", counter=1234, name="another-name.keyferry")
    shown = dict(restoring.facts(proven(path)[1].manifest))
    assert shown["number"] == "1234 of that device"
    assert shown["made at"] == AT
    assert shown["items"] == "3"
    assert shown["set"] == worlds.set_id(path)
