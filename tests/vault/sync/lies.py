"""What a device says to each lie of a relay about a log that was made shorter: exit code, and words.

``old`` is a device that goes on, ``behind`` one that has not got as far as the newest snapshot, ``new`` one that was
let in by another, ``kit`` one that has nothing but the kit. A lie that takes nothing away and puts nothing in is
harmless.
"""

from __future__ import annotations

OLD, BEHIND, NEW, KIT = "old", "behind", "new", "kit"
Said = tuple[int, str]

HARMLESS: Said = (0, "")
WITHHELD: Said = (5, "does not give them whole; sync through a folder or another relay")
LESS: Said = (56, "shows less than before: .*; keyferry sync --upload-again")
REFUSES: Said = (55, "refuses: it answers .*; keyferry sync doctor")

# The switches of tests.evil_relay, but those for what happens before a device has joined.
ANY: dict[str, dict[str, Said]] = {
    "t1_member_key": {
        OLD: HARMLESS,
        NEW: HARMLESS,  # the list of devices came from the other device
        KIT: (56, "does not show how this vault began; try another way"),
    },
    "t1_stranger": dict.fromkeys((OLD, NEW, KIT), HARMLESS),
    "t2_rolled_back": {OLD: LESS, NEW: LESS, KIT: (56, "does not show it; nothing is lost here; sync again")},
    "t3_behind_the_pins": {OLD: HARMLESS, NEW: LESS, KIT: HARMLESS},
    "t4_other_history": {
        OLD: (56, "shows another history of .*; do not trust it; sync through a folder or another relay"),
        NEW: (56, "shows another history of .*; do not trust it; sync through a folder or another relay"),
        KIT: WITHHELD,
    },
    "t5_withholds": dict.fromkeys((OLD, NEW, KIT), WITHHELD),
    "t6_shuffled": dict.fromkeys((OLD, NEW, KIT), HARMLESS),
    "t7_header": dict.fromkeys((OLD, NEW, KIT), (5, "not built as entries are|does not hold|another vault")),
    "t7_ciphertext": dict.fromkeys((OLD, NEW, KIT), (5, "an entry of the log was altered")),
    "t7_signature": dict.fromkeys((OLD, NEW, KIT), (5, "carries a signature that does not hold")),
    "t8_cut_and_paste": dict.fromkeys((OLD, NEW, KIT), (5, "carries a signature that does not hold|was altered")),
    "t8_other_vault": dict.fromkeys((OLD, NEW, KIT), (5, "an entry of another vault was sent")),
    "t9_weaker_suite": dict.fromkeys((OLD, NEW, KIT), (5, "carries a signature that does not hold")),
    "t9_other_version": dict.fromkeys((OLD, NEW, KIT), (5, "of another version of Keyferry; update Keyferry")),
    "t16_wiped": {
        OLD: (56, "no longer has this vault; .*; keyferry sync --upload-again"),
        NEW: (56, "no longer has this vault; .*; keyferry sync --upload-again"),
        KIT: (56, "does not know this vault; check the vault id and the address"),
    },
    "drops_what_it_takes": {
        OLD: (56, "has taken what this device sent and does not show it"),
        NEW: (56, "has taken what this device sent and does not show it"),
        KIT: (56, "has taken the enrolment of this device and does not show it; no vault was made here; try again"),
    },
    "blob_altered": {
        OLD: HARMLESS,
        NEW: (5, "an attachment was altered on its way; sync again, or through another way"),
        KIT: (5, "an attachment was altered on its way; sync again, or through another way"),
    },
    "blob_gone": {
        OLD: HARMLESS,
        NEW: (5, "does not give an attachment that an entry names; sync on the device that added it"),
        KIT: (5, "does not give an attachment that an entry names; sync on the device that added it"),
    },
    "endless": {
        OLD: (56, "says that there is more and does not give it; try again later"),
        NEW: (56, "says that there is more and does not give it; try again later"),
        KIT: (56, "does not show how this vault began; try another way"),
    },
    "t20_huge": dict.fromkeys((OLD, NEW, KIT), (5, "not built as entries are")),
    "garbage": dict.fromkeys((OLD, NEW, KIT), (56, "its answer is not built as answers are; try another relay")),
    "redirect": dict.fromkeys((OLD, NEW, KIT), REFUSES),
    "broken": dict.fromkeys((OLD, NEW, KIT), REFUSES),
}

# Those that hit a part of a snapshot where they are aimed at it.
AIMED = (
    "t7_header",
    "t7_ciphertext",
    "t7_signature",
    "t8_cut_and_paste",
    "t8_other_vault",
    "t9_weaker_suite",
    "t9_other_version",
)

# The switches of tests.evil_snapshots.
OF_SNAPSHOTS: dict[str, dict[str, Said]] = {
    "drops_before_a_snapshot": {NEW: WITHHELD, KIT: WITHHELD},
    "drops_behind_the_cut": {OLD: WITHHELD, NEW: WITHHELD, KIT: WITHHELD},
    "first_part_withheld": {NEW: WITHHELD, KIT: WITHHELD},
    "middle_part_withheld": {NEW: WITHHELD, KIT: WITHHELD},
    "last_part_withheld": {NEW: WITHHELD, KIT: WITHHELD},
    "end_withheld": {NEW: WITHHELD, KIT: WITHHELD},
    "snapshot_too_early": {BEHIND: WITHHELD, NEW: HARMLESS, KIT: HARMLESS},
    "all_withheld": {
        OLD: LESS,
        NEW: LESS,
        KIT: (5, "shows no entry of any other device; sync through a folder or another relay"),
    },
    "own_withheld": dict.fromkeys((OLD, NEW, KIT), HARMLESS),  # they have it
    "older_snapshot": {NEW: WITHHELD, KIT: WITHHELD},
    "older_snapshot_as_newest": {
        NEW: LESS,
        KIT: (5, "others have seen entries of .* that the relay .* does not give; sync through a folder"),
    },
    "older_snapshot_in_the_end": {
        NEW: WITHHELD,
        KIT: (5, "others have seen entries of .* that the relay .* does not give; sync through a folder"),
    },
    "parts_mixed": {NEW: WITHHELD, KIT: WITHHELD},
    "parts_mixed_and_renumbered": {
        NEW: (5, "carries a signature that does not hold"),
        KIT: (5, "carries a signature that does not hold"),
    },
    "parts_exchanged": {NEW: HARMLESS, KIT: HARMLESS},  # they come in another order, and nothing else
}


def cases() -> list[tuple[str, str, str, Said]]:
    """Return role, switch, the kind of entry that it is aimed at, and what is said, of each lie."""
    found = [(role, switch, "", said) for switch, by in (ANY | OF_SNAPSHOTS).items() for role, said in by.items()]
    return found + [(role, switch, "snap", ANY[switch][role]) for switch in AIMED for role in (NEW, KIT)]
