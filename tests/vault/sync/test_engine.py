"""Two and three vaults become one: each change arrives, the loser of two is kept, and nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.vault.sync.world import KEY, KIT, START_MS, World, a_device
from vault import identity, listmaking, membership, moment, seniority
from vault.canonical import canonical
from vault.errors import ForgedEntry, NotSynced, UsageError
from vault.model import BasicAuth, Collection, CustomFields, Field, File, Item, Past, Url, concealed
from vault.rows import document_name
from vault.runs import Run
from vault.secret import Secret
from vault.store import Store
from vault.sync import belonging, clock, engine, entry, epochs, log, merge, recording
from vault.sync.travel import ENTRY, MEMBER

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def two(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, "laptop", "phone")
    yield world
    world.close()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, "laptop", "phone", "desk")
    yield world
    world.close()


# -- what one device does arrives at the others


def test_an_added_item_arrives(two: World) -> None:
    two["laptop"].add("bank", tags=("money",), urls=(Url(url="https://bank.example"),), favorite=True)
    two.settle()
    assert two["phone"].title("bank") == "bank"
    assert two.agrees()


def test_what_was_there_before_the_first_pairing_arrives(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop")
    for number in range(30):
        world["laptop"].add(f"item {number}")
    world.join("phone", by="laptop")
    world.settle()
    assert world["phone"].store.count() == 30
    assert world.agrees()


def test_edits_of_different_members_of_one_item_both_stay(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["laptop"].edit("bank", title="My bank")
    two["phone"].edit("bank", favorite=True)
    two.settle()
    item = two["laptop"].store.item("bank")
    assert item is not None
    assert (item.title, item.favorite) == ("My bank", True)
    assert two.agrees()


def test_of_two_edits_of_one_member_the_later_one_wins_and_the_other_is_a_past_version_on_both(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["laptop"].edit("bank", title="earlier")
    two["phone"].edit("bank", title="later")
    two.settle()
    for vault in two.vaults.values():
        assert vault.title("bank") == "later"
        assert "earlier" in vault.past_titles("bank")
    assert two.agrees()


def test_a_password_changed_on_both_is_on_both_twice(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["laptop"].edit("bank", credentials=(BasicAuth(password=concealed("earlier password")),))
    two["phone"].edit("bank", credentials=(BasicAuth(password=concealed("later password")),))
    two.settle()
    for vault in two.vaults.values():
        bodies = [vault.store.row("bank") or b"", *(body for _, body in vault.store.past("bank"))]
        assert b"later password" in bodies[0]
        assert any(b"earlier password" in one for one in bodies)


def test_trash_and_its_taking_out_arrive(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["phone"].edit("bank", trashed=True)
    two.settle()
    assert two["laptop"].store.count(state="trashed") == 1
    two["laptop"].edit("bank", trashed=False)
    two.settle()
    assert two["phone"].store.count(state="trashed") == 0
    assert two.agrees()


def test_a_purged_item_is_gone_everywhere_and_stays_gone(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["phone"].store.purge("bank")
    two.settle()
    two.settle()
    assert two["laptop"].store.count() == two["phone"].store.count() == 0


def test_purged_on_both_at_once_is_no_trouble(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    for vault in two.vaults.values():
        vault.store.purge("bank")
    two.settle()
    assert two.agrees()
    assert two["laptop"].store.count() == 0


@pytest.mark.parametrize("deleter", ["laptop", "phone"])
def test_an_item_deleted_here_and_changed_there_stays_whole_and_that_is_told(two: World, deleter: str) -> None:
    other = "phone" if deleter == "laptop" else "laptop"
    two["laptop"].add("bank", tags=("money",), password="1234 5678")
    two.settle()
    two[deleter].store.purge("bank")
    two[other].edit("bank", title="still needed")
    two[deleter].sync()
    told = [*two[other].sync().kept_against_delete, *two[deleter].sync().kept_against_delete]
    assert "bank" in told
    two.settle()
    for vault in two.vaults.values():
        item = vault.store.item("bank")
        assert item is not None
        assert (item.title, item.tags) == ("still needed", ("money",))
        assert b"1234 5678" in canonical(item)
    assert two.agrees()


def test_folders_arrive_change_and_go(two: World) -> None:
    two["laptop"].do(lambda store: store.put_collection(Collection(id="c", title="Bank")))
    two["laptop"].do(lambda store: store.put_collection(Collection(id="d", title="Inner", parent="c")))
    two["laptop"].add("bank", collections=("c",))
    two.settle()
    assert {one.id for one in two["phone"].store.collections()} == {"c", "d"}
    two["phone"].do(lambda store: store.put_collection(Collection(id="c", title="Banks")))
    two["laptop"].do(lambda store: store.remove_collection("d"))
    two.settle()
    assert [one.title for one in two["laptop"].store.collections()] == ["Banks"]
    assert two.agrees()


def test_tags_and_addresses_added_on_both_are_all_there(two: World) -> None:
    two["laptop"].add("bank", tags=("old",))
    two.settle()
    two["laptop"].edit("bank", tags=("old", "from laptop"), urls=(Url(url="https://a.example"),))
    two["phone"].edit("bank", tags=("old", "from phone"), urls=(Url(url="https://b.example"),))
    two.settle()
    item = two["laptop"].store.item("bank")
    assert item is not None
    assert set(item.tags) == {"old", "from laptop", "from phone"}
    assert {one.url for one in item.urls} == {"https://a.example", "https://b.example"}
    assert two.agrees()


def test_custom_fields_and_history_added_on_both_are_all_there(two: World) -> None:
    two["laptop"].add("bank", credentials=(CustomFields(id="s", fields=(Field(id="one", label="One", value="1"),)),))
    two.settle()
    for name in ("laptop", "phone"):
        fields = (Field(id="one", label="One", value="1"), Field(id=name, label=name, value=name))
        past = (Past(value=Secret(f"former {name}"), at="2026-01-01T00:00:00Z"),)
        two[name].edit("bank", credentials=(CustomFields(id="s", fields=fields),), history=past)
    two.settle()
    text = two["phone"].store.row("bank") or b""
    for word in (b'"laptop"', b'"phone"', b"former laptop", b"former phone"):
        assert word in text
    assert two.agrees()


def test_what_formats_say_beside_the_items_arrives(two: World) -> None:
    two["laptop"].do(lambda store: store.set_extras("bitwarden_json", {"future": {"deep": [1, 2.50]}}))
    two.settle()
    assert "bitwarden_json" in two["phone"].store.extras()
    two["phone"].do(lambda store: store.set_extras("bitwarden_json", {}))
    two.settle()
    assert two.agrees()


def test_a_renamed_device_is_renamed_everywhere(two: World) -> None:
    two["phone"].do(lambda store: identity.name_device(store, two["phone"].id, "my new phone"))
    two.settle()
    assert identity.device_names(two["laptop"].store)[two["phone"].id] == "my new phone"
    assert two.agrees()


def test_attachments_arrive_and_go_with_their_item(two: World) -> None:
    data = b"a scan of a passport" * 5000
    name = document_name(data)
    two["laptop"].do(lambda store: store.put_document(data))
    two["laptop"].add("papers", credentials=(File(id="f", name="scan.pdf", integrity_hash=name),))
    two.settle()
    assert two["phone"].store.document(name) == data
    assert two.agrees()
    two["phone"].store.purge("papers")
    two.settle()
    assert two["laptop"].store.documents() == two["phone"].store.documents() == []


def test_the_same_attachment_added_on_both_is_kept_once(two: World) -> None:
    for name in ("laptop", "phone"):
        two[name].do(lambda store: store.put_document(b"the same"))
        two[name].add(name, credentials=(File(id="f", integrity_hash=document_name(b"the same")),))
    two.settle()
    assert two.agrees()


def test_an_import_of_two_thousand_items_arrives_in_a_few_entries(two: World) -> None:
    laptop = two["laptop"]
    laptop.put(
        *(
            Item(id=f"i{n}", title=f"Site {n}", credentials=(BasicAuth(password=concealed(f"pw {n}" * 4)),))
            for n in range(2000)
        )
    )
    done = laptop.sync()
    assert done.sent <= 3
    two.settle()
    assert two["phone"].store.count() == 2000
    assert two.agrees()


def test_an_import_that_is_undone_after_sync_is_undone_everywhere(two: World) -> None:
    laptop = two["laptop"]
    laptop.add("bank", title="before")
    two.settle()
    laptop.store.begin_run(Run(id="r1", format="chrome_csv", source_name="x.csv", digest="0" * 64, at=laptop.now()))
    with laptop.store.recording("r1"):
        laptop.put(Item(id="new", title="imported"), Item(id="bank", title="changed by the import"))
        laptop.store.end_run("r1", {})
    two.settle()
    assert two["phone"].title("bank") == "changed by the import"
    laptop.store.undo("r1", laptop.now())
    two.settle()
    assert (two["phone"].title("bank"), two["phone"].title("new")) == ("before", None)
    assert two.agrees()


def test_three_devices_that_write_in_any_order_agree(three: World) -> None:
    for order in itertools.permutations(("laptop", "phone", "desk")):
        for name in order:
            three[name].add(f"{name} {order}", tags=(name,))
            if three[name].store.item("common") is None:
                three[name].add("common")
            three[name].edit("common", title=f"by {name} {order}", tags=(name,))
            three[name].sync()
    three.settle()
    assert three.agrees()
    assert three["desk"].store.count() == 19


@pytest.mark.parametrize("seed", range(8))
def test_devices_that_do_as_they_like_agree_in_the_end(three: World, seed: int) -> None:
    chance, names, made = random.Random(seed), ("laptop", "phone", "desk"), itertools.count()
    for _ in range(60):
        vault = three[chance.choice(names)]
        ids = [one.id for one in vault.store.items()]
        match chance.choice(("add", "edit", "edit", "purge", "sync", "sync", "restart")):
            case "add":
                vault.add(f"item {next(made)}", tags=(chance.choice("abc"),))
            case "edit" if ids:
                vault.edit(chance.choice(ids), title=f"title {next(made)}", favorite=chance.random() < 0.5)
            case "purge" if ids:
                vault.store.purge(chance.choice(ids))
            case "sync":
                vault.sync()
            case "restart":
                vault.restarted()
    three.settle()
    assert three.agrees()
    assert three["laptop"].sync().entries == three["desk"].sync().sent == 0


def test_a_round_without_a_change_writes_nothing(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    before = sorted(two.root().rglob("*"))
    two.settle()
    assert sorted(two.root().rglob("*")) == before


# -- nothing acknowledged is lost


def test_an_edit_made_between_recording_and_taking_in_survives(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process writes while this one waits for the folder."""
    two["laptop"].add("bank")
    two.settle()
    two["phone"].edit("bank", title="by the phone", favorite=True)
    two["phone"].sync()
    folder = two["laptop"].folder()
    pull = folder.pull

    def meanwhile(cursor: str) -> object:
        page = pull(cursor)
        with Store.open(two.path / "laptop.db", KEY) as other:
            item = other.item("bank")
            assert item is not None
            other.put(msgspec.structs.replace(item, title="by another process"), now=two["laptop"].now())
        return page

    monkeypatch.setattr(folder, "pull", meanwhile)
    from vault.sync import session

    session.sync(two["laptop"].store, folder, two["laptop"].now_ms)
    two.settle()
    for vault in two.vaults.values():
        assert "by another process" in {vault.title("bank") or "", *vault.past_titles("bank")}
        assert vault.store.item("bank").favorite  # type: ignore[union-attr]
    assert two.agrees()


