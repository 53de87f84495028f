"""HTTPS to central with the unit's client certificate: one request, one answer, a deadline on each."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import zstandard

from sync.envelope import DIGEST_HEADER, digest_of

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
PART_BYTES = 256 * 1024
COMPRESSION_LEVEL = 3

T = TypeVar("T")
_thread = threading.local()


class CentralAway(Exception):
    """Central cannot be reached, or did not answer; waiting and trying again is all there is to do."""


class CentralRefused(Exception):
    """Central answered no; `reason` is central's stable key."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        self.status, self.answer = status, answer
        self.reason = str(answer.get("reason", ""))
        super().__init__(str(answer.get("words") or f"Central answered {status} without a reason."))

    def number(self, name: str) -> int:
        """A whole number of the answer; 0 when it is not there."""
        value = self.answer.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """Central's acknowledgement as it came; nothing about it is believed yet."""

    ack: bytes
    signature: bytes


class _AckAnswer(msgspec.Struct):
    ack: bytes
    signature: bytes


class _Head(msgspec.Struct):
    log: str
    epoch: str
    seq: int
    hash: str


class _Heads(msgspec.Struct):
    heads: list[_Head]


class _Document(msgspec.Struct):
    cursor: int
    envelope: dict[str, Any]


class _Documents(msgspec.Struct):
    documents: list[_Document]


def unit_client(url: str, *, certificate: Path, key: Path, authority: Path) -> httpx.Client:
    """A client that trusts central's authority alone and proves itself with the unit's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(str(authority))
    context.load_cert_chain(str(certificate), str(key))
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    # trust_env off: a proxy variable in the environment must not lead a unit's record elsewhere.
    return httpx.Client(base_url=url, verify=context, timeout=timeout, trust_env=False)


class Central:
    """What the agent asks of central.

    Every method raises `CentralAway` when there is no answer and `CentralRefused` when it is no.
    """

    def __init__(self, client: httpx.Client, unit_id: str) -> None:
        self._client = client
        self._unit = unit_id

    def close(self) -> None:
        self._client.close()

    def heads(self) -> dict[tuple[str, str], tuple[int, str]]:
        """How far central holds each log: (log, epoch) → (number, hash)."""
        answer = self._ask("GET", f"/v1/units/{self._unit}/heads")
        return {(h.log, h.epoch): (h.seq, h.hash) for h in _decode(answer, _Heads).heads}

    def put_segment(self, log: str, epoch: str, first_seq: int, body: bytes) -> SignedAnswer:
        """Send one packed segment."""
        headers = {
            "Content-Encoding": "zstd",
            "Content-Type": "application/vnd.cellwright.segment",
            DIGEST_HEADER: digest_of(body),
        }
        path = f"/v1/units/{self._unit}/logs/{log}/{epoch}/segments/{first_seq}"
        answer = self._ask("PUT", path, content=compressed(body), headers=headers)
        found = _decode(answer, _AckAnswer)
        return SignedAnswer(found.ack, found.signature)

    def put_blob(self, sha256: str, data: bytes, media_type: str) -> None:
        """Send a file, going on where an earlier try ended."""
        path = f"/v1/blobs/{sha256}"
        state = self._ask("HEAD", path)
        if state.headers.get("Upload-Complete") == "?1":
            return
        offset = _offset(state)
        if offset >= len(data):
            offset = 0
        while True:
            part = data[offset : offset + PART_BYTES]
            headers = {
                "Content-Type": media_type,
                "Upload-Offset": str(offset),
                "Upload-Length": str(len(data)),
            }
            answer = self._ask("PATCH", path, content=part, headers=headers)
            offset += len(part)
            if answer.headers.get("Upload-Complete") == "?1":
                return
            if offset >= len(data):
                raise CentralAway("Central took the whole file and did not say that it is complete.")

    def down(self, after: int) -> list[tuple[int, dict[str, Any]]]:
        """Signed documents for this unit after a cursor: (cursor, envelope)."""
        answer = self._ask("GET", f"/v1/units/{self._unit}/down", params={"after": str(after)})
        return [(d.cursor, d.envelope) for d in _decode(answer, _Documents).documents]

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as problem:
            raise CentralAway(f"Central does not answer: {problem or type(problem).__name__}.") from None
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise CentralAway(f"Central is in trouble: it answered {answer.status_code}.")
        if answer.status_code >= 300:
            raise CentralRefused(answer.status_code, _answer_of(answer))
        return answer


def compressed(body: bytes) -> bytes:
    """The body as one zstd frame, read back before it is used.

    One compressor a thread: shared ones have written corrupt frames.
    """
    if not hasattr(_thread, "compressor"):
        _thread.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
        _thread.decompressor = zstandard.ZstdDecompressor()
    frame: bytes = _thread.compressor.compress(body)
    assert _thread.decompressor.decompress(frame) == body
    return frame


def _decode(answer: httpx.Response, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise CentralAway(f"Central's answer cannot be read: {problem}.") from None


def _answer_of(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _offset(answer: httpx.Response) -> int:
    text = answer.headers.get("Upload-Offset", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
