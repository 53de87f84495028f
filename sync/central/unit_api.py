"""What units may ask, over mutual TLS: `/v1/…`.

Who sends is known from the client certificate and looked up at each request, so that a revoked
unit is refused at once. Every limit is checked before anything is decompressed or parsed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.record.errors import RecordRefused
from sync.acks import utc_text
from sync.central.blob_store import PART_BYTES_MAX, BlobRefused, BlobStore
from sync.central.intake import EPOCH, LOGS, ForkFound, GapFound, IntakeRefused, Place, take_segment
from sync.central.store import BlobName, Store, Unit
from sync.central.tls_protocol import client_certificate
from sync.envelope import (
    BODY_BYTES_MAX,
    DIGEST_HEADER,
    EnvelopeTooLarge,
    EnvelopeUnreadable,
    digest_matches,
    unpack,
)

COMPRESSED_BYTES_MAX = BODY_BYTES_MAX + 1024
WINDOW_BYTES_MAX = 8 * 1024 * 1024
BODY_TIMEOUT_S = 60.0
DOWN_DOCUMENTS_MAX = 20
MEDIA_TYPES = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/tiff",
        "application/json",
        "application/toml",
        "text/plain",
    }
)


class Refused(Exception):
    """An answer other than 200: status, stable key, words."""

    def __init__(self, status: int, reason: str, words: str, **more: Any) -> None:
        self.status, self.reason, self.more = status, reason, more
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class UnitApi:
    """The handlers; `store` and `blobs` are called in worker threads, never in the event loop."""

    store: Store
    blobs: BlobStore
    key: Ed25519PrivateKey
    simulated: bool

    def application(self) -> Starlette:
        segment = "/v1/units/{unit}/logs/{log}/{epoch}/segments/{first_seq:int}"
        return Starlette(
            routes=[
                Route(segment, _answered(self.put_segment), methods=["PUT"]),
                Route("/v1/units/{unit}/heads", _answered(self.heads), methods=["GET"]),
                Route("/v1/units/{unit}/down", _answered(self.down), methods=["GET"]),
                Route("/v1/blobs/{sha256}", _answered(self.head_blob), methods=["HEAD"]),
                Route("/v1/blobs/{sha256}", _answered(self.put_blob), methods=["PUT", "PATCH"]),
            ]
        )

    async def put_segment(self, request: Request) -> Response:
        unit = await run_in_threadpool(self._authorise, request)
        place = Place(unit.unit_id, request.path_params["log"], request.path_params["epoch"])
        if place.log not in LOGS or not EPOCH.fullmatch(place.epoch):
            raise Refused(404, "place", "There is no such log.")
        raw = await _body(request, COMPRESSED_BYTES_MAX)
        first_seq = request.path_params["first_seq"]
        return await run_in_threadpool(self._take, unit, place, raw, first_seq, request.headers)

    def _take(self, unit: Unit, place: Place, raw: bytes, first_seq: int, headers: Any) -> Response:
        body = _decompressed(raw, headers.get("content-encoding", ""))
        if not digest_matches(headers.get(DIGEST_HEADER, ""), body):
            raise Refused(400, "digest", "The body is not what its digest names. Send it again.")
        try:
            envelope = unpack(body)
            if f'"first":{first_seq},'.encode() not in envelope.header:
                raise Refused(400, "place", "The segment does not begin at the number in its address.")
            ack = take_segment(self.store, self.key, unit, place, envelope, received_at=_now())
        except EnvelopeTooLarge as problem:
            raise Refused(413, "too_large", str(problem)) from None
        except EnvelopeUnreadable as problem:
            raise Refused(400, "unreadable", str(problem)) from None
        except GapFound as gap:
            raise Refused(409, "gap", str(gap), wanted_seq=gap.wanted_seq) from None
        except ForkFound as fork:
            raise Refused(409, "fork", str(fork), seq=fork.seq) from None
        except IntakeRefused as problem:
            raise Refused(503 if problem.reason == "busy" else 422, problem.reason, str(problem)) from None
        return _json({"ack": ack.ack, "signature": ack.signature, "acked_seq": ack.acked_seq})

    async def heads(self, request: Request) -> Response:
        unit = await run_in_threadpool(self._authorise, request)
        heads = await run_in_threadpool(self.store.heads, unit.unit_id)
        found = [{"log": h.log, "epoch": h.epoch, "seq": h.seq, "hash": h.hash.hex()} for h in heads]
        return _json({"heads": found})

    async def down(self, request: Request) -> Response:
        unit = await run_in_threadpool(self._authorise, request)
        text = request.query_params.get("after", "0")
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise Refused(400, "cursor", "The cursor is a whole number.")
        rows = await run_in_threadpool(self.store.down_after, unit.unit_id, int(text), DOWN_DOCUMENTS_MAX)
        documents = [{"cursor": row.cursor, "envelope": msgspec.Raw(row.envelope)} for row in rows]
        return _json({"documents": documents})

    async def head_blob(self, request: Request) -> Response:
        unit = await run_in_threadpool(self._authorise, request)
        sha256 = request.path_params["sha256"]
        blob = await run_in_threadpool(self._named, unit, sha256)
        if blob.verified:
            return Response(status_code=200, headers={"Upload-Complete": "?1"})
        here = await run_in_threadpool(self.blobs.offset, unit.unit_id, sha256)
        return Response(status_code=204, headers={"Upload-Complete": "?0", "Upload-Offset": str(here)})

    async def put_blob(self, request: Request) -> Response:
        """A whole small file (PUT), or a part at `Upload-Offset` of `Upload-Length` bytes (PATCH)."""
        unit = await run_in_threadpool(self._authorise, request)
        sha256 = request.path_params["sha256"]
        blob = await run_in_threadpool(self._named, unit, sha256)
        if blob.verified:
            return Response(status_code=200, headers={"Upload-Complete": "?1"})
        data = await _body(request, PART_BYTES_MAX)
        offset, length = 0, len(data)
        if request.method == "PATCH":
            offset, length = _number(request, "Upload-Offset"), _number(request, "Upload-Length")
        media_type = request.headers.get("content-type", "")
        return await run_in_threadpool(self._store_part, blob, offset, length, data, media_type)

    def _store_part(self, blob: BlobName, offset: int, length: int, data: bytes, media_type: str) -> Response:
        try:
            done = self.blobs.add_part(blob.unit_id, blob.sha256, offset=offset, length=length, data=data)
        except BlobRefused as problem:
            status = {"offset": 409, "too_large": 413}.get(problem.reason, 422)
            raise Refused(status, problem.reason, str(problem), offset=problem.offset) from None
        if done:
            kept = media_type if media_type in MEDIA_TYPES else "application/octet-stream"
            self.store.verify_blob(blob.unit_id, blob.sha256, size_bytes=length, media_type=kept)
            return Response(status_code=201, headers={"Upload-Complete": "?1"})
        here = str(offset + len(data))
        return Response(status_code=204, headers={"Upload-Complete": "?0", "Upload-Offset": here})

    def _named(self, unit: Unit, sha256: str) -> BlobName:
        try:
            self.blobs.path(sha256)
        except RecordRefused as problem:
            raise Refused(400, "name", str(problem)) from None
        blob = self.store.blob(unit.unit_id, sha256)
        if blob is None:
            # A hash is not a permission: only a file that an event of this unit names has a place.
            raise Refused(404, "unnamed", "No event of this unit names this file. Send the events first.")
        return blob

    def _authorise(self, request: Request) -> Unit:
        der = client_certificate(request.scope)  # type: ignore[arg-type]
        known = self.store.certificate(hashlib.sha256(der).hexdigest()) if der else None
        unit = self.store.unit(known.unit_id) if known else None
        if known is None or unit is None:
            raise Refused(403, "unknown", "This certificate belongs to no enrolled unit. Enrol the unit.")
        if known.status != "active" or unit.status != "active":
            raise Refused(403, "revoked", "This unit or its certificate was revoked. Call QA.")
        if request.path_params.get("unit", unit.unit_id) != unit.unit_id:
            raise Refused(403, "other_unit", "This certificate belongs to another unit than the address.")
        if unit.simulated and not self.simulated:
            raise Refused(403, "simulated", "This central takes no simulated units.")
        return unit


def _answered(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            more = {"reason": refused.reason, "words": str(refused), **refused.more}
            return _json(more, status=refused.status)
        except ClientDisconnect:
            return Response(status_code=400)

    return answer


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than `limit` bytes and no longer than `BODY_TIMEOUT_S`."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise Refused(413, "too_large", f"At most {limit} bytes are taken at once.")
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused(413, "too_large", f"At most {limit} bytes are taken at once.")
                parts.append(part)
    except TimeoutError:
        raise Refused(408, "slow", f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    return b"".join(parts)


def _decompressed(raw: bytes, encoding: str) -> bytes:
    if encoding not in ("", "identity", "zstd"):
        raise Refused(415, "encoding", "Bodies are compressed with zstd or not at all.")
    if encoding != "zstd":
        return raw
    # One decompressor a call: shared between threads they corrupt frames. Read as a stream: asked for
    # a whole frame, the library would allocate whatever size the frame claims.
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    try:
        with decompressor.stream_reader(raw) as reader:
            body = reader.read(BODY_BYTES_MAX + 1)
    except zstandard.ZstdError as problem:
        raise Refused(400, "compression", f"The body cannot be decompressed: {problem}.") from None
    if len(body) > BODY_BYTES_MAX:
        raise Refused(413, "too_large", f"At most {BODY_BYTES_MAX} bytes are taken after decompression.")
    return body


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refused(400, "offset", f"The header {name} must be a whole number.")
    return int(text)


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _now() -> str:
    return utc_text(datetime.now(UTC))