def test_entries_in_any_order_and_twice_come_to_the_same(three: World) -> None:
    for number in range(4):
        for name in ("laptop", "phone"):
            three[name].edit("common", title=f"{name} {number}") if three[name].title("common") else three[name].add(
                "common"
            )
            three[name].sync()
    messages = list(three["laptop"].folder().__class__(three.place(), three["laptop"].store.vault_id).pull("").messages)
    for seed in range(10):
        shuffled = [*messages, *messages]
        random.Random(seed).shuffle(shuffled)
        for at in range(0, len(shuffled), 3):
            engine.receive(three["desk"].store, shuffled[at : at + 3], three.ms)
    three.settle()
    assert three.agrees()


def test_a_change_that_this_version_cannot_read_is_told_and_stops_nothing(two: World) -> None:
    two["laptop"].add("bank")
    two["laptop"].add("other")
    two.settle()
    phone = two["phone"]
    op = merge.Op("item", "bank", clock.tick(0, two.ms), {"title": {"not": "a text"}})
    found = membership.read_chain(phone.chain())
    with phone.store.transaction():
        recording._append(phone.store, found, [(op, phone.store.row("bank"))], two.ms)
    phone.edit("other", title="arrives all the same")
    phone.sync()
    done = two["laptop"].sync()
    assert [one.kind for one in done.findings] == ["newer"]
    assert (two["laptop"].title("bank"), two["laptop"].title("other")) == ("bank", "arrives all the same")
    assert two["laptop"].sync().sent == 0


