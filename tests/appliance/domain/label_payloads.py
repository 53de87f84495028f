"""Payloads as labels carry them, true and damaged, by seed; and a second opinion on each that is accepted.

The second opinion shares no line with the grammars: plain patterns and its own check characters.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping

CAPITALS = string.digits + string.ascii_uppercase
MOD_37 = CAPITALS + "*"
MOD_43 = CAPITALS + "-. $/+%"
DAMAGE = CAPITALS + "=&<>,+/$%.- \x1d\x00aé"


def mod_37(text: str) -> int:
    """Sum of value times 2^n, n counted from the right from 1; the check value completes it to 1."""
    total = sum(MOD_37.index(each) * 2**n for n, each in enumerate(reversed(text), start=1))
    return (1 - total) % 37


def gtin(rng: random.Random) -> str:
    digits = "".join(rng.choice(string.digits) for _ in range(13))
    total = sum(int(each) * (3 if n % 2 == 0 else 1) for n, each in enumerate(digits))
    return digits + str(-total % 10)


def some(rng: random.Random, least: int, most: int, alphabet: str = CAPITALS) -> str:
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))


def isbt_payload(rng: random.Random) -> tuple[str, str]:
    din = f"A99{rng.randint(90, 99)}{rng.randint(0, 99):02d}{rng.randint(0, 999_999):06d}"
    parts = [f"={din}{60 + mod_37(din)}"]
    parts.append(f"=<S{rng.randint(0, 9999):04d}V{rng.choice(['00', 'A0', 'Ba'])}")
    day, hour, minute = rng.randint(1, 365), rng.randint(0, 23), rng.randint(0, 59)
    parts.append(f"&>0{rng.randint(0, 99):02d}{day:03d}{hour:02d}{minute:02d}")
    parts.append(f"&/CHA9999{rng.randint(0, 99):02d}{some(rng, 6, 6)}")
    parts = parts[: rng.randint(1, 4)]
    if rng.random() < 0.5:
        return f"=+{len(parts):02d}000{''.join(parts)}", "]d1"
    return rng.choice(parts), "]C0"


def gs1_payload(rng: random.Random) -> tuple[str, str]:
    date = f"{rng.randint(0, 99):02d}{rng.randint(1, 12):02d}{rng.randint(0, 28):02d}"
    text = f"01{gtin(rng)}17{date}" if rng.random() < 0.8 else f"01{gtin(rng)}"
    if rng.random() < 0.5:
        text += f"21{some(rng, 1, 20)}\x1d"
    return text + f"10{some(rng, 1, 20)}", rng.choice(["]C1", "]d2", "]Q3"])


def hibc_payload(rng: random.Random) -> tuple[str, str]:
    body = f"+{rng.choice(string.ascii_uppercase)}{some(rng, 3, 3)}{some(rng, 1, 13)}{rng.randint(0, 9)}"
    if rng.random() < 0.7:
        day = f"{rng.randint(0, 99):02d}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
        body += f"/$$3{day}{some(rng, 0, 18)}"
    return body + MOD_43[sum(MOD_43.index(each) for each in body) % 43], rng.choice(["]C0", "]A0", "]d1"])


MAKERS = (isbt_payload, gs1_payload, hibc_payload)


def damaged(text: str, rng: random.Random) -> str:
    """Change, drop, add or swap one to three characters."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text)) if text else 0
        way = rng.randrange(4)
        if way == 0:
            text = text[:place] + rng.choice(DAMAGE) + text[place + 1 :]
        elif way == 1:
            text = text[:place] + text[place + 1 :]
        elif way == 2:
            text = text[:place] + rng.choice(DAMAGE) + text[place:]
        else:
            text = text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :]
    return text


def objection_to(text: str, said: Mapping[str, object]) -> str:
    """Name what an accepted payload breaks; empty when nothing is found against it."""
    if said["standard"] == "HIBC":
        return _hibc_objection(text)
    if said["standard"] == "GS1":
        return _gs1_objection(said)
    return _isbt_objection(text, said)


def _hibc_objection(text: str) -> str:
    if not re.fullmatch(r"\+[A-Z0-9\-. $/+%]+", text):
        return "a character that HIBC does not have"
    return "" if MOD_43[sum(MOD_43.index(each) for each in text[:-1]) % 43] == text[-1] else "check character"


def _gs1_objection(said: Mapping[str, object]) -> str:
    number = str(said.get("gtin", ""))
    if number:
        total = sum(int(each) * (3 if n % 2 == 0 else 1) for n, each in enumerate(number))
        if len(number) != 14 or total % 10:
            return "check digit of the GTIN"
    for key in ("lot", "serial"):
        if key in said and not re.fullmatch(r"[!-\"%-?A-Z_a-z]{1,20}", str(said[key])):
            return f"{key} breaks its character set"
    date = str(said.get("ai_17", "000100"))
    return "" if re.fullmatch(r"[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])", date) else "date"


def _isbt_objection(text: str, said: Mapping[str, object]) -> str:
    if not re.fullmatch(r"[=&][!-~]+", text):
        return "a character that ISBT 128 does not have"
    din, flags = str(said.get("din", "")), str(said.get("flags", ""))
    if din and not re.fullmatch(r"[A-NP-Z1-9][A-NP-Z0-9]{2}[0-9]{10}", din):
        return "donation number"
    if din and flags.isdigit() and 60 <= int(flags) <= 96 and int(flags) - 60 != mod_37(din):
        return "type 3 flags"
    structures = said["structures"]
    assert isinstance(structures, list)
    if "".join(str(each["text"]) for each in structures) != text:
        return "characters that no structure holds"
    if text.startswith("=+") and int(text[2:4]) != len(structures) - 1:
        return "count of the compound message"
    return ""
