"""The door to a vault's key: make a vault, open it, hand out its kit, move and renew its key, end it.

``status`` and everything else that needs no key finds ``has_vault`` and ``default_home`` here as well.
"""

from __future__ import annotations

from vault.anchor import accept_older, is_older
from vault.keycare import Destroyed, destroy, move_key, rotate_key, unlock
from vault.keyholders import Holder, choose_holder, holder_of
from vault.kitcare import check_kit, is_synced, kit_reminder, print_kit, renew_kit, save_kit
from vault.making import init_vault
from vault.opening import Opened, open_keys, open_vault
from vault.settings import default_home, has_vault

__all__ = [
    "Destroyed",
    "Holder",
    "Opened",
    "accept_older",
    "check_kit",
    "choose_holder",
    "default_home",
    "destroy",
    "has_vault",
    "holder_of",
    "init_vault",
    "is_older",
    "is_synced",
    "kit_reminder",
    "move_key",
    "open_keys",
    "open_vault",
    "print_kit",
    "renew_kit",
    "rotate_key",
    "save_kit",
    "unlock",
]
