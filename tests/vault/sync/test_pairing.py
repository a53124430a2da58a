"""Pairing: the code says whose vault it is, six digits keep out who stands in between, and a failure leaves nothing."""

from __future__ import annotations

import base64
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World, a_device
from vault import crypto, identity, listmaking, membership
from vault.device import Device
from vault.errors import PairingFailed
from vault.sync import belonging, log, pairing
from vault.sync.pairing import Invitation, Inviter, Joined, Newcomer

SECONDS = 20


class Wire:
    """A slot in memory; ``change`` is what somebody does to each message on its way."""

    def __init__(self, change: Callable[[int, bytes], bytes | None] = lambda _, data: data) -> None:
        self._messages: dict[int, queue.Queue[bytes]] = {number: queue.Queue() for number in range(1, 9)}
        self._change = change
        self.burnt = threading.Event()
        self.seen: dict[int, bytes] = {}

    def put(self, number: int, data: bytes) -> None:
        self.seen[number] = data
        changed = self._change(number, data)
        if changed is not None:
            self._messages[number].put(changed)

    def get(self, number: int) -> bytes:
        for _ in range(SECONDS * 100):
            try:
                return self._messages[number].get(timeout=0.01)
            except queue.Empty:
                if self.burnt.is_set():
                    raise PairingFailed("the other device gave up") from None
        raise PairingFailed("the other device did not answer in time")

    def burn(self) -> None:
        self.burnt.set()


class Guest(threading.Thread):
    """The new device, on its own thread."""

    def __init__(self, invitation: Invitation, channel: Wire, device: Device, name: str = "new phone") -> None:
        super().__init__(daemon=True)
        self._newcomer = Newcomer(invitation, channel, device, name)
        self.digits: queue.Queue[str] = queue.Queue()
        self.joined: Joined | None = None
        self.error: PairingFailed | None = None
        self.start()

    def run(self) -> None:
        try:
            self.digits.put(self._newcomer.approach())
            self.joined = self._newcomer.complete()
        except PairingFailed as error:
            self.error = error
            self.digits.put("")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop")
    found["laptop"].add("bank")
    yield found
    found.close()


@pytest.fixture
def code(world: World) -> Invitation:
    return pairing.invite(world["laptop"].store, now=world["laptop"].now())


def other(digits: str) -> str:
    """Six digits that differ in one."""
    return f"{(int(digits) + 1) % 10**6:06d}"


def nothing_kept(world: World, before: tuple[bytes, ...]) -> bool:
    laptop = world["laptop"]
    return laptop.chain() == before and list(identity.device_names(laptop.store)) == [laptop.id]


# -- the code


def test_a_code_says_what_it_was_made_of(world: World) -> None:
    store = world["laptop"].store
    made = pairing.invite(
        store, relay="https://relay.example:8443", pin="ab" * 32, slot="cd" * 16, now="2026-11-23T09:00:00Z"
    )
    assert pairing.read_code(made.text) == made
    assert (made.vault, made.relay, made.pin, made.slot) == (
        store.vault_id,
        "https://relay.example:8443",
        "ab" * 32,
        "cd" * 16,
    )


def test_spaces_and_line_breaks_in_a_code_do_not_matter(code: Invitation) -> None:
    text = code.text
    assert pairing.read_code(f"  {text[:20]}\n{text[20:40]} \t{text[40:]}\r\n") == code


def test_each_mistyped_letter_of_a_code_is_noticed(code: Invitation) -> None:
    text = code.text
    for at in range(len(pairing.PREFIX), len(text) - 1):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(PairingFailed, match="letter of it is wrong"):
            pairing.read_code(wrong)


@pytest.mark.parametrize("text", ["", "KF1-", "KF1-AAAA", "KF2-abc", "KF1-\N{BULLET}", "KF1-" + "A" * 9999, "x" * 400])
def test_what_is_no_code_is_told(text: str) -> None:
    with pytest.raises(PairingFailed):
        pairing.read_code(text)


def test_a_code_of_another_form_is_refused(code: Invitation) -> None:
    import hashlib

    packed = crypto.packed(pairing.MAGIC, b"folder", b"", b"short", bytes(16), bytes(32), bytes(32), bytes(16))
    text = base64.urlsafe_b64encode(packed + hashlib.sha256(packed).digest()[:4]).rstrip(b"=").decode()
    with pytest.raises(PairingFailed):
        pairing.read_code(pairing.PREFIX + text)


def test_the_secret_of_a_code_is_not_shown_by_accident(code: Invitation) -> None:
    assert code.secret.hex() not in repr(code)
    assert repr(code.secret) not in repr(code)


# -- two devices


