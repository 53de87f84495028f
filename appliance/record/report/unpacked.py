"""The outer shell of telemetry chunks: when they begin, and the table that names their channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from appliance.record.canonical import StoredRecord, decode_payload
from appliance.record.errors import RecordRefused
from appliance.record.measurements import PAYLOAD_VERSION
from appliance.record.series import BitReader
from appliance.record.telemetry_chunk import Table, read_table

LONGEST_HEAD_BYTES = 40  # the four numbers before the channels take fewer
ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_NO_DIGIT = 255
_DIGITS = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[np.frombuffer(ALPHABET, np.uint8)] = np.arange(85)


@dataclass(frozen=True, slots=True)
class Packed:
    """A chunk whose channels are still packed; they begin at bit `at`."""

    raw: bytes
    at: int
    start_ms: int
    tick_ms: int
    span: int
    table: Table

    @property
    def kin(self) -> tuple[object, ...]:
        """What chunks must have in common to be read together."""
        return self.tick_ms, self.span, tuple(row.names for row in self.table)


class Shells:
    """Opens the shells of chunks; chunks of an older version have none."""

    def __init__(self, table_record: Callable[[int], StoredRecord | None]) -> None:
        self._table_record = table_record
        self._tables: dict[int, Table] = {}

    def packed(self, page: Sequence[StoredRecord]) -> list[Packed | None]:
        """The shell of each chunk; None where it is of an older version, or its table is not there."""
        texts = [_text_of(stored) for stored in page]
        decoded = iter(_decoded([text for text in texts if text is not None]))
        return [
            None if text is None else self._shell(stored.seq, next(decoded))
            for stored, text in zip(page, texts, strict=True)
        ]

    def _shell(self, seq: int, raw: bytes) -> Packed | None:
        reader = BitReader(raw[:LONGEST_HEAD_BYTES])
        start_ms, tick_ms, span, table_seq = (reader.number() for _ in range(4))
        if not table_seq:
            reader = BitReader.within(raw, reader.at)
            self._tables[seq] = read_table(reader)
        elif table_seq not in self._tables:
            named = self._table_record(table_seq)
            if named is None or self.packed([named]) == [None]:
                return None
        table = self._tables.get(table_seq or seq)
        return None if table is None else Packed(raw, reader.at, start_ms, tick_ms, span, table)


def _text_of(stored: StoredRecord) -> str | None:
    if stored.header.payload_version != PAYLOAD_VERSION:
        return None
    text = decode_payload(stored.payload).body.get("chunk")
    return text if isinstance(text, str) and text else None


def _decoded(texts: Sequence[str]) -> list[bytes]:
    """`base64.b85decode` of many texts in one step."""
    whole = [text + "~" * (-len(text) % 5) for text in texts]
    digits = _DIGITS[np.frombuffer("".join(whole).encode("latin-1", "replace"), np.uint8)]
    groups = digits.reshape(-1, 5).astype(np.int64) @ (85 ** np.arange(4, -1, -1))
    if (digits == _NO_DIGIT).any() or (groups >> 32).any():
        raise RecordRefused("A telemetry chunk is not written in base 85.")
    raw = groups.astype(">u4").tobytes()
    found, at = [], 0
    for text, padded in zip(texts, whole, strict=True):
        size = len(padded) // 5 * 4
        found.append(raw[at : at + size - (len(padded) - len(text))])
        at += size
    return found
