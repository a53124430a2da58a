"""Every error a user can meet, with its exit code and what to do next.

Exit codes: 2 usage, 3 declared losses, 4 undeclared loss, 5 health, 10-19 the export file, 20-39 vault, keys and kit,
40-43 writing, 44-53 backups, 54-58 sync, 59 a bug of ours. A message never holds content of a file.
"""

from __future__ import annotations


class KeyferryError(Exception):
    """Base of all errors that are shown as one sentence; ``hint`` says what to do next."""

    exit_code = 59

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(KeyferryError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class UndeclaredLoss(KeyferryError):
    """A value of the source could not be proven in the result; nothing was written."""

    exit_code = 4


class UndecidedColumns(KeyferryError):
    """A table of unknown origin has columns without a decision; nothing was written."""

    exit_code = 4


class FormatError(KeyferryError):
    """The export file cannot be used."""


class UnknownFormat(FormatError):
    """No known product writes such a file."""

    exit_code = 10


class WrongFormat(FormatError):
    """The file is not what ``--from`` says."""

    exit_code = 11


class AmbiguousFormat(FormatError):
    """More than one format fits the file."""

    exit_code = 12


class DamagedExport(FormatError):
    """The file is cut off or broken; the message says where."""

    exit_code = 13


class UnsafeExport(FormatError):
    """The file is built to do harm: a bomb, a path out of its folder, an entity trick."""

    exit_code = 14


class UnknownEncoding(FormatError):
    """The text of the file is neither UTF-8 nor marked UTF-16."""

    exit_code = 15


class CannotOpen(FormatError):
    """An encrypted export did not open: the password is wrong or the file is damaged."""

    exit_code = 16


class PasswordNeeded(FormatError):
    """An encrypted export came without its password."""

    exit_code = 17


class EmptyExport(FormatError):
    """The file holds nothing."""

    exit_code = 18


class CannotRead(FormatError):
    """The path is missing, a folder, or may not be read."""

    exit_code = 19


class CannotWriteFormat(FormatError):
    """The product can be read but not written."""

    exit_code = 20


class VaultError(KeyferryError):
    """The vault cannot be used."""


class NoVault(VaultError):
    """There is no vault in this home yet."""

    exit_code = 21


class VaultExists(VaultError):
    """There is a vault here already."""

    exit_code = 22


class VaultBusy(VaultError):
    """Another process is writing the vault."""

    exit_code = 23


class WrongKey(VaultError):
    """The key is not this vault's key."""

    exit_code = 24


class DamagedVault(VaultError):
    """The vault file is damaged or not a vault."""

    exit_code = 25


class NewerVault(VaultError):
    """The vault was written by a newer Keyferry."""

    exit_code = 26


class RolledBack(VaultError):
    """The vault file is older than the newest state this device has seen."""

    exit_code = 27


class KeyringUnavailable(VaultError):
    """There is no OS keyring that Keyferry trusts."""

    exit_code = 28


class KeyringLocked(VaultError):
    """The OS keyring is locked."""

    exit_code = 29


class KeyMissing(VaultError):
    """The vault's key is not where it was put."""

    exit_code = 30


class UnsafeKeyFile(VaultError):
    """The key file is a link, readable by others, or no key file."""

    exit_code = 31


class WrongPassphrase(VaultError):
    """The passphrase does not open the vault's key."""

    exit_code = 32


class WrongKit(VaultError):
    """The recovery kit is not this vault's, or is not a kit."""

    exit_code = 33


class UnsafeKit(VaultError):
    """The kit would be written where a thief of the vault finds it too."""

    exit_code = 34


class NoSuchItem(VaultError):
    """Nothing in the vault answers to that name."""

    exit_code = 35


class AmbiguousItem(VaultError):
    """Several items answer to that name."""

    exit_code = 36


class NoSuchRun(VaultError):
    """There is no such import run, or it was taken back already."""

    exit_code = 37


class NoCode(VaultError):
    """The item has no one-time code, or one that cannot be computed."""

    exit_code = 38


class InvalidField(VaultError):
    """A field name or its value cannot be used here."""

    exit_code = 39


class BackupError(KeyferryError):
    """A backup cannot be made or used."""


class ForgedSignature(BackupError):
    """What was read is not signed by a device of this vault."""

    exit_code = 44


class DamagedBackup(BackupError):
    """The backup is cut off, altered or no backup."""

    exit_code = 45


class NewerBackup(BackupError):
    """The backup was written by a newer Keyferry."""

    exit_code = 46


class NoSuchBackup(BackupError):
    """There is no such backup in any place that was looked at."""

    exit_code = 47


class OutrankedBackup(BackupError):
    """Another backup knows of later changes to the devices, and does not know this one."""

    exit_code = 48


class OlderBackup(BackupError):
    """A newer backup is known, and is not where it should be."""

    exit_code = 49


class ForeignBackup(BackupError):
    """The backup belongs to another vault."""

    exit_code = 50


class TargetMissing(BackupError):
    """A backup target is not there: its drive is away, or its folder is another one."""

    exit_code = 51


class NoTarget(BackupError):
    """There is no backup target, or none of that name."""

    exit_code = 52


class SealedElsewhere(BackupError):
    """The backup is sealed to other keys than the one at hand."""

    exit_code = 53


class SyncError(KeyferryError):
    """Devices cannot be brought together."""


class ForgedEntry(SyncError):
    """A message of another device was altered, forged, or is not for this device."""

    exit_code = 54


class RelayUnreachable(SyncError):
    """The relay or the folder between the devices cannot be reached, or refuses."""

    exit_code = 55


class RelayMisbehaves(SyncError):
    """The relay or the folder shows less, or something else, than it has shown before."""

    exit_code = 56


class PairingFailed(SyncError):
    """Two devices could not be paired: a wrong code, wrong digits, too late, or somebody in between."""

    exit_code = 57


class NotSynced(SyncError):
    """This vault is not synced, or this device was revoked."""

    exit_code = 58


class WriteError(KeyferryError):
    """Something could not be written."""


class CannotWrite(WriteError):
    """The place cannot be written: rights, a read-only disk, a missing folder."""

    exit_code = 40


class DiskFull(WriteError):
    """The disk is full."""

    exit_code = 41


class TargetExists(WriteError):
    """A file is there already and is not overwritten."""

    exit_code = 42


class UnsafeTarget(WriteError):
    """The destination is a symbolic link or not a regular file."""

    exit_code = 43


class Defect(KeyferryError):
    """A bug of ours; the message names the place in our code and never a value."""

    exit_code = 59
