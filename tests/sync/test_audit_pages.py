"""The audit trail at central: read, filtered, taken away as CSV, and its review signed before any release."""

from __future__ import annotations

import csv
import io
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from central_site import (
    CELLWRIGHT,
    PASSPHRASE,
    PASSWORD,
    CentralProcess,
    Unit,
    agent_of,
    make_batch,
    review_audit,
)

from appliance.domain import events
from sync.central.accounts import SignedIn
from sync.central.audit_pages import AuditRefused, asked
from sync.central.blob_store import BlobStore
from sync.central.certify import Certify, CertifyRefused
from sync.central.review import Review, review_batch

QP = SignedIn("p-qp", "Quinn Petersen", "qp", "")
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def shipped(unit: Unit, shared_central: CentralProcess) -> Unit:
    """A unit whose sealed batch, with a correction in it, lies whole at central."""
    unit.say(
        events.ValueCorrected(
            phase="thaw", key="volume", field="volume", old="50.0", new="51.0", unit="mL",
            reason="Read the display wrongly", corrected_seq=4, person="p-0001", name="Ada Demo",
        ),
        batch="B-0001",
    )  # fmt: skip
    make_batch(unit)
    agent_of(unit, shared_central.url).round()
    return unit


@pytest.fixture
def client(shared_central: CentralProcess) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(shared_central.home.ca_certificate))
    url = shared_central.qa_url
    with httpx.Client(base_url=url, verify=context, headers={"Origin": url}) as made:
        yield made


def signed_in(client: httpx.Client, person: str = "p-qa") -> str:
    answer = client.post("/api/session", json={"person": person, "password": PASSWORD})
    return str(answer.json()["form_token"])


def place(unit: Unit) -> str:
    return f"/batches/{unit.unit_id}/B-0001/audit"


def review_of(central: CentralProcess, unit: Unit) -> Review:
    found = review_batch(central.home.store(), unit.unit_id, "B-0001")
    assert found is not None
    return found


def offered(central: CentralProcess, unit: Unit, disposition: Any = "released") -> None:
    desk = Certify(central.home.store(), BlobStore(central.home.blobs), lambda: central.home.settings().root)
    review = review_of(central, unit)
    reason = "" if disposition == "released" else "Leaked"
    desk.offer(review, QP, stage="conditional", disposition=disposition, reason=reason, now=datetime.now(UTC))


def said(unit: Unit, client: httpx.Client, **changed: Any) -> dict[str, Any]:
    head = client.get(f"{place(unit)}/rows?only=critical").json()["head"]
    return {"only": "critical", "password": PASSWORD, "words": "Nothing odd.", **head, **changed}


def signs(client: httpx.Client, unit: Unit, token: str, body: dict[str, Any]) -> httpx.Response:
    return client.post(f"{place(unit)}/reviews", json=body, headers={"Form-Token": token})