# -- clocks


def test_changes_from_more_than_a_day_ahead_wait_are_told_and_come_in_later(two: World) -> None:
    two["laptop"].add("bank")
    two.settle()
    two["phone"].skew_ms = DAY_MS + 60_000
    two["phone"].edit("bank", title="from tomorrow")
    two["phone"].sync()
    done = two["laptop"].sync()
    assert [one.kind for one in done.findings] == ["parked"]
    assert "phone" in done.findings[0].text
    assert done.waiting == 1
    assert two["laptop"].title("bank") == "bank"
    two.ms += 120_000
    done = two["laptop"].sync()
    assert (done.findings, done.waiting) == ([], 0)
    assert two["laptop"].title("bank") == "from tomorrow"
    two.settle()
    assert two.agrees()


def test_a_device_from_the_year_9999_stops_nobody_else(three: World) -> None:
    three["phone"].skew_ms = moment.to_millis("9999-12-31T23:59:59Z") - START_MS
    three["phone"].add("far away")
    three["phone"].sync()
    three["desk"].add("here")
    three.settle("desk", "laptop")
    assert three["laptop"].title("here") == "here"
    assert three["laptop"].title("far away") is None
    assert three["phone"].title("far away") == "far away"
    assert [one.kind for one in three["laptop"].sync().findings] == ["parked"]


