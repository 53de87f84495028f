"""A QP's signing key in a file that only the QP's passphrase opens.

The form is what a browser's WebCrypto can make and open without a library (PBKDF2-HMAC-SHA-256,
AES-256-GCM with the tag at the end, PKCS8 inside), so that the key need never leave the QP's machine.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from appliance.access.errors import KeyRefused

PASSPHRASE_CHARACTERS_MIN = 12
# OWASP's figure for PBKDF2-HMAC-SHA-256 (2023).
ITERATIONS = 600_000
# A file that asks for more is an attack on the reader's patience.
ITERATIONS_MAX = 10_000_000
_SALT_BYTES, _IV_BYTES = 16, 12


class Pbkdf2(msgspec.Struct, frozen=True, kw_only=True):
    name: Literal["PBKDF2"] = "PBKDF2"
    hash: Literal["SHA-256"] = "SHA-256"
    iterations: int
    salt: bytes


class AesGcm(msgspec.Struct, frozen=True, kw_only=True):
    name: Literal["AES-GCM"] = "AES-GCM"
    iv: bytes


class QpKeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the file; bytes travel as base64."""

    kind: Literal["cellwright-qp-key"] = "cellwright-qp-key"
    v: Literal[1] = 1
    person: str
    public_key: bytes
    kdf: Pbkdf2
    cipher: AesGcm
    ciphertext: bytes


def make_qp_key(person: str, passphrase: str) -> tuple[QpKeyFile, Ed25519PrivateKey]:
    """A fresh key for a QP, locked by the passphrase.

    Raises
    ------
    KeyRefused
        The passphrase has fewer than 12 characters.
    """
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise KeyRefused(
            "passphrase_short",
            f"The passphrase needs at least {PASSPHRASE_CHARACTERS_MIN} characters. Choose a longer one.",
        )
    key = Ed25519PrivateKey.generate()
    inside = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    kdf = Pbkdf2(iterations=ITERATIONS, salt=os.urandom(_SALT_BYTES))
    cipher = AesGcm(iv=os.urandom(_IV_BYTES))
    file = QpKeyFile(
        person=person,
        public_key=key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        kdf=kdf,
        cipher=cipher,
        ciphertext=AESGCM(_stretched(passphrase, kdf)).encrypt(cipher.iv, inside, None),
    )
    return file, key


def unlock_qp_key(file: QpKeyFile | Path, passphrase: str) -> Ed25519PrivateKey:
    """Open the key with its passphrase.

    Raises
    ------
    KeyRefused
        reason `wrong_passphrase` (or a damaged file: the cipher cannot tell which), `key_garbled`.
    """
    what = read_qp_key_file(file) if isinstance(file, Path) else file
    if not ITERATIONS <= what.kdf.iterations <= ITERATIONS_MAX or len(what.cipher.iv) != _IV_BYTES:
        raise KeyRefused("key_garbled", "This QP key file has parameters that are not ours. Make a new key.")
    try:
        inside = AESGCM(_stretched(passphrase, what.kdf)).decrypt(what.cipher.iv, what.ciphertext, None)
        key = load_der_private_key(inside, password=None)
    except (InvalidTag, ValueError) as error:
        raise KeyRefused(
            "wrong_passphrase", "The passphrase does not open this key. Type it again; nothing was signed."
        ) from error
    if (
        not isinstance(key, Ed25519PrivateKey)
        or key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != what.public_key
    ):
        raise KeyRefused(
            "key_garbled", "The public key in this QP key file is not that of the key inside. Tell QA."
        )
    return key


def read_qp_key_file(path: Path) -> QpKeyFile:
    """Read the file without opening the key; raises `KeyRefused` when it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=QpKeyFile)
    except OSError as error:
        raise KeyRefused("key_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeyRefused("key_garbled", f"{path} is not a QP key file: {error}.") from error


def _stretched(passphrase: str, kdf: Pbkdf2) -> bytes:
    # NFC, as the page does before TextEncoder: one passphrase typed on two keyboards is one passphrase.
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    return PBKDF2HMAC(algorithm=SHA256(), length=32, salt=kdf.salt, iterations=kdf.iterations).derive(typed)
