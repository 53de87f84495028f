"""Signed documents: an envelope of exact bytes and the signatures over them.

The signature is Ed25519 over `cellwright/doc/1 NUL type NUL SHA-256(content)`. What a role may
sign is not said by the envelope but by the reader, who brings the fingerprints he allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.access.canonical import canonical_json
from appliance.access.errors import DocumentRefused
from appliance.access.private_files import write_whole

DocumentType = Literal[
    "recipe",
    "label_template",
    "people",
    "order",
    "decision",
    "revocation",
    "roles",
    "identity",
    "withdrawal",
    "recall",
    "notice",
    "recall_lift",
]
SigningRole = Literal["root", "recipe_developer", "qa_reviewer", "qp", "central"]
DOCUMENT_TYPES: tuple[str, ...] = get_args(DocumentType)
SIGNING_ROLES: tuple[str, ...] = get_args(SigningRole)

CONTENT_BYTES_MAX = 1024 * 1024
ENVELOPE_BYTES_MAX = 2 * CONTENT_BYTES_MAX
SIGNATURES_MAX = 16

# Whose signatures each type of document needs, and how many (SAFETY 14).
THRESHOLDS: dict[str, dict[str, int]] = {
    "recipe": {"recipe_developer": 1, "qa_reviewer": 1},
    "label_template": {"recipe_developer": 1, "qa_reviewer": 1},
    "people": {"root": 1},
    "order": {"central": 1},
    "identity": {"central": 1},
    "decision": {"qp": 1},
    "revocation": {"root": 1},
    "roles": {"root": 1},
    # Central's own key stops and never allows: a withdrawn consent, a recalled lot, a second use.
    "withdrawal": {"central": 1},
    "recall": {"central": 1},
    "notice": {"central": 1},
    "recall_lift": {"qa_reviewer": 1},  # a person's own key; central's allows nothing
}

_ROLE_WORDS = {
    "root": "the offline root",
    "recipe_developer": "a recipe developer",
    "qa_reviewer": "a QA reviewer",
    "qp": "a QP",
    "central": "central",
}

__all__ = [
    "THRESHOLDS",
    "DocumentRefused",
    "Envelope",
    "Signature",
    "add_signature",
    "canonical_json",
    "dump",
    "fingerprint",
    "load",
    "parse",
    "raw_public_key",
    "refuse_expired",
    "refuse_lower_version",
    "sign",
    "to_json",
    "verify",
]


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature; `key` is the fingerprint, bytes travel as base64."""

    role: SigningRole
    key: str
    public_key: bytes
    algorithm: Literal["ed25519"] = "ed25519"
    signature: bytes


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document's exact bytes and who signed them. Being an envelope proves nothing; `verify` does."""

    type: DocumentType
    content: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def content_hash(self) -> str:
        """SHA-256 of the exact content bytes, hex; a recipe's hash is this."""
        return hashlib.sha256(self.content).hexdigest()


_decoder = msgspec.json.Decoder(Envelope)