def test_a_device_with_the_right_digits_joins(world: World, code: Invitation) -> None:
    wire, own = Wire(), a_device("new")
    guest = Guest(code, wire, own)
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    assert inviter.name == "new phone"
    member = inviter.admit(guest.digits.get(), world["laptop"].now())
    guest.join(SECONDS)
    assert guest.joined is not None
    assert guest.joined.chain == world["laptop"].chain()
    assert member.device_id == own.device_id
    assert membership.read_chain(guest.joined.chain).member(own.device_id) is not None
    assert guest.joined.names[own.device_id] == "new phone"
    heads = {one: (head.seq, head.hash.hex()) for one, head in log.heads(world["laptop"].store.database).items()}
    assert guest.joined.heads == heads


def test_a_device_whose_name_is_taken_gets_a_number(world: World, code: Invitation) -> None:
    """So that a person can say which one is to be revoked."""
    store = world["laptop"].store
    with store.transaction():
        identity.name_device(store, world["laptop"].id, "new phone")
    wire, own = Wire(), a_device("new")
    guest = Guest(code, wire, own)
    inviter = Inviter(store, code, wire)
    inviter.meet()
    inviter.admit(guest.digits.get(), world["laptop"].now())
    guest.join(SECONDS)
    assert inviter.name == "new phone 2"
    assert guest.joined is not None and guest.joined.names[own.device_id] == "new phone 2"


def test_it_gets_the_keys_of_all_epochs_and_only_by_its_own_keys(world: World, code: Invitation) -> None:
    wire, own = Wire(), a_device("new")
    guest = Guest(code, wire, own)
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    inviter.admit(guest.digits.get(), world["laptop"].now())
    for epoch in membership.read_chain(world["laptop"].chain()).epochs:
        key = belonging.brought(epoch, own, world["laptop"].store.vault_id)
        assert key == log.epoch_keys(world["laptop"].store)[epoch.number]
        assert belonging.brought(epoch, a_device("somebody else"), world["laptop"].store.vault_id) is None


def test_digits_may_be_typed_with_spaces(world: World, code: Invitation) -> None:
    wire = Wire()
    guest = Guest(code, wire, a_device("new"))
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    digits = guest.digits.get()
    assert inviter.admit(f" {digits[:3]} {digits[3:]}\n", world["laptop"].now())


@pytest.mark.parametrize("typed", [other, lambda _: "", lambda digits: digits[:5], lambda digits: digits + "0"])
def test_one_miss_burns_the_slot_and_nothing_is_kept(
    world: World, code: Invitation, typed: Callable[[str], str]
) -> None:
    before, wire = world["laptop"].chain(), Wire()
    guest = Guest(code, wire, a_device("new"))
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    digits = guest.digits.get()
    with pytest.raises(PairingFailed, match="digits are not those"):
        inviter.admit(typed(digits), world["laptop"].now())
    guest.join(SECONDS)
    assert wire.burnt.is_set()
    assert guest.joined is None
    assert guest.error is not None
    assert nothing_kept(world, before)
    assert max(wire.seen) == 4  # no name of the vault, no list of devices went out


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
def test_an_altered_message_is_noticed_and_the_new_device_keeps_nothing(
    world: World, code: Invitation, number: int
) -> None:
    before = world["laptop"].chain()
    wire = Wire(lambda at, data: data[:-3] + bytes([data[-3] ^ 4]) + data[-2:] if at == number else data)
    guest = Guest(code, wire, a_device("new"))
    inviter = Inviter(world["laptop"].store, code, wire)

    def all_of_it() -> None:
        inviter.meet()
        inviter.admit(guest.digits.get(timeout=SECONDS), world["laptop"].now())

    if number == 7:  # the last word: the inviter cannot know
        all_of_it()
    else:
        with pytest.raises(PairingFailed):
            all_of_it()
        assert nothing_kept(world, before)
    guest.join(SECONDS)
    assert guest.joined is None


def test_a_new_device_that_signs_something_else_is_not_enrolled_and_burns_the_slot(
    world: World, code: Invitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listmaking, "countersign", lambda body, device: device.ed25519.sign(b"something else"))
    before, wire = world["laptop"].chain(), Wire()
    guest, inviter = Guest(code, wire, a_device("phone")), Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    with pytest.raises(PairingFailed, match="could not be enrolled"):
        inviter.admit(guest.digits.get(timeout=SECONDS), world["laptop"].now())
    guest.join(SECONDS)
    assert wire.burnt.is_set()
    assert guest.joined is None
    assert world["laptop"].chain() == before


def test_a_message_in_the_place_of_another_is_refused(world: World, code: Invitation) -> None:
    before, first = world["laptop"].chain(), []

    def repeated(number: int, data: bytes) -> bytes:
        first.append(data)
        return first[0] if number == 3 else data

    wire = Wire(repeated)
    guest = Guest(code, wire, a_device("new"))
    with pytest.raises(PairingFailed, match="altered"):
        Inviter(world["laptop"].store, code, wire).meet()
    guest.join(SECONDS)
    assert guest.joined is None
    assert nothing_kept(world, before)


