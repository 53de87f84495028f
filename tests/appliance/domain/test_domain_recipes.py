"""The recipe's text: quantities, hostile bytes, and every seeded fault found with its place."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from bedside import RECIPE_B
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.errors import QuantityRefused, RecipeRefused
from appliance.domain.phases import LOGIC
from appliance.domain.quantity import UNITS, Quantity, parse_quantity, parse_range, plain
from appliance.domain.recipe import TEXT_BYTES_MAX, Recipe, parse, recipe_hash
from appliance.domain.recipe_check import check


def faults_of(text: str) -> list[str]:
    """All that is wrong with a recipe, whoever finds it."""
    try:
        return check(parse(text.encode()))
    except RecipeRefused as refused:
        return refused.faults


def without_line(text: str, table: str, key: str) -> str:
    """The recipe without the line `key = …` of one table."""
    head, found, rest = text.partition(f"[{table}]\n")
    assert found, table
    body, mark, tail = rest.partition("\n[")
    changed = re.sub(rf"^{re.escape(key)} = .*\n?", "", body, flags=re.MULTILINE)
    assert changed != body, (table, key)
    return head + found + changed + mark + tail


def test_the_recipe_that_ships_has_no_fault() -> None:
    assert faults_of(RECIPE_B) == []


def test_a_recipe_for_roller_pumps_names_no_syringe() -> None:
    assert faults_of(without_line(RECIPE_B, "phase.fill.parameter", "syringe_diameter")) == []
    for wrong in ("0 mm", "3 mL"):
        text = RECIPE_B.replace('syringe_diameter = "26.7 mm"', f'syringe_diameter = "{wrong}"')
        assert any("syringe_diameter" in fault for fault in faults_of(text))


def test_the_hash_is_of_the_exact_bytes() -> None:
    assert parse(RECIPE_B.encode()).hash == recipe_hash(RECIPE_B.encode())
    assert recipe_hash(RECIPE_B.encode()) != recipe_hash((RECIPE_B + "\n").encode())


def needs() -> list[tuple[str, str, str]]:
    """Everything that the phase types of recipe B need: (table, key, where the fault must point)."""
    found = []
    for phase in parse(RECIPE_B.encode()).phases.values():
        logic, place = LOGIC[phase.type], f"phase.{phase.id}"
        found += [(f"{place}.parameter", name, f"{place}.parameter: '{name}'") for name in logic.PARAMETERS]
        found += [(f"{place}.limit", name, f"{place}.limit: '{name}'") for name in logic.LIMITS]
        found += [
            (f"{place}.instruction", key, f"{place}.instruction: '{key}'") for key in logic.INSTRUCTIONS
        ]
        found += [(f"{place}.text", key, f"{place}.text: '{key}'") for key in logic.TEXTS]
        found += [(place, "uses", f"{place}.uses: a {role}") for role in logic.ROLES]
        found += [(place, "safe_state", f"{place}.safe_state: write stop or keep") for role in logic.ROLES]
        found += [(place, key, f"{place}: '{key}'") for key in ("title", "type", "operation")]
    found += [
        ("phase.fill.parameter", name, f"phase.fill.parameter: '{name}'") for name in ("dose_min", "dose_max")
    ]
    return found


@pytest.mark.parametrize(("table", "key", "place"), needs())
def test_what_a_phase_needs_and_lacks_is_found_with_its_place(table: str, key: str, place: str) -> None:
    faults = faults_of(without_line(RECIPE_B, table, key))

    assert any(fault.startswith(place) for fault in faults), faults


SEEDED = {
    "a number without a unit": (
        'flow = { value = "10 mL/min"',
        'flow = { value = "10"',
        "phase.dilute.parameter.flow",
    ),
    "a unit of another dimension": (
        '"26.7 mm"\nbag_weight_min = "20 g"',
        '"26.7 mm"\nbag_weight_min = "20 mL"',
        "phase.dilute.parameter.bag_weight_min",
    ),
    "a unit that nobody knows": (
        'tolerance = "0.5 degC"',
        'tolerance = "0.5 degF"',
        "phase.warm_bath.parameter.tolerance",
    ),
    "a value outside its own range": (
        '"37 degC", range = "36..38 degC" }\ntolerance',
        '"39 degC", range = "36..38 degC" }\ntolerance',
        "phase.warm_bath.parameter.setpoint",
    ),
    "a range that begins above its end": (
        'range = "45..55 mL"',
        'range = "55..45 mL"',
        "phase.dilute.parameter.volume",
    ),
    "a limit turned round": (
        'viability = { action = ">= 70 %"',
        'viability = { action = "<= 70 %"',
        "phase.count.limit.viability",
    ),
    "a ceiling turned round": (
        'endotoxin = { action = "<= 0.5',
        'endotoxin = { action = ">= 0.5',
        "phase.safety_tests.limit.endotoxin",
    ),
    "a limit in another dimension": (
        'thaw_time = { action = "<= 8 min"',
        'thaw_time = { action = "<= 8 mL"',
        "phase.thaw.limit.thaw_time",
    ),
    "an alert in another dimension": (
        'alert = "<= 2 degC"',
        'alert = "<= 2 min"',
        "phase.thaw.limit.core_temperature",
    ),
    "an alert beyond its action": (
        'alert = "<= 2 degC"',
        'alert = "<= 5 degC"',
        "phase.thaw.limit.core_temperature",
    ),
    "two signs in one limit": (
        'alert = "<= 2 degC"',
        'alert = ">= 2 degC"',
        "phase.thaw.limit.core_temperature",
    ),
    "an action that does nothing": (
        '"<= 8 min", on_action = "deviation"',
        '"<= 8 min", on_action = "nothing"',
        "phase.thaw.limit.thaw_time",
    ),
    "an alert alone": (
        'thaw_time = { action = "<= 8 min", on_action = "deviation" }',
        'thaw_time = { alert = "<= 8 min" }',
        "phase.thaw.limit: 'thaw_time'",
    ),
    "a second person lost to a slip": (
        'verify = ["identity"]',
        'verify = ["identiy"]',
        "phase.receive_bag.verify",
    ),
    "a second person where none is asked": (
        'type = "thaw"',
        'type = "thaw"\nverify = ["bag_out"]',
        "phase.thaw.verify",
    ),
    "a role that nobody has": (
        'roles = ["operator", "supervisor"]',
        'roles = ["operator", "boss"]',
        "phase.count.roles",
    ),
    "a type that is not known": ('type = "thaw"', 'type = "defrost"', "phase.thaw: type 'defrost'"),
    "a key that is not known": ('type = "thaw"', 'type = "thaw"\nspeed = "fast"', "phase.thaw: 'speed'"),
    "an operation that is not there": (
        'title = "Thaw"\ntype = "thaw"\noperation = "thaw"',
        'title = "Thaw"\ntype = "thaw"\noperation = "melt"',
        "phase.thaw: operation 'melt'",
    ),
    "a phase that follows none": (
        'after = ["receive_bag"]',
        'after = ["recieve_bag"]',
        "phase.thaw: follows 'recieve_bag'",
    ),
    "phases that wait for each other": (
        'after = ["clear_line"]\nmaterial',
        'after = ["clear_line", "thaw"]\nmaterial',
        "phase.scan_materials: can never start",
    ),
    "a material that is not in the bill": (
        'material = ["diluent", "wash_set", "dye"]',
        'material = ["diluent", "wash_set", "ink"]',
        "phase.scan_materials.material: 'ink'",
    ),
    "a material that nobody scans": (
        'material = ["diluent", "wash_set", "dye"]',
        'material = ["diluent", "wash_set"]',
        "material.dye: no phase scans it",
    ),
    "work before the line is clear": (
        'operation = "identity"\nafter = ["clear_line"]\nmaterial',
        'operation = "identity"\nmaterial',
        "phase.scan_materials: must come after the line clearance",
    ),
    "product work before the bag is known": (
        'operation = "dilute"\nafter = ["thaw"]',
        'operation = "dilute"\nafter = ["warm_bath"]',
        "phase.dilute: must come after the bag is identified",
    ),
    "work that nobody signs for": (
        'after = ["label", "safety_tests"]',
        'after = ["label"]',
        "phase.seal: must come after 'safety_tests'",
    ),
    "a hand-over before the seal": (
        'operation = "release"\nafter = ["seal"]',
        'operation = "release"\nafter = ["label"]',
        "phase.hand_over: must come after the seal",
    ),
    "a pump that goes on when nobody listens": (
        'safe_state = { pump = "stop", balance = "keep" }\n[phase.dilute.i',
        'safe_state = { pump = "keep", balance = "keep" }\n[phase.dilute.i',
        "phase.dilute.safe_state",
    ),
    "a density of nothing": (
        'density = "1.0 g/mL"',
        'density = "0 g/mL"',
        "phase.dilute.parameter.density",
    ),
    "no replicate": ('replicates = "3 count"', 'replicates = "0 count"', "phase.count.parameter.replicates"),
    "half a replicate": (
        'replicates = "3 count"',
        'replicates = "2.5 count"',
        "phase.count.parameter.replicates",
    ),
    "a rule that nobody knows": ('rule = "point"', 'rule = "best"', "phase.count.text.rule"),
    "a dose window without room": (
        'dose_max = "4.0e6 cells/kg"',
        'dose_max = "0.4e6 cells/kg"',
        "phase.fill.parameter: dose_min and dose_max",
    ),
    "a dose window in millilitres": (
        'dose_max = "4.0e6 cells/kg"',
        'dose_max = "4 mL"',
        "phase.fill.parameter: dose_min and dose_max",
    ),
    "a label without a product code": ('description_code = "S9992"\n', "", "recipe: description_code"),
    "two seals": ('type = "hand_over"', 'type = "seal"', "A recipe has exactly one phase of type 'seal'"),
    "a unit procedure that is not there": (
        'title = "Thaw"\nunit_procedure = "process"',
        'title = "Thaw"\nunit_procedure = "proces"',
        "operation.thaw: unit procedure 'proces'",
    ),
    "no title": ('title = "Thaw, wash and dose preparation, 50 minutes"\n', "", "recipe: 'title'"),
}


@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_fault_is_found_with_its_place(name: str) -> None:
    good, bad, place = SEEDED[name]
    assert RECIPE_B.count(good) >= 1, "the recipe no longer has this text"

    faults = faults_of(RECIPE_B.replace(good, bad, 1))

    assert any(fault.startswith(place) for fault in faults), faults


# ── Hostile text ───────────────────────────────────────────────────────────────────────


def read(data: bytes) -> Recipe | None:
    try:
        recipe = parse(data)
    except RecipeRefused as refused:
        assert refused.faults and all(refused.faults)
        return None
    check(recipe)
    return recipe


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_words(data: bytes) -> None:
    read(data)


toml_leaf = st.sampled_from(
    ['""', '"x"', "1", "1.5", "true", "[]", '["a"]', "{}", '{ value = "1 g" }', "1979-05-27"]
)
toml_key = st.sampled_from(
    ["id", "title", "type", "after", "uses", "parameter", "limit", "verify", "roles", "text", "material", "x"]
)
toml_table = st.sampled_from(
    [
        "recipe",
        "procedure",
        "unit_procedure.a",
        "operation.a",
        "phase.a",
        "phase.a.parameter",
        "phase.a.limit",
        "material.a",
        "phase",
    ]
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(toml_table, st.dictionaries(toml_key, toml_leaf, max_size=4)), max_size=6))
def test_any_tree_of_tables_is_read_or_refused_with_words(tables: list[tuple[str, dict[str, str]]]) -> None:
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())
        for name, lines in tables
    )
    read(text.encode())


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.integers(0, len(RECIPE_B) - 1), st.sampled_from(['"', "=", "[", "]", "\n", "9", "-", " ", "é", "{"])
)
def test_one_changed_character_of_a_good_recipe_breaks_nothing_but_the_recipe(place: int, put: str) -> None:
    read((RECIPE_B[:place] + put + RECIPE_B[place + 1 :]).encode())


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.data())
def test_a_recipe_with_lines_missing_is_read_or_refused_with_words(data: st.DataObject) -> None:
    lines = RECIPE_B.splitlines(keepends=True)
    kept = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=8, unique=True))

    read("".join(line for number, line in enumerate(lines) if number not in kept).encode())


def test_a_recipe_that_is_too_long_is_not_read() -> None:
    with pytest.raises(RecipeRefused, match="at most"):
        parse(b"#" * (TEXT_BYTES_MAX + 1))


# ── Quantities ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_a_quantity_is_read_as_it_is_written(unit: str) -> None:
    quantity = parse_quantity(f"12.5 {unit}")

    assert (quantity.value, quantity.unit, str(quantity)) == (Decimal("12.5"), unit, f"12.5 {unit}")


@pytest.mark.parametrize("unit", sorted(UNITS))
@pytest.mark.parametrize("other", sorted(UNITS))
def test_a_quantity_turns_only_into_units_of_its_own_dimension(unit: str, other: str) -> None:
    quantity = parse_quantity(f"3 {unit}")
    if UNITS[unit][0] == UNITS[other][0]:
        assert Quantity(quantity.in_unit(other), other).in_unit(unit).quantize(Decimal("1e-9")) == 3
        return

    with pytest.raises(QuantityRefused, match="is needed"):
        quantity.in_unit(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "mL",
        "10mL",
        "10 ml",
        "ten mL",
        "1,5 mL",
        "10 mL extra",
        "NaN mL",
        "1e999 mL",
        "\uff11 mL",
        "\u0661 mL",
    ],
)
def test_what_is_no_number_with_a_unit_is_refused(text: str) -> None:
    with pytest.raises(QuantityRefused):
        parse_quantity(text)


def test_units_of_time_and_volume_convert() -> None:
    assert parse_quantity("2 h").in_unit("s") == 7200
    assert parse_quantity("90 s").in_unit("min") == Decimal("1.5")
    assert parse_quantity("1.5 L").in_unit("mL") == 1500


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(max_size=40))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for read_one in (parse_quantity, parse_range):
        try:
            read_one(text)
        except QuantityRefused as refused:
            assert str(refused)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_number_written_plainly_is_the_same_number(value: Decimal) -> None:
    assert Decimal(plain(value)) == value
    assert "e" not in plain(value).lower()
