"""The OS keyring as keeper of the vault key, through one of a few backends that are known to be safe.

Service ``keyferry``, user name the vault id, secret the key in base64. The backend is loaded by its class: the
library's own choosing takes 0.1 s and may end at a plaintext one. Entries are readable for every program of the same
user, on macOS for every script of the same Python; a locked screen or a stolen disk is what the keyring helps against.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vault import crypto
from vault.errors import KeyMissing, KeyringLocked, KeyringUnavailable, VaultExists

SERVICE = "keyferry"
BACKENDS = {
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.libsecret.Keyring": "Secret Service (libsecret)",
    "keyring.backends.macOS.Keyring": "macOS keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows credential store",
}
_ON_PLATFORM = {
    "win32": ("keyring.backends.Windows.WinVaultKeyring",),
    "darwin": ("keyring.backends.macOS.Keyring",),
}
_ELSEWHERE = tuple(BACKENDS)[:3]
# The libraries whose exceptions mean that the keyring did not answer.
_FOREIGN = frozenset({"keyring", "secretstorage", "jeepney", "dbus", "gi", "pywintypes", "win32ctypes", "asyncio"})
_ADVICE = "name another place for the key: --key-file PATH or --passphrase"


class Backend(Protocol):
    """What is needed of a keyring."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class KeyringHolder:
    """The keyring with its backend pinned; ``backend`` is loaded at the first use unless it is given.

    ``entry`` is the name the key has in the keyring, the vault's id if it is empty. A restored vault has a name of its
    own: the vault it came from may be on the same machine, under another key.
    """

    kind = "keyring"

    def __init__(self, name: str, backend: Backend | None = None, *, entry: str = "") -> None:
        self.name = name
        self.entry = entry
        self._backend = backend

    @property
    def described(self) -> dict[str, str]:
        """The facts that find this holder again."""
        entry = {"entry": self.entry} if self.entry else {}
        return {"kind": self.kind, "backend": self.name, **entry}

    @property
    def title(self) -> str:
        """Where the key is, for people."""
        return f"OS keyring, {BACKENDS.get(self.name, self.name)}"

    def new_key(self, vault_id: str) -> bytes:
        """Make a key and keep it; returned only after it was read back. Raises ``VaultExists`` and as ``key``."""
        key = crypto.new_key()
        self.keep(vault_id, key)
        return key

    def keep(self, vault_id: str, key: bytes, *, replace: bool = False) -> None:
        """Keep the key and read it back; an entry with another key is refused unless ``replace``."""
        found = self._get(self._entry(vault_id))
        if found is not None and found != crypto.to_text(key) and not replace:
            raise VaultExists(
                "the keyring already holds another key under this vault's id", hint="keyferry unlock --kit FILE"
            )
        self._set(self._entry(vault_id), key)

    def key(self, vault_id: str) -> bytes:
        """Return the key; raises ``KeyMissing``, ``KeyringLocked``, ``KeyringUnavailable``."""
        text = self._get(self._entry(vault_id))
        if text is None:
            raise KeyMissing(
                "the keyring no longer holds the key of this vault", hint="keyferry unlock --kit FILE puts it back"
            )
        return _key_of(text)

    def keep_pending(self, vault_id: str, key: bytes) -> None:
        """Keep, beside the key, the one that is about to take its place."""
        self._set(f"{self._entry(vault_id)}/pending", key)

    def pending(self, vault_id: str) -> bytes | None:
        """Return the key that was about to take the place, if there is one."""
        text = self._get(f"{self._entry(vault_id)}/pending")
        return None if text is None else _key_of(text)

    def settle(self, vault_id: str, key: bytes) -> None:
        """Make the pending key the key."""
        self._set(self._entry(vault_id), key)

    def drop_pending(self, vault_id: str) -> None:
        """Forget the pending key."""
        self._delete(f"{self._entry(vault_id)}/pending")

    def forget(self, vault_id: str) -> None:
        """Remove all entries of the vault."""
        for name in (f"{self._entry(vault_id)}/pending", f"{self._entry(vault_id)}/anchor", self._entry(vault_id)):
            self._delete(name)

    @property
    def anchor_worth(self) -> str:
        """What the rollback anchor is worth here."""
        return "in the keyring"

    def anchor(self, vault_id: str) -> str | None:
        """Return the rollback anchor."""
        return self._get(f"{self._entry(vault_id)}/anchor")

    def set_anchor(self, vault_id: str, text: str) -> None:
        """Keep the rollback anchor."""
        with self._asked() as backend:
            backend.set_password(SERVICE, f"{self._entry(vault_id)}/anchor", text)

    def _entry(self, vault_id: str) -> str:
        return self.entry or vault_id

    def _get(self, name: str) -> str | None:
        with self._asked() as backend:
            return backend.get_password(SERVICE, name)

    def _set(self, name: str, key: bytes) -> None:
        text = crypto.to_text(key)
        with self._asked() as backend:
            backend.set_password(SERVICE, name, text)
            kept = backend.get_password(SERVICE, name)
        if kept != text:
            raise KeyringUnavailable("the keyring does not give back what it was given", hint=_ADVICE)

    def _delete(self, name: str) -> None:
        with self._asked() as backend:
            if backend.get_password(SERVICE, name) is not None:
                backend.delete_password(SERVICE, name)

    @contextmanager
    def _asked(self) -> Iterator[Backend]:
        """Give the backend and turn what its libraries raise into our errors."""
        with _answering():
            if self._backend is None:
                self._backend = _loaded(self.name)
            yield self._backend


