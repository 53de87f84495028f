"""The people's side of central: pages for QA and QP, over TLS, without client certificates.

Each request passes one gate: session, Origin, form token; then the handler runs in a worker
thread. Nothing here signs a decision: the page offers bytes, the QP's browser or own machine signs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from appliance.access import documents
from appliance.access.errors import AccessRefused
from appliance.record.errors import RecordRefused
from sync.acks import utc_text
from sync.central.accounts import Accounts, SignedIn, SignInRefused, token_matches
from sync.central.audit_pages import AuditPages, AuditRefused
from sync.central.blob_store import BlobStore
from sync.central.certify import Certify, CertifyRefused
from sync.central.home import Settings
from sync.central.identity_pages import IdentityPages, IdentityRefused
from sync.central.orders import Orders
from sync.central.pages import Pages, decision_facts
from sync.central.review import Review, all_reviews, review_batch
from sync.central.second_use import all_second_uses
from sync.central.stops import Stops
from sync.central.store import Store
from sync.central.verdict import verify_record

COOKIE = "__Host-cellwright"
FORM_BYTES_MAX = 512 * 1024
NOTE_CHARACTERS_MAX = 2000
STAGES = ("conditional", "final")
DISPOSITIONS = ("released", "rejected")
SHOWN_INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000",
}


class PageRefused(Exception):
    """The request is refused with a page that says so."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request after the gate."""

    request: Request
    who: SignedIn | None
    form: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    @property
    def person(self) -> SignedIn:
        assert self.who is not None
        return self.who


Handler = Callable[[Ask], Response]


