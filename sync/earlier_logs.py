"""Send what central never got of the logs before a restore, ahead of the log that goes on.

An earlier log is read-only at the unit: what central acknowledges of it is looked up anew in central's
heads at each start of the agent, and is kept nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from appliance.domain.blob_names import named_blobs
from appliance.record.canonical import decode_payload
from appliance.record.epochs import earlier_epochs
from appliance.record.errors import BlobMissing, RecordRefused
from appliance.record.log import Record
from sync.acks import AckRefused, read_ack
from sync.envelope import pack
from sync.outbox import LOGS
from sync.transport import Central, CentralAway, CentralRefused

# These say that central does not want it; any other refusal is told and tried again.
FINAL = (409, 413, 422)

_log = logging.getLogger("cellwright.sync")


def send_earlier(
    folder: Path, central: Central, *, trusted: Collection[str], done: Collection[str]
) -> list[str]:
    """Bring the earlier logs of the record in `folder` to central; returns the epochs that are all there.

    Parameters
    ----------
    done
        Epochs whose files were brought before: these are not asked for again.

    Raises
    ------
    CentralAway, CentralRefused
        Nothing is lost; try again later.
    """
    paths = earlier_epochs(folder)
    if not paths:
        return []
    heads = central.heads()
    finished = []
    for path in paths:
        with Record.open_readonly(path) as record:
            epoch = record.head().epoch.hex()
            sent = [_send_log(record, log, epoch, heads, central, trusted) for log in LOGS]
            if epoch not in done or any(sent):
                _send_files(record, central)
            finished.append(epoch)
    return finished


def _send_log(
    record: Record,
    log: str,
    epoch: str,
    heads: Mapping[tuple[str, str], tuple[int, str]],
    central: Central,
    trusted: Collection[str],
) -> bool:
    """Send one log's signed runs from where central is; whether anything was sent."""
    held, held_hash = heads.get((log, epoch), (0, ""))
    if held >= record.head(log).seq:
        return False  # central holds it all, or more: what the copy that was put back lacks
    if held and next(record.read(held, held, log=log)).hash.hex() != held_hash:
        _log.error("Central holds another event %d of the earlier log %s than this unit. Call QA.", held, log)
        return False
    sent = False
    for segment in record.segments(held + 1, log=log):
        records = [stored.data for stored in record.read(segment.first, segment.last, log=log)]
        body = pack(segment.header, segment.signature, records)
        try:
            answer = central.put_segment(log, epoch, segment.first, body)
        except CentralRefused as refused:
            if refused.status not in FINAL:
                raise
            _log.error("Central does not take the earlier log %s: %s", log, refused)
            return sent
        _check(record, log, epoch, segment.last, answer.ack, answer.signature, trusted)
        sent = True
    return sent


def _check(
    record: Record, log: str, epoch: str, last: int, ack: bytes, signature: bytes, trusted: Collection[str]
) -> None:
    try:
        said = read_ack(ack, signature, trusted=trusted)
    except AckRefused as problem:
        raise CentralAway(str(problem)) from None
    stored = next(iter(record.read(said.acked_seq, said.acked_seq, log=log)), None)
    if (said.unit, said.log, said.epoch) != (record.unit_id, log, epoch) or said.acked_seq < last:
        raise CentralAway("Central acknowledged another run than it was sent. Tell QA.")
    if stored is None or stored.hash.hex() != said.acked_hash:
        raise CentralAway(f"Central's hash of {log} {said.acked_seq} is not that of this record. Tell QA.")


def _send_files(record: Record, central: Central) -> None:
    media = {blob.sha256: blob.media_type for blob in record.blob_refs()}
    for sha256 in dict.fromkeys(_named(record)):
        try:
            central.put_blob(sha256, record.blob(sha256), media.get(sha256, "application/octet-stream"))
        except BlobMissing as missing:
            _log.error("A file that an earlier log names cannot be sent: %s", missing)
        except CentralRefused as refused:
            if refused.status == 403:
                raise
            _log.error("Central does not take file %s of an earlier log: %s", sha256[:16], refused)


def _named(record: Record) -> Iterator[str]:
    signed = max((segment.last for segment in record.segments()), default=0)
    for stored in record.read(1, signed):
        try:
            yield from named_blobs(decode_payload(stored.payload).body)
        except RecordRefused:
            continue  # central counts what cannot be read; there is no file name in it
