"""One round of sync, whatever the place in between does or shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.vault.sync.world import World, a_device
from vault import listmaking, membership
from vault.errors import ForgedEntry, NotSynced, RelayMisbehaves, RelayUnreachable
from vault.model import File
from vault.rows import document_name
from vault.sync import belonging, entry, log, session
from vault.sync.entry import Head
from vault.sync.travel import ENTRY, MEMBER, Heads, Message, Page


class Relay:
    """A relay in memory that believes everything."""

    name = "relay https://relay.example"

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.blobs: dict[str, bytes] = {}
        self.is_made = False
        self.page = 500
        self.down_at: list[str] = []  # what fails, in turn
        self.calls: list[str] = []

    def _step(self, what: str) -> None:
        self.calls.append(what)
        if what in self.down_at:
            self.down_at.remove(what)
            raise RelayUnreachable("the relay cannot be reached: no connection")

    def create(self, chain: Sequence[bytes]) -> None:
        self._step("create")
        self.is_made = True
        self._add([(MEMBER, one) for one in chain])

    def exists(self) -> bool:
        self._step("exists")
        return self.is_made

    def heads(self) -> Heads:
        self._step("heads")
        members = [data for kind, data in self.messages if kind == MEMBER]
        devices: dict[str, Head] = {}
        for kind, data in self.messages:
            if kind == ENTRY:
                header = entry.read_header(data)
                devices[header.device] = Head(header.seq, header.hash)
        return Heads(len(members), entry.hash_of(members[-1]) if members else b"", devices)

    def pull(self, cursor: str) -> Page:
        self._step("pull")
        start = int(cursor or 0)
        end = min(start + self.page, len(self.messages))
        return Page(tuple(self.messages[start:end]), str(end), more=end < len(self.messages))

    def push(self, messages: Sequence[Message]) -> None:
        self._step("push")
        self._add(messages)

    def _add(self, messages: Sequence[Message]) -> None:
        self.messages += [one for one in messages if one not in self.messages]

    def put_blob(self, name: str, data: bytes) -> None:
        self._step("put_blob")
        self.blobs[name] = data

    def get_blob(self, name: str) -> bytes | None:
        self._step("get_blob")
        return self.blobs.get(name)

    def wait(self, cursor: str, seconds: float) -> bool:
        return int(cursor or 0) < len(self.messages)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone")
    found["laptop"].add("bank")
    found.settle()
    yield found
    found.close()


@pytest.fixture
def relay() -> Relay:
    return Relay()


def sync(world: World, name: str, relay: Relay, *, upload_again: bool = False) -> session.Round:
    world.ms += 1
    return session.sync(world[name].store, relay, world[name].now_ms, upload_again=upload_again)


def settle(world: World, relay: Relay) -> None:
    for name in ("laptop", "phone", "laptop", "phone"):
        sync(world, name, relay)


def test_a_vault_without_a_log_is_not_synced(tmp_path: Path, relay: Relay) -> None:
    world = World(tmp_path, "laptop")
    with pytest.raises(NotSynced, match="not synced"):
        sync(world, "laptop", relay)
    assert relay.calls == []


def test_a_new_relay_gets_all_devices_logs_from_whoever_comes_first(world: World, relay: Relay) -> None:
    sync(world, "laptop", relay)
    assert set(relay.heads().devices) == {world["laptop"].id, world["phone"].id}
    before = list(relay.messages)
    settle(world, relay)
    assert relay.messages == before


def test_devices_agree_through_a_relay_that_gives_one_message_at_a_time(world: World, relay: Relay) -> None:
    relay.page = 1
    settle(world, relay)
    world["phone"].edit("bank", title="changed")
    world["laptop"].add("new")
    settle(world, relay)
    assert world.agrees()
    assert world["phone"].title("new") == "new"


@pytest.mark.parametrize("what", ["exists", "create", "heads", "pull", "push", "put_blob", "get_blob"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_connection_that_breaks_at_any_call_loses_nothing(world: World, relay: Relay, what: str, times: int) -> None:
    if what != "create":
        settle(world, relay)
    data = b"attached" * 50
    world["phone"].do(lambda store: store.put_document(data))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(data)),))
    world["laptop"].edit("bank", title="changed")
    relay.down_at = [what] * times
    broken = 0
    for name in ("phone", "laptop") * (times + 2):
        try:
            sync(world, name, relay)
        except RelayUnreachable:
            broken += 1
    assert relay.down_at == []
    assert broken or what == "get_blob"
    settle(world, relay)
    assert world.agrees()
    assert world["phone"].title("bank") == "changed"
    assert world["laptop"].store.document(document_name(data)) == data


def test_what_was_pushed_and_not_answered_is_not_there_twice(world: World, relay: Relay) -> None:
    settle(world, relay)
    world["laptop"].add("new")

    class Mute(Relay):
        def push(self, messages: Sequence[Message]) -> None:
            super().push(messages)
            raise RelayUnreachable("no answer in time")

    mute = Mute()
    mute.messages, mute.is_made = relay.messages, True
    with pytest.raises(RelayUnreachable):
        sync(world, "laptop", mute)
    relay.messages = mute.messages
    settle(world, relay)
    entries = [data for kind, data in relay.messages if kind == ENTRY]
    assert len(entries) == len(set(entries))
    assert world.agrees()


def test_a_relay_put_back_to_an_older_state_is_told_before_anything_is_believed(world: World, relay: Relay) -> None:
    settle(world, relay)
    old = list(relay.messages)
    world["phone"].edit("bank", title="changed")
    settle(world, relay)
    before = world["laptop"].content()
    relay.messages = old
    relay.calls.clear()
    with pytest.raises(RelayMisbehaves, match="less than before"):
        sync(world, "laptop", relay)
    assert "pull" not in relay.calls
    assert "push" not in relay.calls
    assert world["laptop"].content() == before
    sync(world, "laptop", relay, upload_again=True)
    settle_again = sync(world, "phone", relay)
    assert settle_again.findings == []
    assert world.agrees()


def test_a_relay_that_lost_the_vault_is_told_and_can_have_it_again(world: World, relay: Relay) -> None:
    settle(world, relay)
    empty = Relay()
    for name in ("laptop", "phone"):
        with pytest.raises(RelayMisbehaves, match="no longer has this vault"):
            sync(world, name, empty)
    sync(world, "laptop", empty, upload_again=True)
    assert len(empty.messages) == len(relay.messages)


def test_a_relay_that_promises_more_and_gives_nothing_does_not_hold_a_device_for_ever(
    world: World, relay: Relay
) -> None:
    settle(world, relay)

    def pull(cursor: str) -> Page:
        return Page((), cursor, more=True)

    relay.pull = pull  # type: ignore[method-assign]
    with pytest.raises(RelayMisbehaves, match="there is more"):
        sync(world, "laptop", relay)


def test_a_relay_that_turns_in_a_circle_does_not_hold_a_device_for_ever(world: World, relay: Relay) -> None:
    settle(world, relay)
    turns = {"1": "2", "2": "1"}

    def pull(cursor: str) -> Page:
        return Page(tuple(relay.messages), turns.get(cursor, "1"), more=True)

    relay.pull = pull  # type: ignore[method-assign]
    with pytest.raises(RelayMisbehaves, match="there is more"):
        sync(world, "laptop", relay)


@pytest.mark.parametrize("is_hidden", [True, False])
def test_a_list_of_devices_that_a_relay_keeps_back_is_told(world: World, relay: Relay, is_hidden: bool) -> None:
    """Be it that its heads say so, or only the entries that stand on it."""
    settle(world, relay)
    before, shown = relay.heads(), {data for kind, data in relay.messages if kind == MEMBER}
    phone, now = world["phone"], world["phone"].now()
    added = listmaking.enrol(phone.chain(), a_device("third"), name="", by=a_device("phone").signer, now=now)
    member = membership.read_chain((*phone.chain(), added)).members[-1]
    belonging.enrol(phone.store, member, added, now)
    phone.add("under the new list")
    sync(world, "phone", relay)
    pull, heads = relay.pull, relay.heads

    def without(cursor: str) -> Page:
        page = pull(cursor)
        kept = tuple(one for one in page.messages if one[0] == ENTRY or one[1] in shown)
        return Page(kept, page.cursor, page.more)

    relay.pull = without  # type: ignore[method-assign]
    if is_hidden:
        shown_heads = before.membership
        relay.heads = lambda: msgspec.structs.replace(heads(), membership=shown_heads)  # type: ignore[method-assign]
    for _ in range(2):
        told = [one.sentence for one in sync(world, "laptop", relay).findings]
        assert any("entries of phone stand on a list of devices that the relay" in one for one in told)
        assert any("changes of this vault's devices and does not give them" in one for one in told) != is_hidden
        assert all("sync through a folder or another relay" in one for one in told)
    relay.pull, relay.heads = pull, heads  # type: ignore[method-assign]
    sync(world, "laptop", relay)
    assert sync(world, "laptop", relay).findings == []
    assert world["laptop"].title("under the new list") == "under the new list"


def test_an_own_entry_is_never_written_under_a_list_that_lost(world: World, relay: Relay) -> None:
    """What was changed is recorded only once the list of devices of the others is known."""
    settle(world, relay)
    laptop, phone = world["laptop"], world["phone"]
    third = a_device("third")
    for vault, by in ((laptop, "laptop"), (phone, "phone")):
        added = listmaking.enrol(vault.chain(), third if by == "phone" else a_device("fourth"), name="",
                                 by=a_device(by).signer, now=vault.now())  # fmt: skip
        member = membership.read_chain((*vault.chain(), added)).members[-1]
        belonging.enrol(vault.store, member, added, vault.now())
    phone.add("by the phone")
    sync(world, "laptop", relay)
    sync(world, "phone", relay)
    assert phone.chain() == laptop.chain()
    (last,) = list(log.after(phone.store.database, phone.id, 0))[-1:]
    assert entry.read_header(last.body).membership == membership.head_of(laptop.chain())
    sync(world, "laptop", relay)
    assert laptop.title("by the phone") == "by the phone"


# -- attachments


def test_a_sealed_attachment_opens_only_as_what_it_is() -> None:
    key, other = bytes(32), bytes([1]) * 32
    name, sealed = session.blob_of(key, "doc", b"data")
    assert session.blob_of(key, "doc", b"data") == (name, sealed)
    assert b"data" not in sealed
    assert session.open_blob(key, "doc", sealed) == b"data"
    for wrong in ((other, "doc", sealed), (key, "another", sealed), (key, "doc", sealed[:-1] + b"x")):
        with pytest.raises(ForgedEntry):
            session.open_blob(*wrong)


def test_an_altered_attachment_is_told_and_taken_when_it_is_right(world: World, relay: Relay) -> None:
    settle(world, relay)
    data = b"scan" * 99
    world["phone"].do(lambda store: store.put_document(data))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(data)),))
    sync(world, "phone", relay)
    ((name, sealed),) = relay.blobs.items()
    relay.blobs[name] = sealed[:-1] + bytes([sealed[-1] ^ 1])
    done = sync(world, "laptop", relay)
    assert [one.kind for one in done.findings] == ["forged"]
    assert world["laptop"].store.document(document_name(data)) is None
    relay.blobs[name] = sealed
    assert sync(world, "laptop", relay).findings == []
    assert world["laptop"].store.document(document_name(data)) == data


def test_an_attachment_that_is_too_large_stays_and_holds_nothing_up(
    world: World, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MOST_ATTACHMENT", 100)
    world["phone"].do(lambda store: store.put_document(b"x" * 101))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(b"x" * 101)),))
    done = sync(world, "phone", relay)
    assert [one.kind for one in done.findings] == ["large"]
    assert relay.blobs == {}
    sync(world, "laptop", relay)
    assert world["laptop"].title("papers") == "papers"


def test_what_is_remembered_of_a_place_survives_a_restart(world: World, relay: Relay) -> None:
    settle(world, relay)
    world["laptop"].restarted()
    place = log.place(world["laptop"].store, relay.name)
    assert place.acknowledged[world["phone"].id][0] >= 1
    assert msgspec.structs.asdict(place)["cursor"] == str(len(relay.messages))