def raw_public_key(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The 32 raw bytes of a public key (of a private key: of its public half)."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint(key: Ed25519PrivateKey | Ed25519PublicKey | bytes) -> str:
    """SHA-256 hex of the raw 32 public bytes."""
    raw = key if isinstance(key, bytes) else raw_public_key(key)
    assert len(raw) == 32, len(raw)
    return hashlib.sha256(raw).hexdigest()


def signed_bytes(document_type: str, content: bytes) -> bytes:
    """What a signature is made over."""
    return b"cellwright/doc/1\x00" + document_type.encode() + b"\x00" + hashlib.sha256(content).digest()


def sign(document_type: DocumentType, content: bytes, key: Ed25519PrivateKey, role: SigningRole) -> Envelope:
    """Make an envelope with a first signature."""
    assert document_type in DOCUMENT_TYPES, document_type
    return add_signature(Envelope(type=document_type, content=content), key, role)


def add_signature(envelope: Envelope, key: Ed25519PrivateKey, role: SigningRole) -> Envelope:
    """The same bytes with one more signature; a key that signed already replaces its own signature."""
    assert role in SIGNING_ROLES, role
    mine = fingerprint(key)
    added = Signature(
        role=role,
        key=mine,
        public_key=raw_public_key(key),
        signature=key.sign(signed_bytes(envelope.type, envelope.content)),
    )
    others = tuple(one for one in envelope.signatures if one.key != mine)
    return msgspec.structs.replace(envelope, signatures=(*others, added))


def parse(data: bytes | Mapping[str, Any]) -> Envelope:
    """Read an envelope from JSON bytes or from decoded JSON.

    Raises
    ------
    DocumentRefused
        It is no envelope, or it is larger than any document may be.
    """
    try:
        if isinstance(data, bytes):
            if len(data) > ENVELOPE_BYTES_MAX:
                raise DocumentRefused("too_large", "This document is too large to be one of ours.")
            envelope = _decoder.decode(data)
        else:
            envelope = msgspec.convert(dict(data), Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DocumentRefused(
            "not_a_document", f"This is not a signed document: {error}. Fetch the file again."
        ) from error
    if len(envelope.content) > CONTENT_BYTES_MAX or len(envelope.signatures) > SIGNATURES_MAX:
        raise DocumentRefused("too_large", "This document is too large to be one of ours.")
    return envelope


def to_json(envelope: Envelope) -> bytes:
    """The envelope file's bytes."""
    return msgspec.json.encode(envelope) + b"\n"


def load(path: Path) -> Envelope:
    """Read an envelope file; raises `DocumentRefused` when it is missing or is none."""
    try:
        with path.open("rb") as file:
            return parse(file.read(ENVELOPE_BYTES_MAX + 1))
    except OSError as error:
        raise DocumentRefused("unreadable", f"{path} cannot be read: {error.strerror}.") from error


def dump(envelope: Envelope, path: Path) -> None:
    """Write an envelope file, whole or not at all."""
    write_whole(path, to_json(envelope))


def verify(
    envelope: Envelope,
    *,
    allowed: Mapping[str, frozenset[str] | set[str]],
    threshold: Mapping[str, int],
    document_type: str | None = None,
) -> bytes:
    """Return the content bytes when enough allowed keys signed exactly these.

    Parameters
    ----------
    allowed
        For each role, the fingerprints that may sign in it. The role written in the envelope is
        only a claim; this decides.
    threshold
        For each role that must have signed, how many different keys. A key counts once, in one role.
    document_type
        Refuse any other type; None accepts each.

    Raises
    ------
    DocumentRefused
        reason `wrong_type`, `unsigned`, `altered`, `wrong_key`, `wrong_role` or `too_few_signatures`.
    """
    assert threshold, "a document without a required signature proves nothing"
    assert all(count >= 1 for count in threshold.values()), threshold
    name = _named(envelope.type)
    if document_type is not None and envelope.type != document_type:
        raise DocumentRefused(
            "wrong_type", f"{name} was delivered where a {document_type} was expected. Nothing was changed."
        )
    if not envelope.signatures:
        raise DocumentRefused("unsigned", f"{name} is not signed. Do not use it; ask QA for the signed one.")
    for signature in envelope.signatures:
        _refuse_altered(envelope, signature)
    _refuse_too_few(envelope, allowed, threshold)
    return envelope.content


def refuse_lower_version(name: str, version: int, seen_version: int) -> None:
    """A version below the highest ever seen is refused; the same one may come again."""
    if version < seen_version:
        raise DocumentRefused(
            "lower_version",
            f"{_named(name)} is version {version}; this unit has version {seen_version} already. "
            "Fetch the newest one.",
        )


def refuse_expired(name: str, expires_at: datetime, now: datetime, *, time_trusted: bool) -> None:
    """No expiry passes silently: an untrusted clock refuses as an expired document does (SAFETY 17)."""
    assert expires_at.utcoffset() is not None, expires_at
    if not time_trusted:
        raise DocumentRefused(
            "time_untrusted",
            f"This unit's clock is not trusted, so it cannot tell whether {_named(name, inside=True)} has "
            "expired. Two persons enter the time of a reference clock; then deliver it again.",
        )
    if now >= expires_at:
        raise DocumentRefused(
            "expired", f"{_named(name)} expired at {expires_at:%Y-%m-%d %H:%M} UTC. Ask for a new one."
        )


def _named(document_type: str, *, inside: bool = False) -> str:
    words = document_type.replace("_", " ")
    words = {"people": "list of people", "roles": "list of roles"}.get(document_type, words)
    return f"this {words}" if inside else f"This {words}"


def _refuse_altered(envelope: Envelope, signature: Signature) -> None:
    whole = len(signature.public_key) == 32 and fingerprint(signature.public_key) == signature.key
    if whole:
        try:
            Ed25519PublicKey.from_public_bytes(signature.public_key).verify(
                signature.signature, signed_bytes(envelope.type, envelope.content)
            )
            return
        except (InvalidSignature, ValueError):
            whole = False
    raise DocumentRefused(
        "altered",
        f"{_named(envelope.type)} was altered after it was signed, or its signature is damaged. "
        "Do not use it; fetch it again and tell QA.",
    )


def _refuse_too_few(
    envelope: Envelope,
    allowed: Mapping[str, frozenset[str] | set[str]],
    threshold: Mapping[str, int],
) -> None:
    # A key counts once and in one role: nobody approves his own act by signing twice.
    counted: dict[str, str] = {}
    for signature in envelope.signatures:
        if signature.key in allowed.get(signature.role, frozenset()):
            counted.setdefault(signature.key, signature.role)
    for role, needed in threshold.items():
        have = sum(1 for counted_role in counted.values() if counted_role == role)
        if have < needed:
            _refuse_for_role(envelope, allowed, role, needed, have)


def _refuse_for_role(
    envelope: Envelope,
    allowed: Mapping[str, frozenset[str] | set[str]],
    role: str,
    needed: int,
    have: int,
) -> None:
    name, wanted = _named(envelope.type), _ROLE_WORDS.get(role, role)
    strangers = [one for one in envelope.signatures if one.key not in allowed.get(one.role, frozenset())]
    if not strangers:
        raise DocumentRefused(
            "too_few_signatures",
            f"{name} needs {needed} signature(s) of {wanted} and has {have}. Have it signed first.",
        )
    known = set().union(*allowed.values()) if allowed else set()
    elsewhere = [one for one in strangers if one.key in known]
    if elsewhere:
        raise DocumentRefused(
            "wrong_role",
            f"{name} must be signed by {wanted}. The key {elsewhere[0].key[:16]} may not sign in the role "
            f"{elsewhere[0].role}. Do not use it; tell QA.",
        )
    raise DocumentRefused(
        "wrong_key",
        f"{name} must be signed by {wanted}. The key {strangers[0].key[:16]} is not trusted by this unit. "
        "Do not use it; tell QA.",
    )
