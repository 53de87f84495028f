"""What the people's side of central refuses before any page is made."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

import httpx
import pytest
from central_site import PASSWORD, CentralProcess, Unit, agent_of, make_batch


@pytest.fixture
def client(shared_central: CentralProcess) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(shared_central.home.ca_certificate))
    with httpx.Client(base_url=shared_central.qa_url, verify=context) as made:
        yield made


def sign_in(client: httpx.Client, person: str = "p-qa") -> str:
    """Returns the form token of the session."""
    answer = client.post(
        "/api/session",
        json={"person": person, "password": PASSWORD},
        headers={"Origin": str(client.base_url).rstrip("/")},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["form_token"])


@pytest.mark.parametrize("path", ["/", "/units", "/batches/u/b", "/files/u/" + "0" * 64, "/api/batches"])
def test_nothing_is_shown_without_a_session(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code in (303, 401)
    assert "B-0001" not in answer.text


def test_a_form_of_another_site_is_refused(client: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", ""):
        answer = client.post(
            "/sign-in", data={"person": "p-qa", "password": PASSWORD}, headers={"Origin": origin}
        )
        assert answer.status_code == 403


def test_a_form_without_the_sessions_token_is_refused(client: httpx.Client) -> None:
    sign_in(client)

    answer = client.post(
        "/sign-out", data={"form_token": "guessed"}, headers={"Origin": str(client.base_url).rstrip("/")}
    )

    assert answer.status_code == 403
    assert client.get("/").status_code == 200


def test_a_session_that_was_ended_stays_ended(client: httpx.Client) -> None:
    token = sign_in(client)
    cookie = client.cookies.get("__Host-cellwright")

    client.post("/sign-out", data={"form_token": token}, headers={"Origin": str(client.base_url).rstrip("/")})
    client.cookies.set("__Host-cellwright", cookie or "")

    assert client.get("/").status_code == 303


def test_every_page_carries_the_content_policy_and_no_inline_style_or_script(
    client: httpx.Client, unit: Unit, shared_central: CentralProcess
) -> None:
    make_batch(unit)
    agent_of(unit, shared_central.url).round()
    sign_in(client)

    for path in ("/", "/units", "/sign-in", f"/batches/{unit.unit_id}/B-0001", "/batches/none/such"):
        answer = client.get(path)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script>", answer.text)


def test_sign_in_never_leads_to_another_site(client: httpx.Client) -> None:
    for following in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = client.post(
            "/sign-in",
            data={"person": "p-qa", "password": PASSWORD, "next": following},
            headers={"Origin": str(client.base_url).rstrip("/")},
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_note_of_the_reviewer_goes_to_centrals_own_log(
    client: httpx.Client, unit: Unit, shared_central: CentralProcess
) -> None:
    make_batch(unit)
    agent_of(unit, shared_central.url).round()
    token = sign_in(client)
    before = unit.record.head().hash

    answer = client.post(
        f"/batches/{unit.unit_id}/B-0001/notes",
        data={"form_token": token, "text": "Deviation understood.", "reviewed": "yes"},
        headers={"Origin": str(client.base_url).rstrip("/")},
    )

    assert answer.status_code == 303
    [note] = shared_central.home.store().events(unit_id=unit.unit_id, batch="B-0001")
    assert (note.actor, note.kind) == ("p-qa", "ExceptionsReviewed")
    assert unit.record.head().hash == before
