"""Keys of the unit and of the people who sign, and the fingerprints that are trusted.

A unit's home holds `keys/unit.key` (Ed25519, PKCS8 PEM, owner's alone), `keys/pin.secret`
(32 random bytes that key the PIN hashes) and `trust.json`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.access.certificates import (
    CertifiedKey,
    issue_server_certificate,
    issue_unit_certificate,
    make_site_ca,
    unit_of_certificate,
)
from appliance.access.documents import fingerprint, raw_public_key
from appliance.access.errors import KeyRefused
from appliance.access.private_files import read_private, write_private, write_whole
from appliance.access.qp_key import QpKeyFile, make_qp_key, read_qp_key_file, unlock_qp_key

PIN_SECRET_BYTES = 32
TrustKind = Literal["root", "unit", "central", "qp"]

__all__ = [
    "CertifiedKey",
    "KeyRefused",
    "QpKeyFile",
    "Trust",
    "fingerprint",
    "issue_server_certificate",
    "issue_unit_certificate",
    "load_key",
    "load_pin_secret",
    "make_key",
    "make_pin_secret",
    "make_qp_key",
    "make_site_ca",
    "raw_public_key",
    "read_public_key",
    "read_qp_key_file",
    "save_key",
    "save_qp_key",
    "unit_of_certificate",
    "unlock_qp_key",
]


def make_key(path: Path) -> Ed25519PrivateKey:
    """Make an Ed25519 key and write it; an existing key is never overwritten (`KeyRefused`)."""
    key = Ed25519PrivateKey.generate()
    save_key(key, path)
    return key


def save_key(key: Ed25519PrivateKey, path: Path) -> None:
    """Write a private key as PKCS8 PEM, readable by its owner alone."""
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key; one that others could read is refused.

    Raises
    ------
    KeyRefused
        reason `key_unreadable`, `key_exposed`, `key_garbled`.
    """
    data = read_private(path)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused("key_garbled", f"{path} is not a private key in PEM form.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused("key_garbled", f"{path} is not an Ed25519 key. Make one with `cellwright keys`.")
    return key


def read_public_key(path: Path) -> bytes:
    """The raw public key in a file: a QP key file, a public PEM, or a private PEM."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyRefused("key_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if data.lstrip().startswith(b"{"):
        return read_qp_key_file(path).public_key
    if b"PRIVATE KEY" in data:
        return raw_public_key(load_key(path))
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused("key_garbled", f"{path} holds no public key.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRefused("key_garbled", f"{path} is not an Ed25519 key.")
    return raw_public_key(key)


def save_qp_key(file: QpKeyFile, path: Path) -> None:
    """Write a QP's locked key; an existing one is never overwritten (`KeyRefused`)."""
    write_private(path, msgspec.json.encode(file) + b"\n")


def make_pin_secret(path: Path) -> bytes:
    """Make the unit's own secret under the PIN hashes; never overwritten (`KeyRefused`)."""
    secret = os.urandom(PIN_SECRET_BYTES)
    write_private(path, secret)
    return secret


def load_pin_secret(path: Path) -> bytes:
    """Read the unit's PIN secret; raises `KeyRefused` when exposed or not 32 bytes."""
    secret = read_private(path)
    if len(secret) != PIN_SECRET_BYTES:
        raise KeyRefused("key_garbled", f"{path} must hold {PIN_SECRET_BYTES} bytes; restore it from backup.")
    return secret


class Trust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fingerprints somebody decided to trust, by what they may vouch for."""

    root: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    central: tuple[str, ...] = ()
    qp: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read `trust.json`; raises `KeyRefused` when it is missing or holds no fingerprints."""
        try:
            trust = msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise KeyRefused("trust_unreadable", f"{path} cannot be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyRefused("trust_garbled", f"{path} is not a list of fingerprints: {error}.") from error
        for one in (*trust.root, *trust.unit, *trust.central, *trust.qp):
            _refuse_no_fingerprint(one)
        return trust

    def save(self, path: Path) -> None:
        """Write `trust.json`, whole or not at all."""
        write_whole(path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def with_key(self, kind: TrustKind, one: str) -> Self:
        """The same trust and one fingerprint more; one that is there already changes nothing."""
        _refuse_no_fingerprint(one)
        present: tuple[str, ...] = getattr(self, kind)
        if one in present:
            return self
        return msgspec.structs.replace(self, **{kind: (*present, one)})

    def owner_of(self, one: str) -> TrustKind | None:
        """What a fingerprint is trusted for, or None."""
        kinds: tuple[TrustKind, ...] = ("root", "unit", "central", "qp")
        return next((kind for kind in kinds if one in getattr(self, kind)), None)


def _refuse_no_fingerprint(one: str) -> None:
    if len(one) != 64 or set(one) - set("0123456789abcdef"):
        raise KeyRefused("trust_garbled", f"{one[:80]!r} is not a fingerprint: 64 small hex digits.")
