"""A recipe as data: procedure → unit procedure → operation → phase (ISA-88), units on every number.

The text is TOML. Tables are flat: `[phase.dilute]` names its operation, the operation its unit
procedure. The signed bytes are the file's exact bytes; their SHA-256 is the recipe's hash.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from appliance.domain.errors import QuantityRefused, RecipeRefused
from appliance.domain.prompts import Field
from appliance.domain.quantity import Quantity, parse_quantity, parse_range

TEXT_BYTES_MAX = 32 * 1024
LABEL_LENGTH_MAX = 60
DECIMALS_MAX = 6
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A set value and the signed range it must stay in."""

    value: Quantity
    low: Quantity | None = None
    high: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """What a value is held against, and what happens when it is crossed.

    `bound` is `<=` or `>=`; `on_action` is `hold`, `deviation` or `stop`.
    """

    name: str
    bound: str
    alert: Quantity | None
    action: Quantity | None
    on_action: str

    def crossed_level(self, value: Decimal, unit: str) -> str:
        """`action`, `alert` or empty: which bound `value` lies beyond."""
        for level, quantity in (("action", self.action), ("alert", self.alert)):
            if quantity is not None and not self._holds(value, quantity.in_unit(unit)):
                return level
        return ""

    def _holds(self, value: Decimal, bound: Decimal) -> bool:
        return value <= bound if self.bound == "<=" else value >= bound

    def words(self, level: str) -> str:
        quantity = self.action if level == "action" else self.alert
        return f"{self.bound} {quantity}"


@dataclass(frozen=True, slots=True)
class Material:
    """A material that must be scanned before it is used: catalogue number as on its label."""

    id: str
    title: str
    catalogue: str
    alternates: tuple[str, ...] = ()  # qualified catalogue numbers that may stand in for it


