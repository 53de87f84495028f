"""Answers, signatures, second persons and corrections: who proves what, and that they saw what they sign."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import corrections, decisions
from appliance.domain import events as ev
from appliance.domain.errors import CommandRefused, NotPlausible
from appliance.domain.prompts import Prompt
from appliance.domain.roles import Actor
from appliance.domain.turns import command_taken
from appliance.engine.command_body import text_of
from appliance.engine.port import EnginePort
from appliance.engine.scan_commands import nameless
from appliance.engine.view import short_code
from appliance.link.messages import Command, Proof
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]
SIGNATURES = ("signature", "second_signature")


class SignatureCommands:
    """`answer` and `correct`; the rules are the domain's."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {"answer": self._answer, "correct": self._correct}

    async def _answer(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, prompt_id = self._engine, text_of(command, "prompt")
        values = command.body.get("values", {})
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise NotPlausible("The answer's values must be texts.")
        prompt = decisions.find_prompt(engine.unit, prompt_id, engine.clock.utc())
        values = nameless(engine, prompt, values)
        # To throw a count away binds nobody to its content.
        signs = prompt.needs in SIGNATURES and values.get("decision") != "repeat"
        actor = await self._actor(command, caller, prompt.needs, signs=signs)
        shown, binds = str(command.body.get("signs", "")), prompt.needs != "session"

        def decide() -> list[ev.Event]:
            now = engine.clock.utc()
            if binds and values.get("decision") != "repeat":
                _refuse_unseen(decisions.find_prompt(engine.unit, prompt_id, now), shown)
            return decisions.answer(engine.unit, prompt_id, dict(values), actor, now)

        await self._turn(command, caller, actor, decide, values=values)
        if signs:
            engine.desk.sessions.signature_given(caller.station, actor.id)
        return {}

    async def _correct(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Without a proof only what would be signed comes back, and nothing is recorded."""
        engine, asked = self._engine, corrections.asked_of(command.body)
        if command.proof is None:
            actor = engine.desk.acting(caller.station)
            prompt = corrections.correction_prompt(engine.unit, asked, actor, engine.clock.utc())
            return _preview(prompt)
        actor = await self._actor(command, caller, "signature", signs=True)
        shown = str(command.body.get("signs", ""))

        def decide() -> list[ev.Event]:
            now = engine.clock.utc()
            _refuse_unseen(corrections.correction_prompt(engine.unit, asked, actor, now), shown)
            return corrections.correct(engine.unit, asked, actor, now)

        await self._turn(command, caller, actor, decide)
        engine.desk.sessions.signature_given(caller.station, actor.id)
        return {}

    async def _actor(self, command: Command, caller: Caller, needs: str, *, signs: bool) -> Actor:
        """The proven person of a proof, else the session's; a first signature is its session's own."""
        proof = command.proof
        if proof is None:
            return self._engine.desk.acting(caller.station)
        if needs == "signature":
            self._refuse_other_signer(proof, caller)
        if signs and proof.password:
            self._refuse_part_proof(proof, caller)
        return await self._engine.desk.proven(caller.station, proof, for_what=command.name)

    def _refuse_other_signer(self, proof: Proof, caller: Caller) -> None:
        acting = self._engine.desk.acting(caller.station)
        meant = self._engine.desk.people.find(proof.person)
        if meant is None or meant.id != acting.id:
            raise CommandRefused(f"{acting.name} is signed in and signs here.", reason="not_permitted")

    def _refuse_part_proof(self, proof: Proof, caller: Caller) -> None:
        """Id and password for the first signature of an unbroken session, then the password (R-27)."""
        desk = self._engine.desk
        meant, typed = desk.people.find(proof.person), desk.people.find(proof.typed)
        person = meant.id if meant is not None else ""
        needs = desk.sessions.signature_needs(caller.station, person, desk.now_s())
        if "id" in needs and (typed is None or typed.id != person):
            raise CommandRefused(
                "The first signature of a session needs both: enter your id or show your badge, "
                "then your password.",
                reason="id_needed",
            )

    async def _turn(
        self,
        command: Command,
        caller: Caller,
        actor: Actor,
        decide: Callable[[], list[ev.Event]],
        *,
        values: dict[str, str] | None = None,
    ) -> None:
        body = command.body if values is None else command.body | {"values": values}
        taken = command_taken(command.name, body, caller.station, (actor,))
        await self._engine.turn(decide, actor=actor.id, command=command.command_id, taken=taken)


def _refuse_unseen(prompt: Prompt, shown: str) -> None:
    """Nobody confirms what they have not seen: the code sent is of exactly what is confirmed now."""
    if not prompt.content or shown == short_code(prompt.content):
        return
    if not shown:
        raise CommandRefused("Look at the facts on the screen first, then confirm them.", reason="unseen")
    raise CommandRefused(
        "What you are signing has changed since it was shown. Look at it again, then sign.",
        reason="content_changed",
    )


def _preview(prompt: Prompt) -> dict[str, Any]:
    return {
        "title": prompt.title,
        "instruction": prompt.instruction,
        "meaning": prompt.meaning,
        "signs": short_code(prompt.content),
        "facts": [{"label": fact.label, "value": fact.value} for fact in prompt.facts],
    }
