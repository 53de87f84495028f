"""Who a pseudonym is: the one place of a unit where patients have names, apart from the record.

Each patient has a file of their own in `identities/`, sealed with AES-256-GCM and bound to unit and
pseudonym; in it lies a key of their own, which seals the pictures taken at their bedside. To remove
the file is to make name and pictures unreadable for ever, while the record stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import date
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.access import documents
from appliance.access.documents import Envelope
from appliance.access.errors import DocumentRefused, IdentityRefused
from appliance.access.identity_key import IV_BYTES, KEY_BYTES, IdentityKey
from appliance.access.private_files import overwritten_after, write_whole
from appliance.domain import isbt128
from appliance.domain.batch import Order
from appliance.domain.bedside_identity import KEYED, OURS

FOLDER = "identities"
ENTRY_BYTES_MAX = 16 * 1024
TEXT_CHARACTERS_MAX = 120
SEALED_MARK = b"CWSEALED1\n"
SEALED_MEDIA_TYPE = "application/x-cellwright-sealed"
LOCKED_WORDS = (
    "Patients' identities are locked since this unit started. An administrator opens them with "
    "`cellwright identity unlock`."
)
_KEYED_DIGITS = 32


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a patient is. Never in the record, a log, a process argument or an error's words."""

    name: str
    birth_date: str  # YYYY-MM-DD
    hospital_number: str

    def __repr__(self) -> str:
        return "Identity(withheld)"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sealed: the identity, where one was delivered, and the key of this patient's pictures."""

    identity: Identity | None
    key: bytes


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    v: Literal[1] = 1
    pseudonym: str  # the record has it too
    iv: bytes
    sealed: bytes