@pytest.mark.requirement("R-11", "R-39", "T36")
def test_no_release_is_offered_for_signing_before_the_review_of_the_audit_trail_is_signed(
    shipped: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    with pytest.raises(CertifyRefused, match="was not reviewed yet"):
        offered(shared_central, shipped)
    offered(shared_central, shipped, "rejected")  # a rejection needs no review
    signed_in(client, "p-qp")
    before = client.get(f"/batches/{shipped.unit_id}/B-0001").text

    token = signed_in(client)
    answer = signs(client, shipped, token, said(shipped, client))
    signed_in(client, "p-qp")
    after = client.get(f"/batches/{shipped.unit_id}/B-0001").text

    assert answer.status_code == 200, answer.text
    offered(shared_central, shipped)
    assert 'value="released"' not in before
    assert "No release yet" in before
    assert 'value="released"' in after
    assert "Reviewed by Ada Quist (p-qa)" in after


@pytest.mark.requirement("R-11", "F-059", "T36")
def test_the_review_is_itself_on_record_with_person_time_meaning_and_the_head_that_was_seen(
    shipped: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    token = signed_in(client)
    rows = client.get(f"{place(shipped)}/rows?only=critical").json()["rows"]

    signs(client, shipped, token, said(shipped, client))

    review = review_of(shared_central, shipped)
    [event] = [
        one
        for one in shared_central.home.store().events(unit_id=shipped.unit_id, batch="B-0001")
        if one.kind == "AuditTrailReviewed"
    ]
    body = json.loads(event.body)
    assert (event.actor, body["name"], body["meaning"]) == ("p-qa", "Ada Quist", "reviewed")
    assert (body["seq"], body["hash"]) == (review.entries[-1].seq, review.entries[-1].hash)
    assert (body["filters"], body["rows"], body["words"]) == ("only: critical", len(rows), "Nothing odd.")
    assert datetime.fromisoformat(event.at).utcoffset() is not None
    assert PASSWORD not in event.body


@pytest.mark.requirement("R-11", "R-23")
def test_a_review_is_stale_when_something_is_added_to_the_batch_and_not_when_somebody_signs_in(
    shipped: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    review_audit(shared_central, shipped)
    shipped.say(events.SessionOpened(person="p-1", name="Ada", station="bed"))
    shipped.record.seal(shipped.stamp())
    agent_of(shipped, shared_central.url).round()
    quiet = review_of(shared_central, shipped).audit

    shipped.say(events.CommentAdded(text="One more thing."), batch="B-0001")
    shipped.record.seal(shipped.stamp())
    agent_of(shipped, shared_central.url).round()
    stale = review_of(shared_central, shipped).audit
    signed_in(client)
    page = client.get(place(shipped)).text

    assert (quiet.state, stale.state) == ("holds", "stale")
    assert "1 events of this batch came after" in stale.words
    assert "CommentAdded" in stale.words
    assert "Review is stale" in page


@pytest.mark.requirement("R-11", "R-15")
@pytest.mark.parametrize(
    ("person", "changed", "words"),
    [
        ("p-qp", {}, "Only a QA reviewer"),
        ("p-qa", {"password": "not the password"}, "Not signed"),
        ("p-qa", {"password": ""}, "Not signed"),
        ("p-qa", {"who": "p-0001"}, "leaves critical events out"),
        ("p-qa", {"only": "signatures"}, "leaves critical events out"),
        ("p-qa", {"only": "nonsense"}, "no such choice"),
        ("p-qa", {"seq": 1}, "New events came"),
        ("p-qa", {"hash": "00" * 32}, "New events came"),
        ("p-qa", {"words": "x" * 2001}, "At most 2000"),
    ],
)
def test_a_review_is_signed_by_the_right_person_with_their_password_over_what_is_there(
    shipped: Unit, shared_central: CentralProcess, client: httpx.Client, person: str, changed: Any, words: str
) -> None:
    token = signed_in(client, person)

    answer = signs(client, shipped, token, said(shipped, client, **changed))

    assert answer.status_code == 409
    assert words in answer.json()["words"]
    assert review_of(shared_central, shipped).audit.state == "none"
    assert signs(client, shipped, "another", said(shipped, client)).status_code == 403


def test_a_batch_that_is_still_being_made_cannot_be_reviewed_yet(
    unit: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    unit.say(events.PhaseStarted(phase="thaw"), batch="B-0001")
    unit.record.seal(unit.stamp())
    agent_of(unit, shared_central.url).round()
    token = signed_in(client)

    answer = signs(client, unit, token, said(unit, client))

    assert "not sealed yet" in answer.json()["words"]
    assert "more events will come" in client.get(f"{place(unit)}?only=critical").text


@pytest.mark.requirement("R-11", "R-07")
def test_the_page_filters_orders_and_searches_and_shows_old_new_and_why(
    shipped: Unit, client: httpx.Client
) -> None:
    signed_in(client)

    def kinds(query: str) -> list[str]:
        return [row["kind"] for row in client.get(f"{place(shipped)}/rows?{query}").json()["rows"]]

    everything = kinds("")
    page = client.get(f"{place(shipped)}?what=display+wrongly").text

    assert kinds("what=display+wrongly") == ["ValueCorrected"]
    assert kinds("kind=Phase&sort=kind") == sorted(kind for kind in everything if "Phase" in kind)
    assert kinds("reverse=yes") == everything[::-1]
    assert kinds("who=p-0002") == ["LineCleared"]
    assert "ValueCorrected" in kinds("only=critical")
    assert "DeviationOpened" in kinds("only=critical")
    assert "PhaseStarted" not in kinds("only=critical")
    assert kinds("from=2030-01-01") == []
    assert "<s>50.0 mL</s> → 51.0 mL" in page
    assert "Read the display wrongly" in page
    assert client.get(f"{place(shipped)}?from=yesterday").status_code == 400


@pytest.mark.requirement("R-11")
def test_the_rows_are_taken_away_as_csv_and_never_without_a_session(
    shipped: Unit, client: httpx.Client
) -> None:
    assert client.get(f"{place(shipped)}.csv").status_code in (303, 401)
    signed_in(client)

    answer = client.get(f"{place(shipped)}.csv?kind=ValueCorrected")

    [row] = csv.DictReader(io.StringIO(answer.text))
    assert (row["old"], row["new"], row["who"]) == ("50.0 mL", "51.0 mL", "p-0001")
    assert answer.headers["Content-Disposition"].endswith('"audit-trail-B-0001.csv"')


def test_words_from_a_unit_are_text_in_the_audit_trail(
    unit: Unit, shared_central: CentralProcess, client: httpx.Client
) -> None:
    unit.say(events.CommentAdded(text="<script>alert(1)</script>"), batch="B-0001")
    unit.record.seal(unit.stamp())
    agent_of(unit, shared_central.url).round()
    signed_in(client)

    page = client.get(place(unit) + "?what=%3Cscript%3E").text

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_filter_is_read_or_refused_in_words() -> None:
    assert asked({"only": "critical"}).filter.covers_critical
    assert asked({"sort": "who", "reverse": "yes"}).filter.covers_critical
    assert not asked({"from": "2026-11-21"}).filter.covers_critical
    for wrong in ({"to": "soon"}, {"sort": "size"}, {"only": "all"}):
        with pytest.raises(AuditRefused):
            asked(wrong)


@pytest.mark.requirement("R-11")
def test_the_reviewer_signs_and_the_qp_releases_from_the_command_line(
    shipped: Unit, shared_central: CentralProcess
) -> None:
    common = ["--central", shared_central.qa_url, "--ca", str(shared_central.home.ca_certificate)]
    common += ["--batch", "B-0001", "--unit", shipped.unit_id]

    def run(*words: str, secrets: str) -> subprocess.CompletedProcess[str]:
        command = [str(CELLWRIGHT), *words[:2], *common, *words[2:]]
        return subprocess.run(command, input=secrets, capture_output=True, text=True, timeout=60, check=False)

    certify = (
        "qp",
        "certify",
        "--person",
        "p-qp",
        "--key",
        str(shared_central.qp_file),
        "--passphrase-stdin",
    )
    early = run(*certify, secrets=f"{PASSPHRASE}\n{PASSWORD}\n")
    wrong = run("audit", "review", "--person", "p-qa", "--password-stdin", secrets="not the password\n")
    review = run("audit", "review", "--person", "p-qa", "--password-stdin", "--json", secrets=PASSWORD + "\n")
    done = run(*certify, secrets=f"{PASSPHRASE}\n{PASSWORD}\n")

    assert (early.returncode, wrong.returncode, review.returncode, done.returncode) == (1, 1, 0, 0)
    assert "No release yet" in early.stderr
    assert json.loads(review.stdout)["name"] == "Ada Quist"
    assert "50.0 mL → 51.0 mL" in review.stderr


@pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
@pytest.mark.requirement("R-11")
def test_the_audit_trail_is_searched_ordered_and_signed_with_the_keyboard_alone(
    shipped: Unit, shared_central: CentralProcess
) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(base_url=shared_central.qa_url, ignore_https_errors=True)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"/sign-in?next={place(shipped)}")
        # The browser gives the first field its focus by itself, a moment after the page is there.
        page.wait_for_function("document.activeElement.name === 'person'")
        _types(page, "p-qa", "Tab", PASSWORD, "Enter")
        page.wait_for_selector("table.audit")
        page.focus("input[name=kind]")
        _types(page, "ValueCorrected", "Enter")
        page.wait_for_url("**kind=ValueCorrected**")
        found = page.locator("table.audit tbody tr").count()
        page.focus("th a >> text=Who")
        _types(page, "Enter")
        page.wait_for_url("**sort=who**")
        page.focus("text=Critical events")
        _types(page, "Enter")
        page.wait_for_selector("input[name=password]")
        _keep_picture(page, "audit-trail")
        page.focus("textarea[name=words]")
        _types(page, "Nothing odd.", "Tab", PASSWORD, "Enter")
        page.wait_for_selector("text=Reviewed by Ada Quist")
        _keep_picture(page, "audit-trail-signed")
        browser.close()

    assert found == 1
    assert review_of(shared_central, shipped).audit.holds


def _types(page: Any, *keys: str) -> None:
    for key in keys:
        if key in ("Tab", "Enter"):
            page.keyboard.press(key)
        else:
            page.keyboard.type(key)


def _keep_picture(page: Any, name: str) -> None:
    folder = os.environ.get("CELLWRIGHT_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
