"""What a request says: headers, address, names and numbers; what is not of the form is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from starlette.requests import Request

from vault.relay.refusals import malformed, no_slot, no_vault, too_large
from vault.sync import wire

T = TypeVar("T")


def headers(request: Request) -> dict[str, str]:
    """Return the headers by their names in lower case; of several with one name the first."""
    told = reversed(request.scope["headers"])
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in told}


def target(request: Request) -> str:
    """Return path and query as they came."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def vault(request: Request) -> str:
    """Return the id of the vault in the path."""
    found: str = request.path_params["vault"]
    if not wire.is_hex(found, 32):
        raise no_vault()
    return found


def digest(request: Request) -> bytes:
    """Return the hash of the blob in the path."""
    found: str = request.path_params["digest"]
    if not wire.is_hex(found, 64):
        raise malformed("a blob's name is the SHA-256 of its bytes, in hexadecimal")
    return bytes.fromhex(found)


def slot(request: Request) -> str:
    """Return the name of the slot in the path."""
    found: str = request.path_params["slot"]
    if not wire.is_hex(found, 32):
        raise no_slot()
    return found


def etag(request: Request, header: str) -> str:
    """Return the etag in a header, without its quotes; empty if there is none."""
    return request.headers.get(header, "").strip().strip('"')


def number(request: Request, name: str, default: int) -> int:
    """Return a number of the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise malformed(f"{name} is a number")
    return int(text)


def length(request: Request, most: int) -> int:
    """Return the length the request announces, 0 if none; raises ``Refused`` if it is too large."""
    text = request.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise malformed("a length that is none")
    if int(text) > most:
        raise too_large()
    return int(text)


def parsed(read: Callable[[bytes], T], body: bytes) -> T:
    """Return what a body holds, as ``read`` finds it, which raises ``ValueError``."""
    try:
        return read(body)
    except ValueError:
        raise malformed("the body is not of the form") from None


def address(request: Request) -> str:
    """Return the address a request came from; of IPv6 the network, which one person may have as a whole."""
    return _network(request.client.host if request.client is not None else "")


@lru_cache(4096)
def _network(host: str) -> str:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return host


def is_local(request: Request) -> bool:
    """Tell whether the request comes from this machine."""
    try:
        return ipaddress.ip_address(request.client.host if request.client is not None else "").is_loopback
    except ValueError:
        return False
