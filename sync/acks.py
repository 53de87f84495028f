"""Central's signed word on how far it holds a log without a gap.

The unit keeps each one: it is the proof against a central that forgets.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.record.canonical import canonical_json, wall_us
from appliance.record.segments import fingerprint, public_bytes, signed_by
from sync.envelope import ACK_DOMAIN


class AckRefused(ValueError):
    """An acknowledgement is not by a trusted central, or not about this log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What an acknowledgement says."""

    unit: str
    log: str
    epoch: str
    acked_seq: int
    acked_hash: str
    server_time: str
    down_cursor: int


class _Ack(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    unit: str
    log: str
    epoch: str
    acked_seq: int
    acked_hash: str
    server_time: str
    server_time_us: int
    down_cursor: int
    public_key: bytes


def sign_ack(ack: Ack, key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """The acknowledgement's exact bytes and central's signature over them."""
    content = canonical_json(
        {
            "v": 1,
            "unit": ack.unit,
            "log": ack.log,
            "epoch": ack.epoch,
            "acked_seq": ack.acked_seq,
            "acked_hash": ack.acked_hash,
            "server_time": ack.server_time,
            "server_time_us": wall_us(datetime.fromisoformat(ack.server_time)),
            "down_cursor": ack.down_cursor,
            "public_key": msgspec.to_builtins(public_bytes(key)),
        }
    )
    return content, key.sign(ACK_DOMAIN + content)


def read_ack(content: bytes, signature: bytes, *, trusted: Collection[str]) -> Ack:
    """Check an acknowledgement and read it.

    Parameters
    ----------
    trusted
        Fingerprints of central's keys, from the unit's own `trust.json`.

    Raises
    ------
    AckRefused
        It is damaged, or signed by a key that is not trusted.
    """
    try:
        said = msgspec.json.decode(content, type=_Ack)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise AckRefused(f"Central's acknowledgement cannot be read: {problem}.") from None
    if len(said.public_key) != 32 or fingerprint(said.public_key) not in trusted:
        raise AckRefused(
            "The acknowledgement is signed by a key that trust.json does not name as central's. "
            "Check that the unit talks to its own central."
        )
    if not signed_by(said.public_key, ACK_DOMAIN + content, signature):
        raise AckRefused("The signature under central's acknowledgement does not hold.")
    return Ack(
        unit=said.unit,
        log=said.log,
        epoch=said.epoch,
        acked_seq=said.acked_seq,
        acked_hash=said.acked_hash,
        server_time=said.server_time,
        down_cursor=said.down_cursor,
    )


def utc_text(moment: datetime) -> str:
    """A moment as central writes it: UTC, RFC 3339, microseconds."""
    assert moment.utcoffset() is not None, moment
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
