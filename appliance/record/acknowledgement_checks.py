"""Central's acknowledgements held against the record that they are about."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

from appliance.record import acknowledgements
from appliance.record.canonical import read_json
from appliance.record.checks import Finding, Run, Trust
from appliance.record.errors import RecordRefused
from appliance.record.segments import fingerprint, signed_by

ACK_DOMAIN = b"cellwright/ack/1\x00"


def check_acks(
    run: Run,
    acks: Iterable[tuple[int, bytes, bytes]],
    trust: Trust | None,
    kind_at: Callable[[int], str],
) -> tuple[list[Finding], list[str]]:
    """The first acknowledgement that does not fit the record, and the first that nobody trusted signed.

    `acks`: number acknowledged, exact bytes, signature.
    """
    findings: list[Finding] = []
    distrusted: list[str] = []
    for acked_seq, ack, signature in acks:
        held, said = run.hash_at(acked_seq), acknowledgements.acked_hash(ack)
        if acked_seq > run.last:
            words = f"central acknowledged events up to {acked_seq}; the record ends at {run.last}."
            findings.append(Finding(words, run.log, run.last + 1, "missing"))
        elif said and held is not None and held.hex() != said:
            words = "central acknowledged another event under this number."
            findings.append(Finding(words, run.log, acked_seq, kind_at(acked_seq)))
        elif not distrusted:
            key, holds = _signer(ack, signature)
            if key and not holds:
                words = "the signature of central's acknowledgement of it does not hold."
                findings.append(Finding(words, run.log, acked_seq, kind_at(acked_seq)))
            elif trust is not None and trust.judges("central") and not trust.knows("central", key):
                distrusted.append(f"central's acknowledgement of {run.log} event {acked_seq}")
    return findings[:1], distrusted


def check_second_place(
    run: Run, acks: Iterable[tuple[int, bytes, bytes]], kept: tuple[int, bytes] | None
) -> list[Finding]:
    """The acknowledgement kept beside the record was written after the record's own: it must be there too."""
    if kept is None or any(ack == kept[1] for _, ack, _ in acks):
        return []
    acked_seq = kept[0]
    if acked_seq > run.last:
        words = f"central acknowledged events up to {acked_seq}; the record ends at {run.last}."
        return [Finding(words, run.log, run.last + 1, "missing")]
    words = f"central's acknowledgement of event {acked_seq}, kept beside it, is not in the record."
    return [Finding(words, run.log, run.last + 1, "missing")]


def _signer(ack: bytes, signature: bytes) -> tuple[str, bool]:
    """Whose key the acknowledgement names, empty when none, and whether that key signed it."""
    try:
        public_key = base64.b64decode(read_json(ack)["public_key"], validate=True)
    except (RecordRefused, KeyError, TypeError, ValueError):
        return "", False
    return fingerprint(public_key), signed_by(public_key, ACK_DOMAIN + ack, signature)
