"""The door to a vault's key: make a vault, open it, hand out its kit, move and renew its key, end it.

``status`` and everything else that needs no key finds ``has_vault`` and ``default_home`` here as well.
"""

from __future__ import annotations

from vault.anchor import accept_older, is_older
from vault.identity import (
    check_statement,
    kits,
    members,
    own_chain,
    own_device,
    own_roots,
    sign_statement,
    write_membership,
)
from vault.keycare import Destroyed, destroy, move_key, rotate_key, unlock
from vault.keyholders import Holder, choose_holder, holder_of
from vault.kit import Kit, root_public, root_text
from vault.kitcare import check_kit, ended_kits, is_synced, kit_reminder, print_kit, renew_kit, save_kit
from vault.kitfile import read_kit
from vault.listmaking import enrol, revoke
from vault.making import init_vault
from vault.membership import (
    Member,
    Membership,
    Root,
    head_of,
    is_prefix,
    read_chain,
    vault_id_of,
    verify_membership,
)
from vault.opening import Opened, open_keys, open_vault
from vault.rejoining import adopt_vault, catch_up, rejoin_vault
from vault.seniority import outranks
from vault.settings import default_home, has_vault
from vault.statement import Signed

__all__ = [
    "Destroyed",
    "Holder",
    "Kit",
    "Member",
    "Membership",
    "Opened",
    "Root",
    "Signed",
    "accept_older",
    "adopt_vault",
    "catch_up",
    "check_kit",
    "check_statement",
    "choose_holder",
    "default_home",
    "destroy",
    "ended_kits",
    "enrol",
    "has_vault",
    "head_of",
    "holder_of",
    "init_vault",
    "is_older",
    "is_prefix",
    "is_synced",
    "kit_reminder",
    "kits",
    "members",
    "move_key",
    "open_keys",
    "open_vault",
    "outranks",
    "own_chain",
    "own_device",
    "own_roots",
    "print_kit",
    "read_chain",
    "read_kit",
    "rejoin_vault",
    "renew_kit",
    "revoke",
    "root_public",
    "root_text",
    "rotate_key",
    "save_kit",
    "sign_statement",
    "unlock",
    "vault_id_of",
    "verify_membership",
    "write_membership",
]
