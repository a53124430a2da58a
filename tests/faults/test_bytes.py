"""A backup that was altered in any way is refused: every byte, every length, every block, and another set's name."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from backup import book as books
from backup import making, reading, targets
from backup.reading import Opener
from tests.faults.oracle import CANARY, opener
from tests.migrate.terminal import Terminal
from vault import keys
from vault.errors import BackupError
from vault.model import Item, Note
from vault.secret import Secret
from vault.store import Store

CHUNK = (64 << 10) + 16  # an age block with its tag
NONCE = 16  # stands between the header and the blocks
FIRST, SECOND = "2026-11-20T21:00:00Z", "2026-11-21T21:00:00Z"
_SAYS = {44, 45, 46, 53}  # forged, damaged, newer, sealed to others


@dataclass(frozen=True)
class Sealed:
    """A set's bytes, the place to write altered ones to, and the kit that opens them."""

    data: bytes
    path: Path
    opener: Opener

    @property
    def header(self) -> int:
        """Where the blocks begin."""
        return self.data.index(b"\n", self.data.index(b"\n--- ") + 1) + 1 + NONCE

    def blocks(self) -> list[bytes]:
        """Return the blocks."""
        return [self.data[at : at + CHUNK] for at in range(self.header, len(self.data), CHUNK)]

    def flipped(self, at: int, bit: int) -> bytes:
        """Return the bytes with one bit turned over."""
        altered = bytearray(self.data)
        altered[at] ^= 1 << bit
        return bytes(altered)

    def accepted(self, altered: Iterator[bytes]) -> list[int]:
        """Return the numbers of the altered files that are taken for backups; each other one ends in a sentence."""
        taken, count = [], 0
        for count, data in enumerate(altered, 1):
            self.path.write_bytes(data)
            try:
                reading.check(self.path, self.opener)
            except BackupError as error:
                assert error.exit_code in _SAYS, error
                assert error.message and CANARY not in error.message + error.hint
            else:
                taken.append(count)
        print(f"{count:,} altered backups, {len(taken)} accepted")
        assert count
        return taken


def note(id_: str, text: str) -> Item:
    """Return a note."""
    return Item(id=id_, title=f"Note {id_}", credentials=(Note(content=Secret(f"{CANARY} {text}")),))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a vault, its kit beside it, one backup made on each of two days."""
    root = tmp_path_factory.mktemp("bytes")
    holder = keys.choose_holder(root / "home", key_file=root / "key")
    with keys.init_vault(root / "home", holder=holder, kit_file=root / "kit.txt") as store:
        for number, day in enumerate((FIRST, SECOND)):
            store.put(note(f"n{number}", "a note"), now=day)
            made = making.create(store, root / "home", clock=lambda day=day: day).made  # type: ignore[misc]
            assert made is not None
    return root


@pytest.fixture(scope="module")
def small(place: Path) -> Sealed:
    """A set of one block."""
    path = newest(place / "home")
    return Sealed(path.read_bytes(), place / "altered.keyferry", opener(place / "kit.txt"))


@pytest.fixture(scope="module")
def large(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A set of several blocks."""
    root = tmp_path_factory.mktemp("large")
    holder = keys.choose_holder(root / "home", key_file=root / "key")
    with keys.init_vault(root / "home", holder=holder, kit_file=root / "kit.txt") as store:
        fill(store)
        making.create(store, root / "home", to=root / "set.keyferry")
    return Sealed((root / "set.keyferry").read_bytes(), root / "altered.keyferry", opener(root / "kit.txt"))


def fill(store: Store) -> None:
    """Put attachments into a vault that nothing makes smaller."""
    source = random.Random(4711)
    for size in (100_000, 150_000, 7):
        store.put_document(source.randbytes(size))
    store.put(note("n", "beside attachments"), now=FIRST)


def newest(home: Path) -> Path:
    """Return the newest set of the local target."""
    return max(targets.files(home / "backups"))


def test_the_unaltered_sets_are_whole(small: Sealed, large: Sealed) -> None:
    for sealed in (small, large):
        assert sealed.accepted(iter([sealed.data])) == [1]
    assert len(small.blocks()) == 1
    assert len(large.blocks()) >= 4


def test_every_byte_of_a_small_set_counts(small: Sealed) -> None:
    source = random.Random(1)
    assert not small.accepted(small.flipped(at, source.randrange(8)) for at in range(len(small.data)))


def test_every_bit_of_the_header_counts(small: Sealed) -> None:
    assert not small.accepted(small.flipped(at, bit) for at in range(small.header) for bit in range(8))


def test_every_bit_at_both_ends_of_each_block_counts(large: Sealed) -> None:
    ends = []
    for number, block in enumerate(large.blocks()):
        start = large.header + number * CHUNK
        ends += [*range(start, start + 4), *range(start + len(block) - 16, start + len(block))]
    assert not large.accepted(large.flipped(at, bit) for at in ends for bit in range(8))


def test_bytes_anywhere_in_a_large_set_count(large: Sealed) -> None:
    source = random.Random(2)
    places = [source.randrange(len(large.data)) for _ in range(400)]
    assert not large.accepted(large.flipped(at, source.randrange(8)) for at in places)


def test_no_length_but_the_whole_is_accepted(small: Sealed) -> None:
    assert not small.accepted(small.data[:length] for length in range(len(small.data)))


def test_a_set_cut_at_a_block_is_refused(large: Sealed) -> None:
    cuts = [
        large.header + number * CHUNK + more for number in range(len(large.blocks())) for more in (-17, -1, 0, 1, 17)
    ]
    assert not large.accepted(large.data[:cut] for cut in cuts)


