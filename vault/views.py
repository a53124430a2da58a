"""What a person sees of an item: its title."""

from __future__ import annotations

from urllib.parse import urlsplit

from vault.model import BasicAuth, Item, Passkey, find_all

UNTITLED = "(untitled)"


def display_title(item: Item) -> str:
    """Return the title, else the host of the first address, else the first user name, else ``(untitled)``."""
    if item.title.strip():
        return item.title
    for url in item.urls:
        if host := host_of(url.url):
            return host
    return next((name for name in user_names(item) if name.strip()), UNTITLED)


def host_of(url: str) -> str:
    """Return the host of a web address, without its port; empty if there is none."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def user_names(item: Item) -> tuple[str, ...]:
    """Return the user names that may be shown, in order: of passwords first, then of passkeys."""
    shown = (c.username for c in find_all(item, BasicAuth))
    names = [field.text for field in shown if field is not None and not field.is_concealed]
    names += [c.username for c in find_all(item, Passkey)]
    return tuple(name for name in names if name)
