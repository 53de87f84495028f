"""The page "Audit trail" of a batch: filter, order, search, CSV, and the review signed by a QA reviewer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from appliance.record.audit import ONLY, SORTS, AuditRow, Filter, in_order, moment, write_csv
from appliance.record.canonical import StoredRecord
from appliance.record.report.text import Times
from sync.acks import utc_text
from sync.central.accounts import Accounts, SignedIn, SignInRefused
from sync.central.audit_review import KIND, REVIEWER_ROLE, WORDS_CHARACTERS_MAX, AuditReview
from sync.central.pages import Pages
from sync.central.review import Review
from sync.central.store import Store

ROWS_SHOWN_MAX = 2000
FIELD_CHARACTERS_MAX = 100
FIELDS = ("from", "to", "who", "kind", "what", "only", "sort", "reverse")


class AuditRefused(Exception):
    """The review was not signed, or the filter is none; the words say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The filter and order of one request, as typed."""

    filter: Filter
    sort: str
    reverse: bool
    typed: dict[str, str]

    @property
    def words(self) -> str:
        """What a person saw, for the record of the review."""
        typed = [f"{name}: {value}" for name, value in self.typed.items() if name not in ("sort", "reverse")]
        return ", ".join(typed) or "everything"

    def query(self, **changed: str) -> str:
        return urlencode({name: value for name, value in (self.typed | changed).items() if value})


def asked(typed: Mapping[str, str]) -> Asked:
    """Read a query; raises `AuditRefused` with the words a person needs."""
    known = {name: str(typed.get(name, "")).strip()[:FIELD_CHARACTERS_MAX] for name in FIELDS}
    known = {name: value for name, value in known.items() if value}
    try:
        begin, end = (moment(known[name]) if name in known else None for name in ("from", "to"))
    except ValueError:
        raise AuditRefused("Write a time in UTC such as 2026-11-21 or 2026-11-21T07:30.") from None
    only, sort = known.get("only", ""), known.get("sort", "time")
    if only not in ("", *ONLY) or sort not in SORTS:
        raise AuditRefused("There is no such choice. Go back to the audit trail.")
    wanted = Filter(
        begin=begin,
        end=end,
        who=known.get("who", ""),
        kind=known.get("kind", ""),
        what=known.get("what", ""),
        only=only,
    )
    return Asked(filter=wanted, sort=sort, reverse="reverse" in known, typed=known)


class AuditPages:
    """What the pages of one central's audit trails do; the gate and the routes are `web`'s."""

    def __init__(self, store: Store, accounts: Accounts, pages: Pages) -> None:
        self._store, self._accounts, self._pages = store, accounts, pages

    def page(self, review: Review, who: SignedIn | None, typed: Mapping[str, str]) -> Response:
        """The rows that are wanted, with the form to sign where nothing critical is left out."""
        want = asked(typed)
        rows = list(islice(self._rows(review, want), ROWS_SHOWN_MAX + 1))
        times = _times(review)
        seq, hash_ = head_of(review)
        return self._pages.show(
            "audit.html",
            who,
            review=review,
            rows=rows[:ROWS_SHOWN_MAX],
            more=len(rows) > ROWS_SHOWN_MAX,
            want=want,
            local=times.local,
            zone=times.name,
            only=ONLY,
            sorts=SORTS,
            head_seq=seq,
            head_hash=hash_,
            may_sign=who is not None and who.role == REVIEWER_ROLE,
        )

    def csv(self, review: Review, typed: Mapping[str, str]) -> str:
        """Every row that is wanted, as CSV."""
        out = io.StringIO()
        write_csv(self._rows(review, asked(typed)), out, _times(review))
        return out.getvalue()

    def rows(self, review: Review, typed: Mapping[str, str]) -> dict[str, Any]:
        """The same for a program, with the head that a review of it would bind."""
        times = _times(review)
        rows = [row.facts(times) for row in self._rows(review, asked(typed))]
        return {"head": dict(zip(("seq", "hash"), head_of(review), strict=True)), "rows": rows}

    def sign(self, review: Review, who: SignedIn, said: Mapping[str, Any], *, now: datetime) -> AuditReview:
        """Put on central's record that this person reviewed the trail up to the head they saw.

        Raises
        ------
        AuditRefused
            Not a QA reviewer, a wrong password, a view that leaves something critical out, or a
            record that grew meanwhile.
        """
        if who.role != REVIEWER_ROLE:
            raise AuditRefused("Only a QA reviewer signs the review of an audit trail.")
        want = asked({name: str(said.get(name, "")) for name in FIELDS})
        if not want.filter.covers_critical:
            raise AuditRefused(
                "This view leaves critical events out. Look at 'critical' or at everything, then sign."
            )
        if not review.seal:
            raise AuditRefused("The batch is not sealed yet: more events will come. Review it then.")
        seq, hash_ = head_of(review)
        if (str(said.get("seq", "")), str(said.get("hash", ""))) != (str(seq), hash_):
            raise AuditRefused("New events came while you read. Look at the audit trail again, then sign.")
        words = str(said.get("words", "")).strip()
        if len(words) > WORDS_CHARACTERS_MAX:
            raise AuditRefused(f"At most {WORDS_CHARACTERS_MAX} characters are taken.")
        try:
            account = self._accounts.prove(who.person, str(said.get("password", "")), now=now)
        except SignInRefused as refused:
            raise AuditRefused(f"Not signed. {refused}") from None
        return self._keep(review, account.person, account.name, want, words, now)

    def _keep(
        self, review: Review, person: str, name: str, want: Asked, words: str, now: datetime
    ) -> AuditReview:
        seq, hash_ = head_of(review)
        count = sum(1 for _ in self._rows(review, want))
        text = f"Reviewed up to event {seq} ({hash_[:12]}…), {count} rows, {want.words}. {words}".strip()
        signed = AuditReview(
            seq=seq, hash=hash_, filters=want.words, rows=count, words=words, name=name, text=text
        )
        self._store.add_event(
            at=utc_text(now),
            actor=person,
            kind=KIND,
            unit_id=review.unit_id,
            batch=review.batch,
            body=msgspec.json.encode(signed).decode(),
        )
        return signed

    def _rows(self, review: Review, want: Asked) -> Iterator[AuditRow]:
        return in_order(self._read(review), want.filter, want.sort, reverse=want.reverse)

    def _read(self, review: Review) -> Callable[[int, int | None], list[StoredRecord]]:
        def read(first: int, last: int | None) -> list[StoredRecord]:
            row = review.row
            begin, end = max(first, row.first_seq), row.last_seq if last is None else min(last, row.last_seq)
            found = self._store.records(review.unit_id, "gxp", row.epoch, begin, end)
            # An event of the unit itself concerns each batch during which it came.
            return [
                StoredRecord(one.seq, one.hash, one.data) for one in found if one.batch in ("", row.batch)
            ]

        return read


def head_of(review: Review) -> tuple[int, str]:
    """Number and hash of the newest event of this batch's trail that central holds."""
    if not review.entries:
        return 0, ""
    return review.entries[-1].seq, review.entries[-1].hash


def _times(review: Review) -> Times:
    return Times(str(review.opened.get("time_zone", "")))