def test_the_last_block_cut_anywhere_is_refused(large: Sealed) -> None:
    last = len(large.data) - len(large.blocks()[-1])
    step = max(1, len(large.blocks()[-1]) // 500)
    assert not large.accepted(large.data[:cut] for cut in [*range(last, len(large.data), step), len(large.data) - 1])


def test_blocks_cannot_change_places(large: Sealed) -> None:
    def swapped() -> Iterator[bytes]:
        blocks = large.blocks()
        for first in range(len(blocks)):
            for second in range(first):
                moved = list(blocks)
                moved[first], moved[second] = moved[second], moved[first]
                yield large.data[: large.header] + b"".join(moved)

    assert not large.accepted(swapped())


def test_blocks_cannot_be_left_out_doubled_or_added(large: Sealed, small: Sealed) -> None:
    def other_counts() -> Iterator[bytes]:
        head, blocks = large.data[: large.header], large.blocks()
        for at in range(len(blocks)):
            yield head + b"".join(blocks[:at] + blocks[at + 1 :])
            yield head + b"".join(blocks[: at + 1] + blocks[at:])
        yield large.data + b"\0"
        yield large.data + small.data
        yield head + b"".join(small.blocks())

    assert not large.accepted(other_counts())


def test_zeros_for_a_page_of_the_disk_are_noticed(large: Sealed) -> None:
    pages = range(0, len(large.data), 4096)
    assert not large.accepted(
        large.data[:at] + bytes(min(4096, len(large.data) - at)) + large.data[at + 4096 :] for at in pages
    )


# -- what a person sees


@pytest.fixture
def terminal(place: Path, tmp_path: Path) -> Terminal:
    """The home with its two backups, to be harmed."""
    made = Terminal(tmp_path)
    shutil.copytree(place / "home", made.home)
    settings = (made.home / "vault.json").read_text()
    (made.home / "vault.json").write_text(settings.replace(str(place), str(tmp_path)))
    for path in place.glob("key*"):
        shutil.copy(path, tmp_path)
    shutil.copy(place / "kit.txt", tmp_path)
    targeted(made)
    return made


def targeted(terminal: Terminal) -> None:
    """Let the copied home know where its own target is now."""
    with terminal.store() as store:
        local = books.load(store, terminal.home).targets[0]
        here = msgspec.structs.replace(local, path=str(terminal.home / "backups"))
        books.change(store, terminal.home, lambda book: books.with_target(book, here))


HARM: dict[str, Callable[[bytes], bytes]] = {
    "no file of age": lambda data: b"x" + data[1:],
    "empty": lambda data: b"",
    "header altered": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "block altered": lambda data: data[:-900] + bytes([data[-900] ^ 1]) + data[-899:],
    "cut off": lambda data: data[:-1],
    "something behind it": lambda data: data + b"more",
}


@pytest.mark.parametrize("harm", HARM)
def test_an_altered_file_ends_a_restore_in_one_sentence_and_writes_nothing(terminal: Terminal, harm: str) -> None:
    path = newest(terminal.home)
    path.write_bytes(HARM[harm](path.read_bytes()))
    bare = terminal.folder / "bare"
    own = ("--kit", terminal.folder / "kit.txt", "--key-file", terminal.folder / "bare.key", "--home", bare)
    done = terminal("restore", path, *own)
    assert done.code in _SAYS, done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert CANARY not in done.out + done.err
    assert not bare.exists()
    assert not (terminal.folder / "bare.key").exists()


@pytest.mark.parametrize("harm", HARM)
def test_an_altered_file_is_named_by_verify(terminal: Terminal, harm: str) -> None:
    path = newest(terminal.home)
    path.write_bytes(HARM[harm](path.read_bytes()))
    done = terminal("backup", "verify", "--all")
    assert done.code == 5
    assert path.name in done.out + done.err
    assert "Traceback" not in done.err
    assert CANARY not in done.out + done.err


def test_two_sets_that_changed_names_are_both_named(terminal: Terminal) -> None:
    old, new = sorted(targets.files(terminal.home / "backups"))
    held = old.read_bytes()
    old.write_bytes(new.read_bytes())
    new.write_bytes(held)
    done = terminal("backup", "verify", "--all", "--json")
    assert done.code == 5
    assert {Path(one["path"]).name: one["verdict"] for one in done.json()} == {old.name: "damaged", new.name: "damaged"}


def test_on_a_bare_machine_the_newest_is_the_one_that_says_so_under_its_signature(terminal: Terminal) -> None:
    old, new = sorted(targets.files(terminal.home / "backups"))
    held = old.read_bytes()
    old.write_bytes(new.read_bytes())
    new.write_bytes(held)
    bare = Terminal(terminal.folder / "bare")
    bare.folder.mkdir()
    done = bare("restore", old.parent, "--kit", terminal.folder / "kit.txt", "--key-file", bare.key)
    assert done.code == 0, done.err
    with bare.store() as store:
        assert {item.id for item in store.items()} == {"n0", "n1"}


def test_an_old_set_under_a_newer_name_is_not_taken_for_the_newest(terminal: Terminal) -> None:
    old, new = sorted(targets.files(terminal.home / "backups"))
    new.write_bytes(old.read_bytes())
    old.unlink()
    before = newest(terminal.home).read_bytes()
    done = terminal("restore")
    assert done.code == 49, done.err
    assert done.err.startswith("error: ")
    assert newest(terminal.home).read_bytes() == before
    assert terminal("backup", "verify", "--all").code == 5