class _Delivered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a signed `identity` document, which comes beside an order."""

    order: str
    order_hash: str  # SHA-256 of the order's exact text
    patient: str
    name: str
    birth_date: str
    hospital_number: str


class Identities:
    """The table of one unit; locked until its key is given.

    Parameters
    ----------
    key
        None: entries can be erased, and nothing can be read or sealed.
    """

    def __init__(self, home: Path, unit: str, key: IdentityKey | None) -> None:
        self._folder, self._unit, self._key = home / FOLDER, unit, key

    @property
    def locked(self) -> bool:
        return self._key is None

    def unlock(self, key: IdentityKey) -> None:
        """Take the key; raises `IdentityRefused` when it does not open what is there."""
        with_key = Identities(self._folder.parent, self._unit, key)
        for pseudonym in self.pseudonyms()[:1]:
            with_key._entry(pseudonym)
        self._key = key

    def pseudonyms(self) -> list[str]:
        """Of whom this unit keeps an entry."""
        return sorted(self._read(path).pseudonym for path in self._folder.glob("*.sealed"))

    def put(self, pseudonym: str, identity: Identity) -> None:
        """Keep or replace an identity; the key of the patient's pictures stays."""
        held = self._entry(pseudonym)
        self._write(pseudonym, _Entry(identity=identity, key=held.key if held else os.urandom(KEY_BYTES)))

    def find(self, pseudonym: str) -> Identity | None:
        """Who this is, None where no identity was delivered; raises `IdentityRefused`."""
        held = self._entry(pseudonym)
        return held.identity if held else None

    def erase(self, pseudonym: str) -> bool:
        """Make name and pictures of a patient unreadable; needs no key. False when nothing was there."""
        path = self._path(pseudonym)
        if not path.exists():
            return False
        with overwritten_after(path):
            path.unlink()
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return True

    def seal_picture(self, pseudonym: str, data: bytes) -> bytes:
        """A picture that only this unit can open, and nobody once the patient's entry is erased."""
        held = self._entry(pseudonym)
        if held is None:
            held = _Entry(identity=None, key=os.urandom(KEY_BYTES))
            self._write(pseudonym, held)
        iv = os.urandom(IV_BYTES)
        return SEALED_MARK + iv + AESGCM(held.key).encrypt(iv, data, self._bound(b"picture", pseudonym))

    def open_picture(self, pseudonym: str, sealed: bytes) -> bytes:
        """The picture again; raises `IdentityRefused`."""
        held = self._entry(pseudonym)
        begin = len(SEALED_MARK) + IV_BYTES
        if held is None or not sealed.startswith(SEALED_MARK):
            raise _unreadable()
        try:
            iv = sealed[len(SEALED_MARK) : begin]
            return AESGCM(held.key).decrypt(iv, sealed[begin:], self._bound(b"picture", pseudonym))
        except (InvalidTag, ValueError):
            raise _unreadable() from None

    def pseudonymised(self, texts: list[str], order: Order) -> list[str]:
        """What the record may keep of symbols read at the bedside.

        A symbol that says this order's patient becomes the order's own pseudonym. One that could
        name somebody else becomes a keyed hash: the same wristband gives the same hash, and
        nobody without the key can tell whose it is.
        """
        identity = self.find(order.patient)
        return [self._pseudonymised(text, order, identity) for text in texts]

    def _pseudonymised(self, text: str, order: Order, identity: Identity | None) -> str:
        known = {order.patient} | ({identity.hospital_number} if identity else set())
        if text.strip() in known:
            return OURS + order.patient
        try:
            structures = isbt128.parse(text)
        except isbt128.LabelRefused:
            return self.keyed(text)
        chains = {one.fields["coi"] for one in structures if one.number == "040"}
        patients = {one.fields["patient"] for one in structures if one.number == "025"}
        if chains - {order.coi} or patients - known:
            return self.keyed(text)
        if patients <= {order.patient}:
            return text
        # The hospital's own number of this patient: everything else that the symbol says may stay.
        rest = "".join(one.text for one in structures if one.number not in ("023", "025"))
        return rest or OURS + order.patient

    def keyed(self, text: str) -> str:
        """A pseudonym of a text under this unit's identity key."""
        return (
            KEYED + hmac.digest(self._open().derived("text"), text.encode(), "sha256").hex()[:_KEYED_DIGITS]
        )

    def _open(self) -> IdentityKey:
        if self._key is None:
            raise IdentityRefused("identity_locked", LOCKED_WORDS)
        return self._key

    def _path(self, pseudonym: str) -> Path:
        return self._folder / f"{hashlib.sha256(pseudonym.encode()).hexdigest()[:32]}.sealed"

    def _bound(self, what: bytes, pseudonym: str) -> bytes:
        return b"\x00".join((b"cellwright/sealed/1", what, self._unit.encode(), pseudonym.encode()))

    def _entry(self, pseudonym: str) -> _Entry | None:
        key, path = self._open(), self._path(pseudonym)
        if not path.exists():
            return None
        file = self._read(path)
        try:
            raw = AESGCM(key.derived("entries")).decrypt(
                file.iv, file.sealed, self._bound(b"entry", pseudonym)
            )
            return msgspec.json.decode(raw, type=_Entry)
        except (InvalidTag, ValueError):
            # The decoder's words would quote what it read.
            raise _unreadable() from None

    def _write(self, pseudonym: str, entry: _Entry) -> None:
        iv = os.urandom(IV_BYTES)
        sealed = AESGCM(self._open().derived("entries")).encrypt(
            iv, msgspec.json.encode(entry), self._bound(b"entry", pseudonym)
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = msgspec.json.encode(_Sealed(pseudonym=pseudonym, iv=iv, sealed=sealed)) + b"\n"
        write_whole(self._path(pseudonym), data, mode=0o600)

    def _read(self, path: Path) -> _Sealed:
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(ENTRY_BYTES_MAX + 1), type=_Sealed)
        except OSError as error:
            raise IdentityRefused("unreadable", f"{path} cannot be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _unreadable() from None


def identity_content(order_text: str, identity: Identity) -> bytes:
    """The exact bytes of an identity document for an order, to be signed by central's order key."""
    order = Order.from_text(order_text)
    return documents.canonical_json(
        {
            "order": order.id,
            "order_hash": hashlib.sha256(order_text.encode()).hexdigest(),
            "patient": order.patient,
            "name": identity.name,
            "birth_date": identity.birth_date,
            "hospital_number": identity.hospital_number,
        }
    )


def read_delivered(
    envelope: Envelope, *, central: frozenset[str], order_texts: dict[str, str]
) -> tuple[str, Identity]:
    """The pseudonym and identity of a document that came beside an order of this unit.

    Parameters
    ----------
    central
        Fingerprints of the keys that may sign it: the same as for orders.
    order_texts
        The exact texts of this unit's verified orders, by order id.

    Raises
    ------
    DocumentRefused
        Not signed by central, about no order of this unit, or not of its form.
    """
    content = documents.verify(
        envelope,
        allowed={"central": central},
        threshold=documents.THRESHOLDS["identity"],
        document_type="identity",
    )
    try:
        said = msgspec.json.decode(content, type=_Delivered)
        date.fromisoformat(said.birth_date)
    except (ValueError, UnicodeDecodeError):
        # Without the decoder's words: they would quote what nobody may read here.
        raise DocumentRefused("garbled", "This identity cannot be read. Ask central for it again.") from None
    text = order_texts.get(said.order, "")
    if not text or hashlib.sha256(text.encode()).hexdigest() != said.order_hash:
        raise DocumentRefused(
            "no_such_order", "This identity belongs to no order of this unit. Deliver the order first."
        )
    whole = (said.name, said.hospital_number)
    if Order.from_text(text).patient != said.patient or not all(_fits(one) for one in whole):
        raise DocumentRefused("garbled", "This identity does not fit its order. Ask central for it again.")
    identity = Identity(name=said.name, birth_date=said.birth_date, hospital_number=said.hospital_number)
    return said.patient, identity


def _fits(text: str) -> bool:
    return text.isprintable() and bool(text.strip()) and len(text) <= TEXT_CHARACTERS_MAX


def _unreadable() -> IdentityRefused:
    return IdentityRefused(
        "identity_unreadable", "This identity cannot be opened: erased, damaged, or of another unit or key."
    )