def test_who_has_no_code_cannot_take_part(world: World, code: Invitation) -> None:
    """The slot is known, its secret is not."""
    before, wire = world["laptop"].chain(), Wire()
    wrong = pairing.invite(world["laptop"].store, slot=code.slot, now=world["laptop"].now())
    guest = Guest(wrong, wire, a_device("new"))
    with pytest.raises(PairingFailed, match="altered, or it used another code"):
        Inviter(world["laptop"].store, code, wire).meet()
    guest.join(SECONDS)
    assert nothing_kept(world, before)


class Middle:
    """Somebody with the code, who plays the new device towards the inviter and an inviter towards the new device."""

    def __init__(self, world: World, code: Invitation) -> None:
        self.world, self.code = world, code
        self.to_inviter, self.to_guest = Wire(), Wire()


def test_somebody_in_between_who_has_the_code_makes_the_digits_differ(world: World, code: Invitation) -> None:
    before, middle = world["laptop"].chain(), Middle(world, code)
    real = Guest(code, middle.to_guest, a_device("new"))
    forged = Newcomer(code, middle.to_inviter, a_device("thief"), "new phone")
    inviter = Inviter(world["laptop"].store, code, middle.to_inviter)
    shown: list[str] = []
    thief = threading.Thread(target=lambda: shown.append(forged.approach()), daemon=True)
    thief.start()
    inviter.meet()
    thief.join(SECONDS)
    # towards the new device it must show the bundle the code names, and has not its keys
    as_inviter = Inviter(world["laptop"].store, code, middle.to_guest)
    as_inviter.meet()
    digits = real.digits.get()
    assert digits != shown[0]
    with pytest.raises(PairingFailed, match="digits are not those"):
        inviter.admit(digits, world["laptop"].now())
    middle.to_guest.burn()
    real.join(SECONDS)
    assert real.joined is None
    assert nothing_kept(world, before)


def test_another_inviter_than_the_one_that_showed_the_code_is_refused(tmp_path: Path, code: Invitation) -> None:
    (tmp_path / "other").mkdir()
    elsewhere = World(tmp_path / "other", "thief's laptop")
    wire = Wire()
    guest = Guest(code, wire, a_device("new"))
    belonging.begin(elsewhere["thief's laptop"].store, "2026-11-23T00:00:00Z")
    with pytest.raises(PairingFailed):
        inviter = Inviter(elsewhere["thief's laptop"].store, code, wire)
        inviter.meet()
    guest.join(SECONDS)
    assert guest.error is not None
    assert "not the one that showed the code" in guest.error.message


def test_an_inviter_that_changes_its_nonce_is_noticed(
    world: World, code: Invitation, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = threading.current_thread()
    monkeypatch.setattr(pairing, "_commitment", lambda nonce: bytes(32) if threading.current_thread() is main else b"x")
    wire = Wire()
    guest = Guest(code, wire, a_device("new"))
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    guest.join(SECONDS)
    assert guest.error is not None
    assert "changed its mind" in guest.error.message


def test_a_device_that_belongs_to_the_vault_already_is_not_enrolled_twice(world: World, code: Invitation) -> None:
    from vault.errors import KeyferryError

    before, wire = world["laptop"].chain(), Wire()
    guest = Guest(code, wire, a_device("laptop"))
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    with pytest.raises(KeyferryError, match="enrolled before"):
        inviter.admit(guest.digits.get(), world["laptop"].now())
    wire.burn()
    assert nothing_kept(world, before)


def test_the_digits_are_as_good_as_random(world: World, code: Invitation) -> None:
    found = set()
    for _ in range(20):
        wire = Wire()
        guest = Guest(code, wire, a_device("new"))
        Inviter(world["laptop"].store, code, wire).meet()
        digits = guest.digits.get()
        assert len(digits) == 6
        assert digits.isdigit()
        found.add(digits)
        wire.burn()
        guest.join(SECONDS)
    assert len(found) == 20


def test_what_passes_through_the_slot_tells_nothing(world: World, code: Invitation) -> None:
    wire, own = Wire(), a_device("new")
    guest = Guest(code, wire, own, name="CANARY-PHONE")
    inviter = Inviter(world["laptop"].store, code, wire)
    inviter.meet()
    inviter.admit(guest.digits.get(), world["laptop"].now())
    guest.join(SECONDS)
    everything = b"".join(wire.seen.values())
    for word in (b"CANARY-PHONE", b"laptop", own.bundle.packed[:32], bytes.fromhex(code.vault)):
        assert word not in everything