def test_a_clock_that_goes_back_never_makes_an_earlier_time(two: World) -> None:
    laptop = two["laptop"]
    times = []
    for skew in (0, -3600_000, -DAY_MS * 400, 1000, -5):
        laptop.skew_ms = skew
        laptop.add(f"at {skew}")
        laptop.sync()
        times.append(log.setting(laptop.store).hlc)
    assert times == sorted(set(times))
    two.settle()
    assert two.agrees()


def test_an_edit_that_saw_the_other_wins_whatever_its_clock_says(two: World) -> None:
    two["phone"].add("bank")
    two.settle()
    two["phone"].edit("bank", title="first")
    two.settle()
    two["laptop"].skew_ms = -3600_000
    two["laptop"].edit("bank", title="second")
    two.settle()
    assert two["phone"].title("bank") == two["laptop"].title("bank") == "second"


# -- who belongs


def revoke(world: World, by: str, name: str) -> None:
    world.ms += 1
    belonging.revoke(world[by].store, world[name].id, world[by].now())


def test_a_revoked_device_goes_on_alone_and_is_told_so(three: World) -> None:
    three.settle()
    revoke(three, "laptop", "phone")
    three["laptop"].sync()
    three["phone"].add("mine")
    with pytest.raises(NotSynced, match="was revoked"):
        three["phone"].sync()
    assert three["phone"].title("mine") == "mine"
    three.settle("laptop", "desk")
    assert three["desk"].members() == {"laptop", "desk"}


def test_a_revoked_device_cannot_read_what_is_written_after(three: World) -> None:
    """With all it ever had, against all that lies in the folder."""
    three.settle()
    revoke(three, "laptop", "phone")
    three["laptop"].sync()
    three["laptop"].add("new secret")
    three["laptop"].sync()
    with pytest.raises(NotSynced):
        three["phone"].sync()
    phone = three["phone"].store
    keys = log.epoch_keys(phone)
    newest = three["laptop"].folder().__class__(three.place(), phone.vault_id).pull("").messages[-1]
    bodies = [data for kind, data in three["laptop"].folder().__class__(three.place(), phone.vault_id).pull("").messages
              if kind == ENTRY and entry.read_header(data).epoch not in keys]  # fmt: skip
    assert newest and bodies
    for data in bodies:
        for key in keys.values():
            with pytest.raises(ForgedEntry, match="another key"):
                entry.open_entry(data, entry.read_header(data), key)
    assert phone.item("new secret") is None
    assert membership.read_chain(three["phone"].chain()).epochs[-1].wraps.keys() == {
        three["laptop"].id,
        three["desk"].id,
        epochs.kit_id(KIT.recipient),
    }


