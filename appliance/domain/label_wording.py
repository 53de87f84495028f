"""Which sentences a label must bear, decided from what the product is; where they stand is the template's.

The words are those of 21 CFR 1271.90(c) and of the minimum label of FACT-JACIE, which T17 and T19 ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

AUTOLOGOUS = "FOR AUTOLOGOUS USE ONLY"
NOT_EVALUATED = "NOT EVALUATED FOR INFECTIOUS SUBSTANCES"
BIOHAZARD = "BIOHAZARD - WARNING: Advise patient of communicable disease risks"
# These two stand on every product, so a template has them as fixed words.
IDENTIFY = "Properly identify intended recipient and product"
MAY_TRANSMIT = "WARNING: This product may transmit infectious agents"

# Collection types (ISBT 128): 1 autologous use only, X the same and a biohazard, 8 autologous with
# allogeneic material. A may cross over to another patient, so it does not say "only".
AUTOLOGOUS_TYPES = frozenset({"1", "X", "8"})
BIOHAZARD_TYPES = frozenset({"X"})
# Settings of a recipe.
DONOR_SETTING, BIOHAZARD_SETTING = "donor_evaluation", "biohazard"
DONOR_WORDS = ("evaluated", "not_evaluated")
BIOHAZARD_WORDS = ("yes", "no")


def statements(settings: Mapping[str, str], collection_type: str) -> dict[str, str]:
    """The sentences that this product's label must bear, by the field they are printed from."""
    said = {}
    if collection_type in AUTOLOGOUS_TYPES:
        said["autologous_statement"] = AUTOLOGOUS
    if settings.get(DONOR_SETTING) == "not_evaluated":
        said["donor_statement"] = NOT_EVALUATED
    if collection_type in BIOHAZARD_TYPES or settings.get(BIOHAZARD_SETTING) == "yes":
        said["biohazard_statement"] = BIOHAZARD
    return said


def faults_of_settings(settings: Mapping[str, str]) -> list[str]:
    """What is wrong with a recipe's settings that decide sentences."""
    allowed = {DONOR_SETTING: DONOR_WORDS, BIOHAZARD_SETTING: BIOHAZARD_WORDS}
    return [
        f"recipe.{name}: write {' or '.join(words)}."
        for name, words in allowed.items()
        if settings.get(name, words[0]) not in words
    ]


def local_time(moment: datetime, time_zone: str) -> str:
    """A moment as the ward reads it: local, with its offset and the zone's name (T19)."""
    local = moment.astimezone(ZoneInfo(time_zone))
    offset = local.strftime("%z")
    return f"{local:%d %b %Y %H:%M} {offset[:3]}:{offset[3:5]} {time_zone}"


def utc_time(moment: datetime) -> str:
    """The same moment in UTC, for whoever reads it in another zone."""
    return moment.astimezone(UTC).strftime("%d %b %Y %H:%M")
