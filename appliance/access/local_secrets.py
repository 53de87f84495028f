"""PINs and passwords that people set at this unit: verifiers beside the signed list, in a private file.

An entry holds while the signed list still carries the verifier that it replaces. A higher version
that issues another secret ends it; its history stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.access.errors import KeyRefused
from appliance.access.lockouts import Factor
from appliance.access.people import People, Person
from appliance.access.private_files import read_private, write_private
from appliance.domain.people_state import Changed

FILE_NAME = "secrets.json"
FACTORS: tuple[Factor, ...] = ("pin", "password")


class LocalSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One secret that its person set; `replaces` is the mark of the verifier on the signed list."""

    person: str
    factor: Factor
    replaces: str
    verifier: str
    set_at: datetime
    people_version: int
    why: str
    history: tuple[str, ...] = ()  # verifiers before it, newest first


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    secrets: tuple[LocalSecret, ...] = ()


class LocalSecrets:
    """The secrets of `keys/secrets.json`, readable by its owner alone.

    Raises
    ------
    KeyRefused
        The file is there and cannot be read, or others could read it.
    """

    def __init__(self, keys: Path) -> None:
        self._path = keys / FILE_NAME
        self._entries: dict[tuple[str, Factor], LocalSecret] = {}
        if self._path.exists():
            try:
                kept = msgspec.json.decode(read_private(self._path), type=_File)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise KeyRefused(
                    "key_garbled",
                    f"{self._path} is damaged: {error}. Put its copy back, or issue new PINs.",
                ) from error
            self._entries = {(one.person, one.factor): one for one in kept.secrets}

    def entries(self) -> list[LocalSecret]:
        return list(self._entries.values())

    def of(self, person: str, factor: Factor) -> LocalSecret | None:
        """What the person has set last, whether it holds or not."""
        return self._entries.get((person, factor))

    def put(self, entry: LocalSecret) -> None:
        """Keep it durably; the file is the old one or the new one, never a part."""
        self._write({**self._entries, (entry.person, entry.factor): entry})

    def put_back(self, person: str, factor: Factor, before: LocalSecret | None) -> None:
        """Undo the last `put`, whose fact could not be recorded."""
        rest = {key: one for key, one in self._entries.items() if key != (person, factor)}
        self._write(rest if before is None else {**rest, (person, factor): before})

    def _write(self, entries: dict[tuple[str, Factor], LocalSecret]) -> None:
        file = _File(secrets=tuple(entries.values()))
        write_private(self._path, msgspec.json.encode(file), replace=True)
        self._entries = entries

    def applied_to(self, people: People, changed: Mapping[tuple[str, str], Changed]) -> People:
        """The list with the secrets that hold.

        Parameters
        ----------
        changed
            What the record says was changed here: a one-time secret that was used up opens
            nothing again, even when this file is lost.
        """
        return msgspec.structs.replace(
            people, people=tuple(self._applied(one, changed) for one in people.people)
        )

    def _applied(self, person: Person, changed: Mapping[tuple[str, str], Changed]) -> Person:
        fields: dict[str, object] = {}
        for factor in FACTORS:
            listed: str = getattr(person, factor)
            entry = self._entries.get((person.id, factor))
            recorded = changed.get((person.id, factor))
            if entry is not None and listed and entry.replaces == mark_of(listed):
                fields |= {
                    factor: entry.verifier,
                    f"{factor}_one_time": False,
                    f"{factor}_set_at": entry.set_at,
                }
            elif recorded is not None and listed and recorded.replaces == mark_of(listed):
                fields |= {factor: ""}
        return msgspec.structs.replace(person, **fields) if fields else person


def mark_of(verifier: str) -> str:
    """Names a verifier without telling it."""
    return hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).hexdigest()[:16]
