"""Making passwords from the system's randomness."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable

from vault.errors import UsageError

LENGTH = 20
SHORTEST, LONGEST = 8, 1024
# No quotes, backslash or space: they are what forms and shells most often spoil.
SYMBOLS = "!#$%&()*+,-./:;<=>?@[]^_{|}~"
CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, SYMBOLS)


def new_password(length: int = LENGTH, below: Callable[[int], int] = secrets.randbelow) -> str:
    """Return a random password with a letter of each case, a digit and a symbol; ``below(n)`` draws from 0 to n-1.

    Every such password is equally likely. Raises ``UsageError`` for a length under 8 or over 1024.
    """
    if not SHORTEST <= length <= LONGEST:
        raise UsageError(f"a password has {SHORTEST} to {LONGEST} characters")
    letters = "".join(CLASSES)
    while True:  # drawing anew keeps the choice uniform; placing a character of each class would not
        made = "".join(letters[below(len(letters))] for _ in range(length))
        if all(any(letter in kind for letter in made) for kind in CLASSES):
            return made
