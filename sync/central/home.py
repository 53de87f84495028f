"""Central's folder: settings, keys, database and files.

central.json            what this central is: site, simulated or not, roots of trust
central.db              the store (SQLite)
blobs/                  files by SHA-256; blobs/partial/ what is still arriving
keys/central.key        signs acknowledgements, orders, stops, notices; never a decision, a recipe or people
keys/password.secret    keys the password hashes of central's accounts
tls/ca.crt ca.key       the site's own certificate authority
tls/server.crt .key     what units and browsers see
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.access.certificates import CertifiedKey, issue_server_certificate, make_site_ca
from appliance.access.keys import fingerprint, load_key, make_key, make_pin_secret
from appliance.access.private_files import read_private, write_whole
from sync.central.store_sqlite import SqliteStore


class CentralUnusable(Exception):
    """Central's folder cannot be used as asked; the words say what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided when this central was made."""

    site: str
    simulated: bool
    hosts: tuple[str, ...]
    root: tuple[str, ...] = ()  # fingerprints of the offline root keys


@dataclass(frozen=True, slots=True)
class CentralHome:
    """Where central keeps everything: one folder."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "central.json"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def partial(self) -> Path:
        return self.root / "blobs" / "partial"

    @property
    def ca_certificate(self) -> Path:
        return self.root / "tls" / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        return self.root / "tls" / "server.crt"

    @property
    def server_key(self) -> Path:
        return self.root / "tls" / "server.key"

    @property
    def key_file(self) -> Path:
        return self.root / "keys" / "central.key"

    @property
    def password_secret(self) -> Path:
        return self.root / "keys" / "password.secret"

    def create(self, *, site: str, hosts: Sequence[str], simulated: bool) -> Settings:
        """Make a new central; an existing one is never overwritten."""
        if self.settings_file.exists():
            raise CentralUnusable(f"{self.root} is a central already. Choose an empty folder.")
        now = datetime.now(UTC)
        self.partial.mkdir(parents=True, exist_ok=True)
        authority = make_site_ca(site, now=now)
        authority.save(self.ca_certificate, self.root / "tls" / "ca.key")
        server = issue_server_certificate(authority, hosts, now=now)
        server.save(self.server_certificate, self.server_key)
        make_key(self.key_file)
        make_pin_secret(self.password_secret)
        SqliteStore(self.root / "central.db").close()
        settings = Settings(site=site, simulated=simulated, hosts=tuple(hosts))
        self.save_settings(settings)
        return settings

    def settings(self) -> Settings:
        """What this central is; raises `CentralUnusable` when the folder is none."""
        try:
            return msgspec.json.decode(self.settings_file.read_bytes(), type=Settings)
        except FileNotFoundError:
            raise CentralUnusable(
                f"{self.root} is not a central's folder. Make one with `cellwright central init`."
            ) from None
        except (OSError, msgspec.DecodeError) as problem:
            raise CentralUnusable(f"{self.settings_file} cannot be read: {problem}.") from None

    def save_settings(self, settings: Settings) -> None:
        write_whole(self.settings_file, msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")

    def store(self) -> SqliteStore:
        return SqliteStore(self.root / "central.db")

    def signing_key(self) -> Ed25519PrivateKey:
        return load_key(self.key_file)

    def fingerprint(self) -> str:
        return fingerprint(self.signing_key())

    def authority(self) -> CertifiedKey:
        """The site's certificate authority."""
        certificate = x509.load_pem_x509_certificate(self.ca_certificate.read_bytes())
        key = load_pem_private_key(read_private(self.root / "tls" / "ca.key"), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return CertifiedKey(certificate, key)