def test_what_a_revoked_device_wrote_later_does_not_count_even_if_back_dated(three: World) -> None:
    three["laptop"].add("bank")
    three.settle()
    revoke(three, "laptop", "phone")
    three["phone"].skew_ms = -DAY_MS * 30
    three["phone"].edit("bank", title="back-dated")
    recording.record(three["phone"].store, three["phone"].now_ms())
    forged = [(ENTRY, one.body) for one in log.after(three["phone"].store.database, three["phone"].id, 0)]
    three["laptop"].sync()
    three["desk"].sync()
    for name in ("laptop", "desk"):
        done = engine.receive(three[name].store, forged, three.ms)
        assert "revoked" in [one.kind for one in done.findings]
        assert three[name].title("bank") == "bank"


def test_what_was_taken_in_beyond_the_last_entry_that_counts_is_undone(three: World) -> None:
    three["laptop"].add("bank", title="before")
    three.settle()
    three["phone"].edit("bank", title="after the theft")
    three["phone"].add("planted")
    three["phone"].sync()
    three["desk"].sync()
    three["desk"].edit("bank", favorite=True)
    three["desk"].add("of the desk")
    three["desk"].sync()
    assert three["desk"].title("bank") == "after the theft"
    revoke(three, "laptop", "phone")  # which has not seen any of that
    three["laptop"].sync()
    three.settle("laptop", "desk")
    for name in ("laptop", "desk"):
        item = three[name].store.item("bank")
        assert item is not None
        assert (item.title, item.favorite) == ("before", True)
        assert three[name].title("planted") is None
        assert three[name].title("of the desk") == "of the desk"
    assert three.agrees("laptop", "desk")


@pytest.mark.parametrize("order", list(itertools.permutations(("laptop", "phone", "desk"))))
def test_two_devices_that_revoke_each_other_are_told_apart_the_same_everywhere(
    three: World, order: tuple[str, ...]
) -> None:
    three.settle()
    revoke(three, "laptop", "phone")
    revoke(three, "phone", "laptop")
    for name in (*order, *order, *order):
        try:
            three[name].sync()
        except NotSynced:
            assert name == "phone"
    assert three["laptop"].members() == three["desk"].members() == {"laptop", "desk"}  # the senior one's word counts
    three["laptop"].add("goes on")
    three["desk"].add("goes on too")
    three.settle("laptop", "desk")
    assert three.agrees("laptop", "desk")
    assert three["desk"].store.count() == 2


def test_the_kits_root_overrides_a_member(three: World) -> None:
    """The junior device revokes the senior one; the root revokes the junior one from the same point."""
    three.settle()
    chain = three["laptop"].chain()
    revoke(three, "phone", "laptop")
    by_root = listmaking.revoke(chain, three["phone"].id, by=KIT.root, now=three["desk"].now(), last=(0, bytes(32)))
    three["phone"].sync()
    engine.receive(three["laptop"].store, [(MEMBER, by_root)], three.ms)
    for _ in range(3):
        three["laptop"].sync()
        three["desk"].sync()
    assert three["laptop"].members() == three["desk"].members() == {"laptop", "desk"}


def test_two_devices_that_let_others_in_at_once_lose_no_change(three: World) -> None:
    """The list of devices parts; one list stands above, and what was written under the other one still counts."""
    three.settle()
    three["laptop"].folder("stick")
    three.join("tablet", by="phone", through="stick")
    three["phone"].add("under the phone's list")
    three["phone"].sync("stick")
    three.join("watch", by="laptop")
    three["laptop"].add("under the laptop's list")
    three["laptop"].sync()
    for _ in range(3):
        three["phone"].sync()
        three["laptop"].sync()
        three["desk"].sync()
    assert three["laptop"].members() == three["phone"].members() == three["desk"].members()
    assert three.agrees("laptop", "phone", "desk")
    assert three["desk"].title("under the phone's list") == "under the phone's list"


def test_two_devices_that_revoke_different_ones_at_once_lose_no_change(tmp_path: Path) -> None:
    """Each begins an epoch of its own; what the junior one wrote under its own is read all the same."""
    world = World(tmp_path, "laptop", "phone", "desk", "thief", "other")
    world.settle()
    revoke(world, "laptop", "thief")
    revoke(world, "phone", "other")
    world["laptop"].add("by the laptop")
    world["phone"].add("by the phone")
    recording.record(world["phone"].store, world.ms)
    recording.record(world["laptop"].store, world.ms)
    for _ in range(3):
        for name in ("phone", "laptop", "desk"):
            world[name].sync()
    world["phone"].add("later by the phone")
    for _ in range(2):
        for name in ("phone", "laptop", "desk"):
            world[name].sync()
    assert world.agrees("laptop", "phone", "desk")
    assert world["desk"].store.count() == 3
    assert "thief" not in world["desk"].members()