def find_keyring(environment: dict[str, str] | None = None) -> KeyringHolder:
    """Return the best keyring of this machine that is trusted; raises ``KeyringUnavailable``."""
    wish = wished(environment)
    names = (wish,) if wish else _ON_PLATFORM.get(sys.platform, _ELSEWHERE)
    found: list[tuple[float, str, Callable[[], Backend]]] = []
    for name in names:
        try:
            made = _class_of(name)
            with _answering():
                found.append((-float(made.priority), name, made))
        except (KeyringUnavailable, RuntimeError):  # the library's way to say: not on this machine
            continue
    if not found:
        raise KeyringUnavailable("there is no OS keyring that Keyferry trusts on this machine", hint=_ADVICE)
    _, name, _ = min(found, key=lambda one: one[0])
    return KeyringHolder(name)


def wished(environment: dict[str, str] | None = None) -> str:
    """Return the backend named by ``PYTHON_KEYRING_BACKEND`` or the library's settings file, or nothing.

    Raises ``KeyringUnavailable`` if that is not one of the trusted ones: whoever wants ``null`` wants no keyring.
    """
    environment = dict(os.environ) if environment is None else environment
    name = environment.get("PYTHON_KEYRING_BACKEND", "").strip()
    if name:
        return _trusted(name, "PYTHON_KEYRING_BACKEND")
    path = _settings_file(environment)
    name = _default_in(path)
    return _trusted(name, str(path)) if name else ""


def _trusted(name: str, source: str) -> str:
    if name in BACKENDS:
        return name
    raise KeyringUnavailable(f"{source} names a keyring that Keyferry does not trust", hint=_ADVICE)


def _settings_file(environment: dict[str, str]) -> Path:
    if sys.platform == "win32":
        return Path(
            environment.get("LOCALAPPDATA") or environment.get("ProgramData", "."), "Python Keyring/keyringrc.cfg"
        )
    root = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(root, "python_keyring", "keyringrc.cfg")


def _default_in(path: Path) -> str:
    if not path.is_file():
        return ""
    import configparser

    settings = configparser.RawConfigParser()
    try:
        settings.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return ""
    return settings.get("backend", "default-keyring", fallback="").strip()


def _loaded(name: str) -> Backend:
    """Return the pinned backend; the environment may not put another in its place."""
    wish = os.environ.get("PYTHON_KEYRING_BACKEND", "").strip()
    if name not in BACKENDS or (wish and wish != name):
        raise KeyringUnavailable(
            "the vault's key is in another keyring than the one this session may use",
            hint="unset PYTHON_KEYRING_BACKEND, or keyferry unlock --kit FILE --key-file PATH",
        )
    backend: Any = _class_of(name)()
    if sys.platform == "win32":
        backend.persist = "local machine"  # the default would roam with a domain's profile
    elif hasattr(backend, "appid"):
        backend.appid = "Keyferry"
    return backend  # type: ignore[no-any-return]


def _class_of(name: str) -> Any:
    import importlib

    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise KeyringUnavailable("the keyring library is not usable here", hint=_ADVICE) from None


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if type(error).__module__.partition(".")[0] not in _FOREIGN and not isinstance(error, OSError):
            raise
        if kinds & {"KeyringLocked", "LockedException", "PromptDismissedException"}:
            raise KeyringLocked(
                "the OS keyring is locked", hint="unlock it (log in on the desktop), then try again"
            ) from None
        raise KeyringUnavailable(
            "the OS keyring does not answer",
            hint="log in on the desktop, or keyferry unlock --kit FILE --key-file PATH",
        ) from None


def _key_of(text: str) -> bytes:
    try:
        key = crypto.from_text(text)
    except ValueError:
        key = b""
    if len(key) != crypto.KEY_BYTES:
        raise KeyMissing(
            "the keyring's entry for this vault is not a key", hint="keyferry unlock --kit FILE puts the right one back"
        )
    return key
