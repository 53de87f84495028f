"""The key of patients' identities: 32 bytes in `keys/identity.key`, open or wrapped by a boot passphrase.

Wrapped, it is worth nothing without the passphrase, which is never on the unit's disk. Open, it
protects against nobody who has the disk, and `doctor` says so (SAFETY 22).
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.access.errors import KeyRefused
from appliance.access.private_files import overwritten_after, read_private, write_private
from appliance.access.secret_hash import Argon2Cost

PASSPHRASE_CHARACTERS_MIN = 12
PASSPHRASE_BYTES_MAX = 1024
PASSPHRASE_FILE = "CELLWRIGHT_BOOT_PASSPHRASE_FILE"
CREDENTIALS_FOLDER = "CREDENTIALS_DIRECTORY"  # set by systemd for LoadCredentialEncrypted=
CREDENTIAL = "cellwright-boot-passphrase"
KEY_BYTES, IV_BYTES, SALT_BYTES = 32, 12, 16
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
# A file that asks for more is an attack on the reader's patience and memory.
PASSES_MAX, MEMORY_KIB_MAX, LANES_MAX = 20, 1024 * 1024, 16
WRAP_DOMAIN = b"cellwright/identity-key/1"


@dataclass(frozen=True, slots=True, repr=False)
class IdentityKey:
    """The opened key; what is used is derived from it, each purpose its own."""

    secret: bytes

    def __post_init__(self) -> None:
        assert len(self.secret) == KEY_BYTES, len(self.secret)

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose, by HMAC-SHA-256."""
        return hmac.digest(self.secret, b"cellwright/identity/1\x00" + purpose.encode(), "sha256")