@dataclass(frozen=True, slots=True)
class Phase:
    """The smallest element that does something; its type names its logic in `domain/phases/`."""

    id: str
    title: str
    type: str
    operation: str
    after: tuple[str, ...]
    uses: Mapping[str, str]  # role → what is asked of it, in words
    instruction: Mapping[str, str]  # key → words for the person
    action: Mapping[str, str]  # key → physical act
    text: Mapping[str, str]  # further settings that are not numbers
    parameters: Mapping[str, Parameter]
    limits: Mapping[str, Limit]
    materials: tuple[str, ...]
    verify: tuple[str, ...]  # keys a second person verifies
    safe_state: Mapping[str, str]  # role → stop or keep
    roles: tuple[str, ...]
    results: tuple[Field, ...] = ()  # what a device run by people shows at its end

    def amount(self, name: str, unit: str) -> Decimal:
        """A parameter's number in `unit`; the recipe check has proven that it is there."""
        return self.parameters[name].value.in_unit(unit)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A master recipe, frozen as the control recipe when a batch opens."""

    id: str
    version: str
    title: str
    hash: str
    procedure: str
    unit_procedures: Mapping[str, str]
    operations: Mapping[str, tuple[str, str]]  # id → (title, unit procedure)
    phases: Mapping[str, Phase]
    materials: Mapping[str, Material]
    settings: Mapping[str, str] = field(default_factory=dict)

    def order_of(self, phase_id: str) -> int:
        return list(self.phases).index(phase_id)


def recipe_hash(data: bytes) -> str:
    """SHA-256 of the file's exact bytes."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeRefused
        With each fault: the place and what to write. Rules that need the phase types
        are in `recipe_check.check`.
    """
    if len(data) > TEXT_BYTES_MAX:
        raise RecipeRefused([f"The file has {len(data)} bytes; at most {TEXT_BYTES_MAX} are read."])
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeRefused([f"The text is not valid TOML: {error}."]) from error
    return _Reader(tree).recipe(recipe_hash(data))


class _Reader:
    """Walks the tree once and collects every fault instead of stopping at the first."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree, self._faults = tree, list[str]()

    def recipe(self, digest: str) -> Recipe:
        head = self._table(self._tree, "recipe")
        procedure = self._table(self._tree, "procedure")
        recipe = Recipe(
            id=self._text(head, "id", "recipe"),
            version=self._text(head, "version", "recipe"),
            title=self._text(head, "title", "recipe"),
            hash=digest,
            procedure=self._text(procedure, "title", "procedure"),
            unit_procedures={k: self._text(v, "title", k) for k, v in self._tables("unit_procedure")},
            operations={
                k: (self._text(v, "title", k), self._text(v, "unit_procedure", k))
                for k, v in self._tables("operation")
            },
            phases={k: self._phase(k, v) for k, v in self._tables("phase")},
            materials={k: self._material(k, v) for k, v in self._tables("material")},
            settings={k: v for k, v in head.items() if isinstance(v, str)},
        )
        if self._faults:
            raise RecipeRefused(self._faults)
        return recipe

    def _material(self, name: str, table: dict[str, Any]) -> Material:
        place = f"material.{name}"
        return Material(
            id=name,
            title=self._text(table, "title", name),
            catalogue=self._text(table, "catalogue", name),
            alternates=self._texts(table, "alternates", place),
        )

    def _phase(self, name: str, table: dict[str, Any]) -> Phase:
        place = f"phase.{name}"
        known = {"title", "type", "operation", "after", "uses", "instruction", "action", "text"} | {
            "parameter",
            "limit",
            "material",
            "verify",
            "safe_state",
            "roles",
            "result",
        }
        for key in table.keys() - known:
            self._faults.append(f"{place}: '{key}' is not known; known are {', '.join(sorted(known))}.")
        return Phase(
            id=name,
            title=self._text(table, "title", place),
            type=self._text(table, "type", place),
            operation=self._text(table, "operation", place),
            after=self._texts(table, "after", place),
            uses=self._words(table, "uses", place),
            instruction=self._words(table, "instruction", place),
            action=self._words(table, "action", place),
            text=self._words(table, "text", place),
            parameters={
                k: p for k, v in self._sub(table, "parameter", place) if (p := self._parameter(place, k, v))
            },
            limits={k: m for k, v in self._sub(table, "limit", place) if (m := self._limit(place, k, v))},
            materials=self._texts(table, "material", place),
            verify=self._texts(table, "verify", place),
            safe_state=self._words(table, "safe_state", place),
            roles=self._texts(table, "roles", place),
            results=tuple(
                r for k, v in self._sub(table, "result", place) if (r := self._result(place, k, v))
            ),
        )

    def _result(self, place: str, name: str, table: Any) -> Field | None:
        """One number that is typed or imported, with its unit and the range in which it is plausible."""
        place = f"{place}.result.{name}"
        known = {"label", "unit", "minimum", "maximum", "decimals"}
        if _NAME.fullmatch(name) is None or not isinstance(table, dict) or table.keys() - known:
            self._faults.append(
                f"{place}: name it with small letters, digits and '_'; write {', '.join(sorted(known))}."
            )
            return None
        texts = {key: table.get(key) for key in ("label", "unit", "minimum", "maximum")}
        for key, text in texts.items():
            if not isinstance(text, str) or not 1 <= len(text) <= LABEL_LENGTH_MAX:
                self._faults.append(f"{place}: '{key}' is missing or no text in quotes.")
                return None
        low, high = (_NUMBER.fullmatch(str(texts[key])) for key in ("minimum", "maximum"))
        if low is None or high is None or Decimal(low[0]) >= Decimal(high[0]):
            self._faults.append(
                f"{place}: minimum and maximum are numbers such as '0.5', the lower one first."
            )
            return None
        decimals = table.get("decimals", 0)
        if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= DECIMALS_MAX:
            self._faults.append(f"{place}: 'decimals' is a whole number from 0 to {DECIMALS_MAX}.")
            return None
        return Field(
            name=name,
            label=str(texts["label"]),
            kind="number",
            unit=str(texts["unit"]),
            minimum=low[0],
            maximum=high[0],
            decimals=decimals,
        )

    def _parameter(self, place: str, name: str, value: Any) -> Parameter | None:
        place = f"{place}.parameter.{name}"
        table = {"value": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not table.keys() <= {"value", "range"} or "value" not in table:
            self._faults.append(f"{place}: write a quantity such as '10 mL/min', or value and range.")
            return None
        try:
            quantity = parse_quantity(str(table["value"]))
            low, high = parse_range(str(table["range"])) if "range" in table else (None, None)
            if low and high and not low.value <= quantity.in_unit(low.unit) <= high.value:
                self._faults.append(f"{place}: {quantity} lies outside its own range {table['range']}.")
            return Parameter(quantity, low, high)
        except QuantityRefused as error:
            self._faults.append(f"{place}: {error}")
            return None

    def _limit(self, place: str, name: str, table: Any) -> Limit | None:
        place = f"{place}.limit.{name}"
        known = {"alert", "action", "on_action"}
        if not isinstance(table, dict) or not table.keys() <= known or not table.keys() & {"alert", "action"}:
            self._faults.append(f"{place}: write alert and/or action such as '<= 2 g', and on_action.")
            return None
        bounds: dict[str, Quantity] = {}
        signs = set()
        for level in ("alert", "action"):
            if level in table:
                sign, _, rest = str(table[level]).partition(" ")
                signs.add(sign)
                try:
                    bounds[level] = parse_quantity(rest)
                except QuantityRefused as error:
                    self._faults.append(f"{place}.{level}: {error}")
        on_action = str(table.get("on_action", ""))
        if signs not in ({"<="}, {">="}) or (
            "action" in table and on_action not in ("hold", "deviation", "stop")
        ):
            self._faults.append(
                f"{place}: begin with '<= ' or '>= '; an action needs on_action hold, deviation or stop."
            )
            return None
        return Limit(name, signs.pop(), bounds.get("alert"), bounds.get("action"), on_action)

    def _table(self, tree: dict[str, Any], name: str) -> dict[str, Any]:
        table = tree.get(name)
        if not isinstance(table, dict):
            self._faults.append(f"The table [{name}] is missing.")
            return {}
        return table

    def _tables(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        tables = self._tree.get(name, {})
        if not isinstance(tables, dict) or not all(isinstance(v, dict) for v in tables.values()):
            self._faults.append(f"[{name}] must hold tables such as [{name}.x].")
            return []
        return list(tables.items())

    def _text(self, table: dict[str, Any], key: str, place: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value:
            self._faults.append(f"{place}: '{key}' is missing or not a text.")
            return ""
        return value

    def _texts(self, table: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self._faults.append(f"{place}: '{key}' must be a list of texts.")
            return ()
        return tuple(value)

    def _words(self, table: dict[str, Any], key: str, place: str) -> dict[str, str]:
        value = table.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            self._faults.append(f"{place}: '{key}' must be a table of texts.")
            return {}
        return value

    def _sub(self, table: dict[str, Any], key: str, place: str) -> list[tuple[str, Any]]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            self._faults.append(f"{place}: '{key}' must be a table.")
            return []
        return list(value.items())
