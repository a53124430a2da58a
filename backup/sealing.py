"""The age container around a backup: sealed to several X25519 recipients, opened by any one of their identities.

The format is age v1 (C2SP age.md), by pyrage. Content goes through in pieces; nothing is kept in memory or on a disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from backup.zipped import Take
from vault.errors import DamagedBackup, KeyferryError, SealedElsewhere

MAGIC = b"age-encryption.org/v1\n"
_BUFFER = 1 << 20
_LONGEST_HEADER = 128 << 10  # 1,300 recipients; the library takes time by the square of it
_WRONG_KEY = "No matching keys"  # the library's own text


def seal(content: Iterable[bytes], out: Out, recipients: Sequence[str]) -> None:
    """Write the content sealed to the age recipients; what ``content`` or ``out`` raises comes through unchanged."""
    import pyrage

    source, watched = _Source(content), _Sink(out)
    keys = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
    try:
        pyrage.encrypt_io(io.BufferedReader(source, _BUFFER), watched, keys)
    except Exception:
        # The library turns every error into one of its own, with the text of ours inside.
        error = source.error or watched.error
        if error is None:
            raise
        raise error from None


def unseal(file: io.BufferedReader, identities: Sequence[str], reader: Take) -> None:
    """Decrypt the file and feed the reader with what is inside, to its last byte.

    Raises ``SealedElsewhere`` if none of the age identities opens it, ``DamagedBackup`` for a file that is cut off,
    altered or no age file, and what the reader raises. The reader has seen bytes of a damaged file before it is found
    to be one: believe nothing until this returns.
    """
    import pyrage

    head = file.peek(_LONGEST_HEADER)[:_LONGEST_HEADER]
    if not head.startswith(MAGIC) or b"\n--- " not in head:
        raise DamagedBackup("the file is no backup, or its beginning is damaged")
    feed = _Feed(reader)
    keys = [pyrage.x25519.Identity.from_str(one) for one in identities]
    buffered = io.BufferedWriter(feed, _BUFFER)  # type: ignore[type-var]
    try:
        pyrage.decrypt_io(file, buffered, keys)
        buffered.flush()
    except KeyferryError:
        raise
    except (pyrage.DecryptError, OSError) as error:
        if feed.error is not None:
            raise feed.error from None
        buffered.flush()  # what came before the damage is authentic: it tells what the set is, and what is lost
        if _WRONG_KEY in str(error):
            raise SealedElsewhere("the backup is sealed to other keys", hint="use the kit of that vault") from None
        raise DamagedBackup("the backup is cut off or altered") from None
    finally:
        feed.error = feed.error or KeyferryError("")  # a buffer that is closed late has nobody to feed
    feed.end()


class _Source(io.RawIOBase):
    """Pieces of content as a file to read from."""

    def __init__(self, content: Iterable[bytes]) -> None:
        self._content: Iterator[bytes] = iter(content)
        self._left = memoryview(b"")
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        filled = 0
        try:
            while filled < len(buffer):
                if not self._left:
                    piece = next(self._content, None)
                    if piece is None:
                        break
                    self._left = memoryview(piece)
                some = self._left[: len(buffer) - filled]
                buffer[filled : filled + len(some)] = some
                self._left = self._left[len(some) :]
                filled += len(some)
        except BaseException as error:
            self.error = error
            raise
        return filled


class Out(Protocol):
    """What takes a sealed file."""

    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


class _Sink:
    """A file to write to that remembers what went wrong."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._out.write(data)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            self._out.flush()
        except BaseException as error:
            self.error = error
            raise


class _Feed(io.RawIOBase):
    """A file whose writer feeds a reader that takes what it wants."""

    def __init__(self, reader: Take) -> None:
        self._reader = reader
        self._wanted = next(reader)
        self._over = False
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        if self.error is not None:
            return len(data)
        given = 0
        try:
            while given < len(data):
                if self._over:
                    raise DamagedBackup("the backup goes on behind its end")
                piece = bytes(data[given : given + self._wanted])
                given += len(piece)
                self._ask(piece)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def _ask(self, piece: bytes) -> None:
        try:
            self._wanted = self._reader.send(piece)
        except StopIteration:
            self._over = True

    def end(self) -> None:
        """Check that the reader has everything."""
        if not self._over:
            raise DamagedBackup("the backup ends too early")
