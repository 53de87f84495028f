"""The lists that hold here: people, roles, revocation. Received, verified, activated: three facts.

Each is signed under the offline root. The record remembers the highest version of each, so that
an older one is refused also after a restart or a restore. A running batch goes on: its recipe is
frozen, and who may act in it is judged from the next act on (SAFETY 21).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.access.documents import THRESHOLDS, Envelope, dump, load, parse, to_json, verify
from appliance.access.errors import AccessRefused, DocumentRefused
from appliance.access.people import People
from appliance.access.revocation import Revocation
from appliance.access.site_roles import SecretRules, SiteRoles
from appliance.config import Home
from appliance.domain import events as ev
from appliance.domain import people_rules
from appliance.domain.people_state import PeopleState
from appliance.engine.port import EnginePort
from appliance.engine.shelf import load_shelf
from appliance.record.attachments import blob_path

_READERS: dict[str, Callable[[bytes], People | SiteRoles | Revocation]] = {
    "people": People.from_content,
    "roles": SiteRoles.from_content,
    "revocation": Revocation.from_content,
}
LISTS = tuple(_READERS)
MEDIA_TYPE = "application/json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SiteList:
    """One verified list."""

    type: str
    envelope: Envelope
    content: People | SiteRoles | Revocation
    blob: str = ""

    @property
    def version(self) -> int:
        return self.content.version

    @property
    def hash(self) -> str:
        return self.envelope.content_hash

    @property
    def signed_by(self) -> list[str]:
        return sorted(signature.key for signature in self.envelope.signatures)


def list_path(home: Home, document_type: str) -> Path:
    """Where the newest version of a list lies."""
    return home.documents / f"{document_type}.json"


def history_path(home: Home, document_type: str, version: int) -> Path:
    """Where each version is kept, for the history of accounts and permissions (R-19)."""
    return home.documents / "history" / f"{document_type}-{version:06d}.json"


def read_list(envelope: Envelope, root_keys: tuple[str, ...]) -> SiteList:
    """Verify under the root and read; raises `DocumentRefused`."""
    content = verify(envelope, allowed={"root": frozenset(root_keys)}, threshold=THRESHOLDS[envelope.type])
    try:
        return SiteList(envelope.type, envelope, _READERS[envelope.type](content))
    except AccessRefused as refused:
        raise DocumentRefused(refused.reason, str(refused)) from refused


def activation(engine: EnginePort, one: SiteList) -> list[ev.Event]:
    """What becomes true when a list comes to hold."""
    activated = ev.DocumentActivated(type=one.type, version=one.version, blob=one.blob, content_hash=one.hash)
    unit = engine.unit
    match one.content:
        case People(people=people):
            accounts = (person.account for person in people)
            return [activated, *people_rules.accounts_changed(unit, accounts, one.version)]
        case SiteRoles() as roles:
            return [activated, roles.applied(one.hash)]
        case revocation:
            return [activated, *people_rules.revoked(unit, revocation.people)]


class SiteDocuments:
    """Takes lists in, at the start and while the unit runs."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    @property
    def _state(self) -> PeopleState:
        return self._engine.unit.people

    # ── While the unit runs ────────────────────────────────────────────────────────────

    async def deliver(self, envelope: Envelope, blob: str, command: str) -> dict[str, str]:
        """A list from central or by hand.

        Raises
        ------
        DocumentRefused
            Not by the root, garbled, of a lower version, or it breaks a rule; that is on record.
        """
        engine = self._engine
        known = self._state.documents.get(envelope.type)
        if known is not None and known.content_hash == envelope.content_hash:
            return {"words": f"Version {known.version} of this {envelope.type} document holds already."}
        words = f"{envelope.type} document"
        received = ev.DocumentReceived(type=envelope.type, blob=blob, words=words)
        await engine.turn(lambda: [received])  # its command id comes with the outcome
        try:
            one = self._checked(envelope, blob)
        except DocumentRefused as refusal:
            refused = ev.DocumentRefused(
                type=envelope.type, blob=blob, reason=refusal.reason, words=str(refusal)
            )
            await engine.turn(lambda: [refused], command=command)
            raise
        await engine.turn(lambda: [_verified(one)])
        await engine.journal.in_writer(self._keep, one)
        await engine.turn(lambda: activation(engine, one), command=command)
        await self._take_effect()
        return {"words": f"Version {one.version} of the {one.type} document holds now."}

    def _checked(self, envelope: Envelope, blob: str) -> SiteList:
        one = read_list(envelope, self._engine.trust.root)
        one = SiteList(one.type, one.envelope, one.content, blob)
        highest = self._state.version(one.type)
        if one.version <= highest:
            raise DocumentRefused(
                "lower_version",
                f"This {one.type} document is version {one.version}; this unit has version {highest} "
                "already. Fetch the newest one.",
            )
        if isinstance(one.content, People):
            try:
                one.content.check_successor_of(self._engine.shelf.people)
            except AccessRefused as refused:
                raise DocumentRefused(refused.reason, str(refused)) from refused
        return one

    def _keep(self, one: SiteList) -> None:
        home = self._engine.home
        dump(one.envelope, history_path(home, one.type, one.version))
        dump(one.envelope, list_path(home, one.type))

    async def _take_effect(self) -> None:
        engine = self._engine
        engine.shelf = load_shelf(engine.home, engine.trust)
        engine.desk.refresh(engine.shelf.people)
        await engine.desk.close_inactive()

    # ── At the start ───────────────────────────────────────────────────────────────────

    async def at_start(self) -> None:
        """Hold what lies on the disk against the record; the newest version that was ever active holds.

        Raises
        ------
        DocumentRefused
            A list on the disk is not signed by the root: nobody could act by it.
        """
        for document_type in LISTS:
            await self._start_list(document_type)
        await self._start_tables()
        engine = self._engine
        engine.shelf = load_shelf(engine.home, engine.trust)
        engine.desk.refresh(engine.shelf.people)
        unrecorded = engine.desk.unrecorded_changes()
        await engine.turn(lambda: unrecorded)
        engine.desk.refresh()

    async def _start_list(self, document_type: str) -> None:
        engine, path = self._engine, list_path(self._engine.home, document_type)
        known = self._state.documents.get(document_type)
        if not path.exists():
            if known is not None:
                await self._put_back(known, "It is missing from the disk.")
            return
        one = read_list(load(path), engine.trust.root)
        if one.type != document_type:
            raise DocumentRefused("wrong_type", f"{path} holds a {one.type} document. Replace it.")
        if known is not None and one.hash == known.content_hash:
            return
        if known is not None and one.version <= known.version:
            await self._put_back(known, f"The disk had version {one.version}.")
            return
        broken = self._broken_succession(known, one) if known is not None else None
        if known is not None and broken is not None:
            await self._put_back(known, str(broken), reason=broken.reason)
            return
        await self._activate_at_start(one)

    def _broken_succession(self, known: ev.DocumentActivated, one: SiteList) -> AccessRefused | None:
        """Why a newer list of people on the disk may not follow the one on record (R-25)."""
        before = self._kept(known).content
        if isinstance(before, People) and isinstance(one.content, People):
            try:
                one.content.check_successor_of(before)
            except AccessRefused as refused:
                return refused
        return None

    def _kept(self, known: ev.DocumentActivated) -> SiteList:
        """A list as the record keeps it."""
        engine = self._engine
        kept = parse(blob_path(engine.record.blobs_folder, known.blob).read_bytes())
        return read_list(kept, engine.trust.root)

    async def _activate_at_start(self, one: SiteList) -> None:
        engine = self._engine
        put = engine.record.put_blob
        reference = await engine.journal.in_writer(put, to_json(one.envelope), MEDIA_TYPE)
        one = SiteList(one.type, one.envelope, one.content, str(reference.sha256))
        await engine.journal.in_writer(self._keep, one)
        received = ev.DocumentReceived(type=one.type, blob=one.blob, words="found at the start")
        await engine.turn(lambda: [received, _verified(one), *activation(engine, one)])

    async def _put_back(
        self, known: ev.DocumentActivated, why: str, *, reason: str = "lower_version"
    ) -> None:
        """What the disk has may not hold: the version on record does, and lies on the disk again."""
        engine = self._engine
        words = f"{why} Version {known.version} of the {known.type} document holds and was put back."
        _logger.warning("%s", words)
        refused = ev.DocumentRefused(type=known.type, blob=known.blob, reason=reason, words=words)
        await engine.journal.in_writer(self._keep, self._kept(known))
        await engine.turn(lambda: [refused])

    async def _start_tables(self) -> None:
        """The tables that hold, on record when they differ from those of the last start."""
        engine, path = self._engine, list_path(self._engine.home, "roles")
        applied = people_rules.built_in_roles(SecretRules().as_dict())
        if path.exists():
            one = read_list(load(path), engine.trust.root)
            assert isinstance(one.content, SiteRoles), one.type
            applied = one.content.applied(one.hash)
        if self._state.roles_applied != applied:
            await engine.turn(lambda: [applied])


def _verified(one: SiteList) -> ev.DocumentVerified:
    return ev.DocumentVerified(
        type=one.type,
        version=one.version,
        blob=one.blob,
        content_hash=one.hash,
        signed_by=one.signed_by,
    )
