"""Central takes in whole, signed, unbroken runs of records and nothing else."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
import zstandard
from central_site import CentralProcess, Unit, enrol
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.config import Home
from appliance.domain import events
from appliance.record.log import Record
from appliance.record.segments import SIGNING_DOMAIN
from sync.acks import read_ack
from sync.central.command import central as central_command
from sync.envelope import BODY_BYTES_MAX, DIGEST_HEADER, digest_of, pack
from sync.transport import Central, CentralAway, CentralRefused, unit_client


def client_of(unit: Unit, central: CentralProcess, keys: Path | None = None) -> httpx.Client:
    folder = keys or unit.home.keys
    return unit_client(
        central.url,
        certificate=folder / "client.crt",
        key=folder / "client.key",
        authority=folder / "central_ca.crt",
    )


def segment_bodies(record: Record, log: str = "gxp") -> list[tuple[int, bytes]]:
    """Every signed run as (first number, packed body)."""
    found = []
    for segment in record.segments(log=log):
        records = [one.data for one in record.read(segment.first, segment.last, log=log)]
        found.append((segment.first, pack(segment.header, segment.signature, records)))
    return found


def clone_record(unit: Unit, folder: Path) -> Record:
    """Another record with the same unit, key and epoch: what a cloned disk would write."""
    return Record.create(
        folder,
        unit_id=unit.unit_id,
        key=unit.key,
        software_version="0.1.0",
        simulated=True,
        stamp=unit.stamp(),
        epoch=unit.record.head().epoch,
    )


def epoch_of(unit: Unit) -> str:
    return unit.record.head().epoch.hex()


def put(unit: Unit, central: CentralProcess, first: int, body: bytes, **changed: str) -> httpx.Response:
    headers = {DIGEST_HEADER: digest_of(body), "Content-Encoding": "zstd"} | changed
    content = zstandard.ZstdCompressor().compress(body) if headers["Content-Encoding"] == "zstd" else body
    with client_of(unit, central) as client:
        path = f"/v1/units/{unit.unit_id}/logs/gxp/{epoch_of(unit)}/segments/{first}"
        return client.put(path, content=content, headers=headers)


def test_a_signed_run_is_stored_and_acknowledged_under_centrals_key(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.chatter(5)
    first, body = segment_bodies(unit.record)[0]

    with client_of(unit, shared_central) as client:
        answer = Central(client, unit.unit_id).put_segment("gxp", epoch_of(unit), first, body)

    said = read_ack(answer.ack, answer.signature, trusted=[shared_central.home.fingerprint()])
    assert (said.unit, said.log, said.acked_seq) == (unit.unit_id, "gxp", 6)
    assert said.acked_hash == unit.record.head().hash.hex()


def test_the_same_run_again_gives_the_same_answer_and_is_stored_once(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.chatter(3)
    first, body = segment_bodies(unit.record)[0]

    answers = [put(unit, shared_central, first, body) for _ in range(3)]

    assert [(a.status_code, a.json()["acked_seq"]) for a in answers] == [(200, 4)] * 3
    store = shared_central.home.store()
    assert len(list(store.records(unit.unit_id, "gxp", epoch_of(unit), 1, 99))) == 4


def test_a_run_after_a_gap_is_refused_with_the_number_that_is_wanted(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.chatter(3)
    unit.chatter(3)
    first, body = segment_bodies(unit.record)[1]

    answer = put(unit, shared_central, first, body)

    assert answer.status_code == 409
    assert answer.json()["reason"] == "gap"
    assert answer.json()["wanted_seq"] == 1


def test_a_second_record_under_a_known_number_is_a_fork_and_kept_as_evidence(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(3)
    put(unit, shared_central, *segment_bodies(unit.record)[0])
    twin = clone_record(unit, tmp_path / "clone")
    twin.seal(unit.stamp())

    answer = put(unit, shared_central, *segment_bodies(twin)[0])

    assert answer.status_code == 409
    assert answer.json()["reason"] == "fork"
    assert "call QA" in answer.json()["words"]
    [fork] = shared_central.home.store().forks(unit.unit_id)
    assert fork.seq == 1
    twin.close()


def test_a_run_signed_by_another_key_is_refused(unit: Unit, shared_central: CentralProcess) -> None:
    unit.chatter(2)
    segment = next(unit.record.segments())
    forged = Ed25519PrivateKey.generate().sign(SIGNING_DOMAIN + segment.header)
    body = pack(segment.header, forged, [record.data for record in unit.record.read()])

    answer = put(unit, shared_central, 1, body)

    assert (answer.status_code, answer.json()["reason"]) == (422, "signature")


def test_a_changed_byte_in_a_record_is_refused(unit: Unit, shared_central: CentralProcess) -> None:
    unit.chatter(2)
    segment = next(unit.record.segments())
    records = [bytearray(record.data) for record in unit.record.read()]
    records[1][-3] ^= 1

    answer = put(unit, shared_central, 1, pack(segment.header, segment.signature, list(map(bytes, records))))

    assert (answer.status_code, answer.json()["reason"]) == (422, "root")


def test_a_body_that_is_not_what_its_digest_names_is_refused(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.chatter(1)
    first, body = segment_bodies(unit.record)[0]

    answer = put(unit, shared_central, first, body, **{DIGEST_HEADER: digest_of(b"else")})

    assert (answer.status_code, answer.json()["reason"]) == (400, "digest")


def test_a_body_that_swells_a_thousandfold_is_cut_off_at_the_limit(
    unit: Unit, shared_central: CentralProcess
) -> None:
    bomb = bytes(64 * 1024 * 1024)

    answer = put(unit, shared_central, 1, bomb)

    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_a_body_that_is_too_long_is_refused_before_it_is_read(
    unit: Unit, shared_central: CentralProcess
) -> None:
    answer = put(unit, shared_central, 1, bytes(4 * BODY_BYTES_MAX), **{"Content-Encoding": "identity"})

    assert answer.status_code == 413


def test_nobody_without_a_certificate_of_this_site_gets_an_answer(
    unit: Unit, shared_central: CentralProcess
) -> None:
    context = ssl.create_default_context(cafile=str(unit.home.central_ca))

    try:
        httpx.get(f"{shared_central.url}/v1/units/{unit.unit_id}/heads", verify=context)
    except httpx.TransportError:
        return

    raise AssertionError("central answered a client without a certificate")


def test_a_certificate_of_another_unit_does_not_open_this_units_log(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    other = enrol(shared_central, tmp_path / "other")

    with client_of(unit, shared_central, keys=other.home.keys) as client:
        refused = _refusal(Central(client, unit.unit_id))

    assert (refused.status, refused.reason) == (403, "other_unit")
    other.record.close()


def test_a_certificate_that_was_never_enrolled_is_refused(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    from appliance.access.certificates import issue_unit_certificate

    stranger = issue_unit_certificate(shared_central.home.authority(), unit.unit_id, now=datetime.now(UTC))
    stranger.save(tmp_path / "keys" / "client.crt", tmp_path / "keys" / "client.key")
    (tmp_path / "keys" / "central_ca.crt").write_bytes(unit.home.central_ca.read_bytes())

    with client_of(unit, shared_central, keys=tmp_path / "keys") as client:
        refused = _refusal(Central(client, unit.unit_id))

    assert (refused.status, refused.reason) == (403, "unknown")


def test_a_revoked_unit_is_refused_at_once_on_an_open_connection(
    unit: Unit, shared_central: CentralProcess
) -> None:
    with client_of(unit, shared_central) as client:
        central = Central(client, unit.unit_id)
        central.heads()

        words = ["revoke-unit", "--home", str(shared_central.home.root), "--unit", unit.unit_id]
        assert central_command(words) == 0

        refused = _refusal(central)

    assert (refused.status, refused.reason) == (403, "revoked")


def test_a_file_has_a_place_only_after_an_event_has_named_it(
    unit: Unit, shared_central: CentralProcess
) -> None:
    blob = unit.record.put_blob(b"not named by anything", "text/plain")

    with client_of(unit, shared_central) as client:
        answer = client.put(f"/v1/blobs/{blob.sha256}", content=b"not named by anything")

    assert (answer.status_code, answer.json()["reason"]) == (404, "unnamed")


def _refusal(central: Central) -> CentralRefused:
    try:
        central.heads()
    except CentralRefused as refused:
        return refused
    raise AssertionError("central answered")


def test_a_flood_of_headers_ends_the_connection(unit: Unit, shared_central: CentralProcess) -> None:
    flood = {f"X-Flood-{number}": "x" * 8_000 for number in range(250)}

    with client_of(unit, shared_central) as client:
        try:
            status = client.get(f"/v1/units/{unit.unit_id}/heads", headers=flood).status_code
        except httpx.TransportError:
            status = 400  # cut off before the answer could be read
        still_there = client.get(f"/v1/units/{unit.unit_id}/heads").status_code

    assert 400 <= status < 500
    assert still_there == 200


def test_a_path_with_tricks_in_it_leads_nowhere(unit: Unit, shared_central: CentralProcess) -> None:
    tricks = ["/v1/blobs/..%2f..%2fcentral.db", "/v1/blobs/" + "A" * 64, "/v1/units/%2e%2e/heads"]
    with client_of(unit, shared_central) as client:
        for path in tricks:
            assert client.request("HEAD" if "blobs" in path else "GET", path).status_code in (400, 403, 404)
        log = f"/v1/units/{unit.unit_id}/logs/..%2fgxp/{epoch_of(unit)}/segments/1"
        assert client.put(log, content=b"").status_code == 404


def test_a_certificate_of_another_sites_authority_gets_no_handshake(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    from appliance.access.certificates import issue_unit_certificate, make_site_ca

    now = datetime.now(UTC)
    foreign = issue_unit_certificate(make_site_ca("elsewhere", now=now), unit.unit_id, now=now)
    foreign.save(tmp_path / "keys" / "client.crt", tmp_path / "keys" / "client.key")
    (tmp_path / "keys" / "central_ca.crt").write_bytes(unit.home.central_ca.read_bytes())

    with (
        client_of(unit, shared_central, keys=tmp_path / "keys") as client,
        pytest.raises(CentralAway),
    ):
        Central(client, unit.unit_id).heads()


def test_a_run_that_follows_another_past_is_a_fork_though_its_numbers_are_new(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(3)
    put(unit, shared_central, *segment_bodies(unit.record)[0])
    clone = Unit(Home(tmp_path / "clone"), unit.key, clone_record(unit, tmp_path / "clone"), unit.unit_id)
    clone.chatter(3)
    clone.chatter(2)

    first, body = segment_bodies(clone.record)[1]
    answer = put(unit, shared_central, first, body)

    assert (first, answer.status_code, answer.json()["reason"]) == (5, 409, "fork")
    assert answer.json()["seq"] == 4
    clone.record.close()


def named_file(unit: Unit, central: CentralProcess, data: bytes) -> str:
    """A file that an event at central names, and that has not arrived."""
    blob = unit.record.put_blob(data, "image/png").sha256
    unit.say(events.LabelPrinted(phase="label", label_id="l", picture=blob, texts=[]), batch="B-1")
    unit.record.seal(unit.stamp())
    put(unit, central, *segment_bodies(unit.record)[0])
    return blob


def test_a_file_with_another_hash_than_its_name_is_thrown_away(
    unit: Unit, shared_central: CentralProcess
) -> None:
    blob = named_file(unit, shared_central, b"the right bytes")

    with client_of(unit, shared_central) as client:
        wrong = client.put(f"/v1/blobs/{blob}", content=b"the wrong bytes")
        state = client.head(f"/v1/blobs/{blob}")
        right = client.put(f"/v1/blobs/{blob}", content=b"the right bytes")

    assert (wrong.status_code, wrong.json()["reason"]) == (422, "hash")
    assert (state.headers["Upload-Complete"], state.headers["Upload-Offset"]) == ("?0", "0")
    assert right.status_code == 201


def test_a_part_that_does_not_follow_the_last_one_is_told_where_to_go_on(
    unit: Unit, shared_central: CentralProcess
) -> None:
    blob = named_file(unit, shared_central, b"0123456789")

    with client_of(unit, shared_central) as client:
        headers = {"Upload-Length": "10"}
        client.patch(f"/v1/blobs/{blob}", content=b"0123", headers=headers | {"Upload-Offset": "0"})
        ahead = client.patch(f"/v1/blobs/{blob}", content=b"89", headers=headers | {"Upload-Offset": "8"})
        rest = client.patch(f"/v1/blobs/{blob}", content=b"456789", headers=headers | {"Upload-Offset": "4"})

    assert (ahead.status_code, ahead.json()["offset"]) == (409, 4)
    assert rest.status_code == 201
