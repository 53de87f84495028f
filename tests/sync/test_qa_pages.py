"""QA and QP at the browser: real Chromium, real pages, the key never leaves the page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from central_site import PASSPHRASE, PASSWORD, CentralProcess, Unit, agent_of, make_batch, review_audit
from small_engine import SmallEngine

from appliance.access import documents
from appliance.domain import events

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright_api.Browser]:
    with playwright_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: playwright_api.Browser, shared_central: CentralProcess) -> Iterator[playwright_api.Page]:
    """A page that fails the test when a script or the content policy complains."""
    context = browser.new_context(
        base_url=shared_central.qa_url, ignore_https_errors=True, viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def shipped(unit: Unit, shared_central: CentralProcess) -> Unit:
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    make_batch(unit)
    agent_of(unit, shared_central.url).round()
    engine.close()
    review_audit(shared_central, unit)
    return unit


def sign_in(page: playwright_api.Page, person: str) -> None:
    page.goto("/")
    page.fill("input[name=person]", person)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_selector("text=Sign out")


def picture(page: playwright_api.Page, name: str) -> None:
    """Keep a picture of the page where `CELLWRIGHT_PICTURES` says, for a person to look at."""
    folder = os.environ.get("CELLWRIGHT_PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_the_reviewer_sees_the_exceptions_first_and_the_verdict_on_the_record(
    page: playwright_api.Page, shipped: Unit
) -> None:
    sign_in(page, "p-qa")
    picture(page, "batches")
    page.goto(f"/batches/{shipped.unit_id}/B-0001")

    heads = page.locator("h2").all_inner_texts()
    exceptions = page.locator("section[aria-labelledby=exceptions]").inner_text()
    page.click("text=Verify record")
    page.wait_for_selector(".verified")
    picture(page, "batch")

    assert heads[0].startswith("Exceptions to review")
    assert "The thaw took 9 min. (minor)" in exceptions
    assert "Record verified" in page.inner_text("main")
    assert "SIMULATED" in page.inner_text("body")
    assert page.locator("text=Show the decision to sign").count() == 0


def test_the_qp_signs_in_the_page_and_only_the_envelope_leaves_it(
    page: playwright_api.Page, shipped: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    sign_in(page, "p-qp")
    page.goto(f"/batches/{shipped.unit_id}/B-0001")
    page.check("input[name=disposition][value=released]")
    page.click("text=Show the decision to sign")
    shown = page.inner_text("table.decision")
    posted: list[str] = []
    page.on("request", lambda one: posted.append(one.post_data or "") if one.method == "POST" else None)

    page.set_input_files("#key-file", str(shared_central.qp_file))
    page.fill("#passphrase", PASSPHRASE)
    picture(page, "decision")
    page.click("#sign-button")
    page.wait_for_selector("text=Signed and taken by central")
    with page.expect_download() as downloading:
        page.click("text=Download the signed file")
    downloading.value.save_as(str(tmp_path / "signed.json"))
    picture(page, "signed")

    assert "B-0001" in shown
    assert "released" in shown
    [sent] = posted
    assert PASSPHRASE not in sent
    assert sorted(json.loads(sent)) == ["content", "signatures", "type"]
    envelope = documents.load(tmp_path / "signed.json")
    key = documents.fingerprint(shared_central.qp_key)
    content = documents.verify(envelope, allowed={"qp": {key}}, threshold={"qp": 1})
    assert json.loads(content)["disposition"] == "released"


def test_a_wrong_passphrase_in_the_page_signs_nothing_and_says_so(
    page: playwright_api.Page, shipped: Unit, shared_central: CentralProcess
) -> None:
    sign_in(page, "p-qp")
    page.goto(f"/batches/{shipped.unit_id}/B-0001")
    page.check("input[name=disposition][value=released]")
    page.click("text=Show the decision to sign")

    page.set_input_files("#key-file", str(shared_central.qp_file))
    page.fill("#passphrase", "something else entirely")
    page.click("#sign-button")
    page.wait_for_selector("#sign-words.act")

    assert "nothing was signed" in page.inner_text("#sign-words")
    assert shared_central.home.store().decisions(shipped.unit_id, "B-0001") == []


def test_words_from_a_unit_are_never_read_as_html(
    page: playwright_api.Page, unit: Unit, shared_central: CentralProcess
) -> None:
    evil = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
    unit.say(events.CommentAdded(text=evil), batch="B-0001")
    unit.record.seal(unit.stamp())
    agent_of(unit, shared_central.url).round()
    sign_in(page, "p-qa")

    page.goto(f"/batches/{unit.unit_id}/B-0001")

    assert evil in page.inner_text("section[aria-labelledby=exceptions]")
    assert page.title() != "taken"


def test_a_wrong_password_and_a_locked_account_are_told_without_telling_who_exists(
    page: playwright_api.Page,
) -> None:
    page.goto("/")
    page.fill("input[name=person]", "p-nobody")
    page.fill("input[name=password]", "not a password")
    page.click("main button")

    assert page.inner_text("[role=alert]") == "Name or password is wrong."