class Web:
    """The pages and the small JSON interface behind them."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: BlobStore,
        accounts: Accounts,
        settings: Callable[[], Settings],
        key: Ed25519PrivateKey,
    ) -> None:
        self._store, self._blobs, self._accounts = store, blobs, accounts
        self._certify = Certify(store, blobs, lambda: settings().root)
        self._pages = Pages(settings())
        self._audit = AuditPages(store, accounts, self._pages)
        self._identity = IdentityPages(
            store, self._pages, Orders(store, key, accounts), Stops(store, key, accounts)
        )

    def application(self) -> Starlette:
        batch = "/batches/{unit}/{batch}"
        return Starlette(
            routes=[
                Route("/", self._gate(self.batches), methods=["GET"]),
                Route("/units", self._gate(self.units), methods=["GET"]),
                Route("/orders", self._gate(self.orders), methods=["GET"]),
                Route("/orders", self._gate(self.reassign), methods=["POST"]),
                Route("/signed", self._gate(self.signed_file), methods=["GET"]),
                Route("/stops", self._gate(self.stops), methods=["GET"]),
                Route("/stops", self._gate(self.stop), methods=["POST"]),
                Route(f"{batch}/second-use", self._gate(self.judge), methods=["POST"]),
                Route("/sign-in", self._gate(self.sign_in_page, public=True), methods=["GET"]),
                Route("/sign-in", self._gate(self.sign_in, public=True), methods=["POST"]),
                Route("/sign-out", self._gate(self.sign_out), methods=["POST"]),
                Route(batch, self._gate(self.batch), methods=["GET"]),
                Route(f"{batch}/audit", self._gate(self.audit), methods=["GET"]),
                Route(f"{batch}/audit.csv", self._gate(self.audit_csv), methods=["GET"]),
                Route(f"{batch}/audit/rows", self._gate(self.audit_rows), methods=["GET"]),
                Route(f"{batch}/audit/reviews", self._gate(self.audit_review), methods=["POST"]),
                Route(f"{batch}/notes", self._gate(self.note), methods=["POST"]),
                Route(f"{batch}/decision", self._gate(self.decision_page), methods=["POST"]),
                Route(f"{batch}/offers", self._gate(self.offer), methods=["POST"]),
                Route(f"{batch}/offers/{{offer}}", self._gate(self.offered_bytes), methods=["GET"]),
                Route(f"{batch}/decisions", self._gate(self.take), methods=["POST"]),
                Route(f"{batch}/decisions/{{version:int}}", self._gate(self.decision_file), methods=["GET"]),
                Route("/files/{unit}/{sha256}", self._gate(self.file), methods=["GET"]),
                Route("/api/session", self._gate(self.api_session, public=True), methods=["POST"]),
                Route("/api/batches", self._gate(self.api_batches), methods=["GET"]),
                Route("/static/{name}", self._gate(self.static, public=True), methods=["GET"]),
            ]
        )

    # ── The gate ───────────────────────────────────────────────────────────────────────

    def _gate(self, handler: Handler, *, public: bool = False) -> Callable[[Request], Awaitable[Response]]:
        async def pass_through(request: Request) -> Response:
            who = None
            try:
                token = request.cookies.get(COOKIE, "")
                who = await run_in_threadpool(self._accounts.session, token, now=_now())
                ask = await self._asked(request, who, public=public)
                response = await run_in_threadpool(handler, ask)
            except PageRefused as refused:
                response = self._refusal(request, who, refused)
            except ClientDisconnect:
                response = Response(status_code=400)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return pass_through

    async def _asked(self, request: Request, who: SignedIn | None, *, public: bool) -> Ask:
        if who is None and not public:
            raise PageRefused(401, "Sign in first.")
        if request.method == "GET":
            return Ask(request, who)
        _refuse_foreign(request)
        declared = request.headers.get("content-length", "")
        if not declared.isdigit() or int(declared) > FORM_BYTES_MAX:
            raise PageRefused(413, f"At most {FORM_BYTES_MAX} bytes are taken.")
        if request.headers.get("content-type", "").startswith("application/json"):
            ask = Ask(request, who, body=await request.body())
            given = request.headers.get("Form-Token", "")
        else:
            ask = Ask(request, who, form=_texts(await request.form(max_files=0, max_fields=20)))
            given = ask.form.get("form_token", "")
        if who is not None and not public and not token_matches(given, who.form_token):
            raise PageRefused(403, "This form is from another session. Load the page again.")
        return ask

    def _refusal(self, request: Request, who: SignedIn | None, refused: PageRefused) -> Response:
        wants_json = request.url.path.startswith("/api/") or request.headers.get(
            "content-type", ""
        ).startswith("application/json")
        if wants_json:
            return _json({"words": str(refused)}, status=refused.status)
        if refused.status == 401 and request.method == "GET":
            return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", status_code=303)
        return self._pages.show("refused.html", who, status=refused.status, words=str(refused))

    # ── Sign-in ────────────────────────────────────────────────────────────────────────

    def sign_in_page(self, ask: Ask) -> Response:
        return self._pages.show(
            "sign_in.html", None, words="", next=_inside(ask.request.query_params.get("next"))
        )

    def sign_in(self, ask: Ask) -> Response:
        person, following = ask.form.get("person", "").strip()[:64], _inside(ask.form.get("next"))
        try:
            token, _ = self._accounts.sign_in(person, ask.form.get("password", ""), now=_now())
        except SignInRefused as refused:
            return self._pages.show("sign_in.html", None, status=403, words=str(refused), next=following)
        return _with_cookie(RedirectResponse(following, status_code=303), token)

    def sign_out(self, ask: Ask) -> Response:
        self._accounts.sign_out(ask.request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return response

    def api_session(self, ask: Ask) -> Response:
        """Sign in from the QP's own machine: a cookie and the token for the forms."""
        asked = _object(ask.body)
        try:
            token, who = self._accounts.sign_in(
                str(asked.get("person", ""))[:64], str(asked.get("password", "")), now=_now()
            )
        except SignInRefused as refused:
            raise PageRefused(403, str(refused)) from None
        return _with_cookie(_json({"name": who.name, "role": who.role, "form_token": who.form_token}), token)

    # ── Lists and pages ────────────────────────────────────────────────────────────────

    def batches(self, ask: Ask) -> Response:
        groups: dict[str, list[Review]] = {"ready": [], "exceptions": [], "blocked": [], "decided": []}
        for review in all_reviews(self._store):
            groups[review.group].append(review)
        return self._pages.show(
            "batches.html", ask.who, groups=groups, second_uses=all_second_uses(self._store)
        )

    def api_batches(self, ask: Ask) -> Response:
        """The same list for a program."""
        found = [
            {
                "unit": review.unit_id,
                "batch": review.batch,
                "group": review.group,
                "disposition": review.disposition,
                "exceptions": len(review.exceptions),
                "missing": review.missing,
                "failed": review.failed,
                "audit": review.audit.state,
                "used_twice": [one.words for one in review.second_uses],
            }
            for review in all_reviews(self._store)
        ]
        return _json({"batches": found})

    def units(self, ask: Ask) -> Response:
        store = self._store
        units = [
            (one, store.heads(one.unit_id), store.forks(one.unit_id), store.certificates(one.unit_id))
            for one in store.units()
        ]
        return self._pages.show("units.html", ask.who, units=units)

    def batch(self, ask: Ask) -> Response:
        review = self._review(ask)
        verdict = None
        if ask.request.query_params.get("verify") == "1":
            verdict = verify_record(self._store, self._blobs, review)
        notes = self._store.events(unit_id=review.unit_id, batch=review.batch)
        return self._pages.show("batch.html", ask.who, review=review, verdict=verdict, notes=notes)

    def note(self, ask: Ask) -> Response:
        """A reviewer's words about the batch, in central's own log; the unit's record is never edited."""
        review = self._review(ask)
        text = ask.form.get("text", "").strip()
        if not text or len(text) > NOTE_CHARACTERS_MAX:
            raise PageRefused(400, f"A note has 1 to {NOTE_CHARACTERS_MAX} characters.")
        body = msgspec.json.encode({"text": text, "exceptions": len(review.exceptions)}).decode()
        self._store.add_event(
            at=utc_text(_now()),
            actor=ask.person.person,
            kind="ExceptionsReviewed" if ask.form.get("reviewed") else "AnnotationAdded",
            unit_id=review.unit_id,
            batch=review.batch,
            body=body,
        )
        return RedirectResponse(f"/batches/{review.unit_id}/{review.batch}#notes", status_code=303)

    # ── Identity across units ──────────────────────────────────────────────────────────

    def orders(self, ask: Ask) -> Response:
        return self._identity.orders(ask.who, now=_now())

    def reassign(self, ask: Ask) -> Response:
        """Give an order to another unit; the form carries one or two passwords."""
        return _or_refused(lambda: self._identity.reassign(ask.person, ask.form, now=_now()))

    def stops(self, ask: Ask) -> Response:
        return self._identity.stops(ask.who)

    def stop(self, ask: Ask) -> Response:
        """Send a recall or the withdrawal of a consent to every unit."""
        return _or_refused(lambda: self._identity.stop(ask.person, ask.form, now=_now()))

    def signed_file(self, ask: Ask) -> Response:
        """A signed order or stop as a file."""
        return _or_refused(lambda: _attachment(*self._identity.signed_file(ask.request.query_params)))

    def judge(self, ask: Ask) -> Response:
        """A QP says why a second use does not forbid a release."""
        review = self._review(ask)
        return _or_refused(lambda: self._identity.judge(review, ask.person, ask.form, now=_now()))

    # ── The audit trail ────────────────────────────────────────────────────────────────

    def audit(self, ask: Ask) -> Response:
        try:
            return self._audit.page(self._review(ask), ask.who, ask.request.query_params)
        except AuditRefused as refused:
            raise PageRefused(400, str(refused)) from None

    def audit_csv(self, ask: Ask) -> Response:
        try:
            text = self._audit.csv(self._review(ask), ask.request.query_params)
        except AuditRefused as refused:
            raise PageRefused(400, str(refused)) from None
        return _attachment(text.encode(), f"audit-trail-{ask.path('batch')}.csv")

    def audit_rows(self, ask: Ask) -> Response:
        """The rows for a program."""
        try:
            return _json(self._audit.rows(self._review(ask), ask.request.query_params))
        except AuditRefused as refused:
            raise PageRefused(400, str(refused)) from None

    def audit_review(self, ask: Ask) -> Response:
        """The signed review, from the page's form or from a program."""
        review = self._review(ask)
        try:
            signed = self._audit.sign(
                review, ask.person, _object(ask.body) if ask.body else ask.form, now=_now()
            )
        except AuditRefused as refused:
            raise PageRefused(409, str(refused)) from None
        if ask.body:
            return _json({"seq": signed.seq, "hash": signed.hash, "name": signed.name, "rows": signed.rows})
        return RedirectResponse(
            f"/batches/{review.unit_id}/{review.batch}/audit?only=critical", status_code=303
        )

    def file(self, ask: Ask) -> Response:
        """A file that an event of this unit names; shown in the page only when it is a picture."""
        with contextlib.suppress(RecordRefused):
            path = self._blobs.path(ask.path("sha256"))
            blob = self._store.blob(ask.path("unit"), ask.path("sha256"))
            if blob is not None and blob.verified and path.is_file():
                inline = blob.media_type in SHOWN_INLINE
                return FileResponse(
                    path,
                    media_type=blob.media_type if inline else "application/octet-stream",
                    filename=blob.sha256,
                    content_disposition_type="inline" if inline else "attachment",
                )
        raise PageRefused(404, "This file is not here.")

    def static(self, ask: Ask) -> Response:
        types = {"style.css": "text/css", "sign.js": "text/javascript"}
        name = ask.path("name")
        if name not in types:
            raise PageRefused(404, "There is no such page.")
        return FileResponse(Path(__file__).parent / "pages" / name, media_type=types[name])

    # ── Decisions ──────────────────────────────────────────────────────────────────────

    def decision_page(self, ask: Ask) -> Response:
        """Offer the exact bytes, and the means to sign them in this browser or elsewhere."""
        review = self._review(ask)
        try:
            offer = self._offer(ask.person, review, ask.form)
        except CertifyRefused as refused:
            return self._pages.show("refused.html", ask.who, status=409, words=str(refused))
        return self._pages.show(
            "decision.html",
            ask.who,
            review=review,
            offer=offer,
            facts=decision_facts(offer.content),
            disposition=ask.form["disposition"],
        )

    def offer(self, ask: Ask) -> Response:
        """The same for a program on the QP's machine."""
        try:
            offer = self._offer(ask.person, self._review(ask), _object(ask.body))
        except CertifyRefused as refused:
            raise PageRefused(409, str(refused)) from None
        return _json({"offer": offer.offer_id, "content": offer.content})

    def _offer(self, who: SignedIn, review: Review, asked: Mapping[str, Any]) -> Any:
        stage, disposition = str(asked.get("stage", "")), str(asked.get("disposition", ""))
        if stage not in STAGES or disposition not in DISPOSITIONS:
            raise PageRefused(400, "Choose a stage (conditional, final) and released or rejected.")
        return self._certify.offer(
            review,
            who,
            stage="final" if stage == "final" else "conditional",
            disposition="released" if disposition == "released" else "rejected",
            reason=str(asked.get("reason", "")).strip()[:NOTE_CHARACTERS_MAX],
            now=_now(),
        )

    def offered_bytes(self, ask: Ask) -> Response:
        offers = self._store.offers(ask.path("unit"), ask.path("batch"), ask.person.person)
        found = next((offer for offer in offers if offer.offer_id == ask.path("offer")), None)
        if found is None:
            raise PageRefused(404, "There is no such offer of yours.")
        return _attachment(found.content, f"decision-{found.batch}.bytes")

    def take(self, ask: Ask) -> Response:
        """Take the signed decision back."""
        try:
            envelope = documents.parse(ask.body)
            decision = self._certify.take(
                ask.path("unit"), ask.path("batch"), ask.person, envelope, now=_now()
            )
        except (CertifyRefused, AccessRefused) as refused:
            raise PageRefused(409, str(refused)) from None
        return _json({"version": decision.version, "batch": decision.batch})

    def decision_file(self, ask: Ask) -> Response:
        """The signed file, to be carried to the unit by hand."""
        wanted = int(ask.path("version"))
        for decision in self._store.decisions(ask.path("unit"), ask.path("batch")):
            if decision.version == wanted:
                return _attachment(decision.envelope, f"decision-{decision.batch}-{wanted}.json")
        raise PageRefused(404, "There is no such decision.")

    def _review(self, ask: Ask) -> Review:
        review = review_batch(self._store, ask.path("unit"), ask.path("batch"))
        if review is None:
            raise PageRefused(404, "There is no such batch.")
        return review


def _or_refused(act: Callable[[], Response]) -> Response:
    try:
        return act()
    except IdentityRefused as refused:
        raise PageRefused(409, str(refused)) from None


def _refuse_foreign(request: Request) -> None:
    """A form of another site must not act here: what the browser says of the origin has to be ours."""
    origin = request.headers.get("origin", "")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    if urlsplit(origin).netloc != request.headers.get("host", "") or not origin.startswith("https://"):
        raise PageRefused(403, "This request does not come from this site.")
    if fetched not in ("same-origin", "none"):
        raise PageRefused(403, "This request does not come from this site.")


def _texts(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise PageRefused(400, "The body must be a JSON object.")
    return found


def _inside(following: str | None) -> str:
    """Where to go after sign-in: a path of this site and nothing else."""
    good = following and following.startswith("/") and not following.startswith(("//", "/\\"))
    return following if good and following else "/"


def _with_cookie(response: Response, token: str) -> Response:
    response.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="strict")
    return response


def _attachment(data: bytes, name: str) -> Response:
    safe = "".join(c if c.isalnum() or c in "-._" else "_" for c in name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _now() -> datetime:
    return datetime.now(UTC)