class Argon2id(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Literal["argon2id"] = "argon2id"
    passes: int
    memory_kib: int
    lanes: int
    salt: bytes


class Wrapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key under a key that only the passphrase makes; AES-256-GCM."""

    kdf: Argon2id
    iv: bytes
    ciphertext: bytes


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in the file: exactly one of both."""

    kind: Literal["cellwright-identity-key"] = "cellwright-identity-key"
    v: Literal[1] = 1
    open: bytes | None = None
    wrapped: Wrapped | None = None


def make_identity_key(path: Path, passphrase: str = "", cost: Argon2Cost | None = None) -> IdentityKey:
    """Make the key, wrapped where a passphrase is given; never overwritten (`KeyRefused`)."""
    key = IdentityKey(os.urandom(KEY_BYTES))
    write_private(path, _written(key, passphrase, cost))
    return key


def rewrap_identity_key(path: Path, old: str, new: str, cost: Argon2Cost | None = None) -> None:
    """Wrap the same key under another passphrase, or lay it open (`new` empty); entries stay readable.

    Raises
    ------
    KeyRefused
        The old passphrase does not open it, or the new one is too short.
    """
    data = _written(open_identity_key(path, old), new, cost)
    with overwritten_after(path):
        write_private(path, data, replace=True)


def is_wrapped(path: Path) -> bool:
    """Whether a passphrase is needed; raises `KeyRefused`."""
    return _read(path).wrapped is not None


def open_identity_key(path: Path, passphrase: str = "") -> IdentityKey:
    """Open the key.

    Raises
    ------
    KeyRefused
        reason `key_unreadable`, `key_exposed`, `key_garbled`, `passphrase_missing`, `wrong_passphrase`.
    """
    file = _read(path)
    if file.wrapped is None:
        assert file.open is not None, "checked when it was read"
        return IdentityKey(file.open)
    if not passphrase:
        raise KeyRefused("passphrase_missing", f"{path} is wrapped. Give the boot passphrase.")
    try:
        cipher = AESGCM(_stretched(passphrase, file.wrapped.kdf))
        return IdentityKey(cipher.decrypt(file.wrapped.iv, file.wrapped.ciphertext, WRAP_DOMAIN))
    except InvalidTag:
        raise KeyRefused(
            "wrong_passphrase", "The passphrase does not open the identity key. Nothing was changed."
        ) from None


def boot_passphrase(environment: Mapping[str, str]) -> str:
    """The passphrase as systemd or the site hands it over, from memory and never from a disk.

    Raises
    ------
    KeyRefused
        A file is named and cannot be read, is too long, or lies on a disk.
    """
    folder, named = environment.get(CREDENTIALS_FOLDER, ""), environment.get(PASSPHRASE_FILE, "")
    path = Path(named) if named else Path(folder) / CREDENTIAL
    if not named and not (folder and path.is_file()):
        return ""
    kept_in = file_system_of(path)
    if kept_in not in MEMORY_FILE_SYSTEMS:
        raise KeyRefused(
            "passphrase_on_disk",
            f"{path} lies on a disk ({kept_in or 'unknown'}): whoever takes the disk has the passphrase. "
            "Put it on a tmpfs, or use systemd-creds.",
        )
    try:
        with path.open("rb") as file:
            text = file.read(PASSPHRASE_BYTES_MAX + 1).decode("utf-8").removesuffix("\n")
    except OSError as error:
        raise KeyRefused("key_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise KeyRefused("key_garbled", f"{path} is not UTF-8 text.") from None
    if len(text.encode()) > PASSPHRASE_BYTES_MAX:
        raise KeyRefused("key_garbled", f"{path} is too long to be a passphrase.")
    return text


def file_system_of(path: Path) -> str:
    """The kind of file system that holds a path, as the kernel names it; empty when it is not told."""
    try:
        number = path.stat().st_dev
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in lines:
        before, _, after = line.partition(" - ")
        if after and before.split()[2] == wanted:
            return after.split()[0]
    return ""


def _read(path: Path) -> KeyFile:
    try:
        file = msgspec.json.decode(read_private(path), type=KeyFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeyRefused("key_garbled", f"{path} is not an identity key. Restore it from backup.") from None
    good = (file.open is None) != (file.wrapped is None)
    if file.open is not None:
        good = good and len(file.open) == KEY_BYTES
    if file.wrapped is not None:
        kdf = file.wrapped.kdf
        small = kdf.passes <= PASSES_MAX and kdf.memory_kib <= MEMORY_KIB_MAX and kdf.lanes <= LANES_MAX
        least = min(kdf.passes, kdf.lanes) >= 1 and kdf.memory_kib >= 8 * kdf.lanes and len(kdf.salt) >= 8
        good = good and small and least and len(file.wrapped.iv) == IV_BYTES
    if not good:
        raise KeyRefused("key_garbled", f"{path} has parameters that are not ours. Restore it from backup.")
    return file


def _written(key: IdentityKey, passphrase: str, cost: Argon2Cost | None) -> bytes:
    if not passphrase:
        return msgspec.json.encode(KeyFile(open=key.secret)) + b"\n"
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN or len(passphrase.encode()) > PASSPHRASE_BYTES_MAX:
        raise KeyRefused(
            "passphrase_short",
            f"The boot passphrase needs at least {PASSPHRASE_CHARACTERS_MIN} characters. Choose another.",
        )
    cost = cost or Argon2Cost()
    salt, iv = os.urandom(SALT_BYTES), os.urandom(IV_BYTES)
    kdf = Argon2id(passes=cost.passes, memory_kib=cost.memory_kib, lanes=cost.lanes, salt=salt)
    ciphertext = AESGCM(_stretched(passphrase, kdf)).encrypt(iv, key.secret, WRAP_DOMAIN)
    return msgspec.json.encode(KeyFile(wrapped=Wrapped(kdf=kdf, iv=iv, ciphertext=ciphertext))) + b"\n"


def _stretched(passphrase: str, kdf: Argon2id) -> bytes:
    # NFC: a passphrase typed on two keyboards is one passphrase.
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return hash_secret_raw(
        typed, kdf.salt, kdf.passes, kdf.memory_kib, kdf.lanes, hash_len=KEY_BYTES, type=Type.ID
    )