@pytest.mark.parametrize(
    ("seed", "apart"), [*((seed, False) for seed in range(4)), *((seed, True) for seed in range(8))]
)
def test_devices_that_come_and_go_as_they_like_agree_in_the_end(tmp_path: Path, seed: int, apart: bool) -> None:
    """They are let in and revoked in one folder, or apart from each other through two."""
    world, chance, made = World(tmp_path, "laptop", "phone", "desk", "tablet"), random.Random(seed), itertools.count()
    places, revocations = ("shared", "stick") if apart else ("shared",), 0
    world.settle()
    for _ in range(40):
        name = chance.choice(tuple(world.vaults))
        vault = world[name]
        ids = [one.id for one in vault.store.items()]
        try:
            match chance.choice(("add", "edit", "edit", "purge", "sync", "sync", "revoke", "join", "restart")):
                case "add":
                    vault.add(f"item {next(made)}")
                case "edit" if ids:
                    vault.edit(chance.choice(ids), title=f"title {next(made)}", favorite=chance.random() < 0.5)
                case "purge" if ids:
                    vault.store.purge(chance.choice(ids))
                case "sync":
                    vault.sync(chance.choice(places))
                case "revoke" if revocations < 2:
                    place = chance.choice(places)
                    vault.sync(place)
                    revoke(world, name, chance.choice([one for one in world.vaults if one != name]))
                    vault.sync(place)
                    revocations += 1
                case "join" if len(world.vaults) < 6:
                    world.join(f"device {len(world.vaults)}", by=name, through=chance.choice(places))
                case "restart":
                    vault.restarted()
        except (NotSynced, UsageError):
            continue  # it was revoked, or it tried what cannot be
    for _ in range(4):
        for vault, place in itertools.product(world.vaults.values(), places):
            with contextlib.suppress(NotSynced):
                vault.sync(place)
    newest = world["laptop"].chain()
    for vault in world.vaults.values():
        newest = vault.chain() if seniority.outranks(vault.chain(), newest) else newest
    members = {one.device_id for one in membership.read_chain(newest).members}
    left = [name for name, vault in world.vaults.items() if vault.id in members]
    assert all(world[name].chain() == newest for name in left)
    assert world.agrees(*left)
    world.close()


def test_the_last_device_is_not_revoked(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop")
    with pytest.raises(UsageError, match="only device"):
        revoke(world, "laptop", "laptop")


def test_a_long_list_of_devices_is_taken_in_quickly(two: World) -> None:
    """Each membership entry is looked at about once, not in every combination with the others."""
    reads = 0
    read = membership.read_chain

    def counted(chain: tuple[bytes, ...]) -> membership.Membership:
        nonlocal reads
        reads += 1
        return read(chain)

    for number in range(6):
        two.join(f"device {number}", by="laptop")
    new = [(MEMBER, one) for one in two["laptop"].chain()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(membership, "read_chain", counted)
        engine.receive(two["phone"].store, new, two.ms)
    assert two["phone"].chain() == two["laptop"].chain()
    assert reads < 6 * len(new)


def test_a_membership_that_nobody_signed_changes_nothing(two: World) -> None:
    before = two["laptop"].chain()
    stranger = a_device("a stranger")
    foreign = (listmaking.genesis(KIT.root, stranger, name="", now=two["laptop"].now()),)
    done = engine.receive(two["laptop"].store, [(MEMBER, foreign[0]), (MEMBER, b"junk"), (ENTRY, b"junk")], two.ms)
    assert two["laptop"].chain() == before
    assert {one.kind for one in done.findings} == {"forged"}


def test_what_the_log_keeps_tells_nothing_of_its_content_in_clear(two: World) -> None:
    two["laptop"].add("bank", title="CANARY-TITLE", password="CANARY-PASSWORD", tags=("CANARY-TAG",))
    two.settle()
    kept = [one.body for one in log.applied(two["phone"].store)]
    assert kept
    assert not any(b"CANARY" in one for one in kept)
    assert "CANARY" not in json.dumps(msgspec.to_builtins(log.setting(two["phone"].store)))
