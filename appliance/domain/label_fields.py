"""What goes on each label: payloads and texts for the templates of `vision.label_picture`.

Each function returns plain strings by field name, ready for the `render_label` request. Times are printed
in the site's local time with its UTC offset; in the symbol they stand in UTC (structure 031).
"""

from datetime import UTC, date, datetime, tzinfo

from appliance.domain.isbt128 import (
    check_character,
    coi_text,
    compound,
    din_text,
    division_text,
    expiry_date_text,
    expiry_utc_text,
    item_lot_text,
    item_text,
    label_of,
    product_text,
    readable_din,
    staff_text,
)

Fields = dict[str, str]
REPRINT_FLAGS = "05"


def bag_fields(
    *,
    din: str,
    description_code: str,
    collection_type: str,
    division: str,
    expires_at: datetime,
    zone: tzinfo,
    coi: str = "",
    volume_ml: str = "",
    patient: str = "",
    storage: str = "",
    simulated: bool = False,
) -> Fields:
    """Fields of template `bag`: the label of the patient's starting material."""
    fields = _product_fields(
        din, description_code, collection_type, division, expires_at, zone, coi=coi, simulated=simulated
    )
    optional = {
        "volume_readable": f"{volume_ml} mL" if volume_ml else "",
        "patient_readable": patient,
        "storage_readable": storage,
    }
    return fields | {name: value for name, value in optional.items() if value}


def dose_fields(
    *,
    din: str,
    description_code: str,
    collection_type: str,
    division: str,
    expires_at: datetime,
    zone: tzinfo,
    volume_ml: str,
    storage: str,
    patient: str,
    coi: str = "",
    batch: str = "",
    contents: str = "",
    reprint: bool = False,
    simulated: bool = False,
) -> Fields:
    """Fields of template `dose`: the final product; a reprint carries flag 05 on the donation number."""
    fields = _product_fields(
        din,
        description_code,
        collection_type,
        division,
        expires_at,
        zone,
        coi=coi,
        flags=REPRINT_FLAGS if reprint else None,
        simulated=simulated,
    )
    fields |= {
        "patient_readable": patient,
        "division_readable": division,
        "volume_readable": f"{volume_ml} mL",
        "storage_readable": storage,
    }
    optional = {"batch_readable": batch, "contents_readable": contents}
    return fields | {name: value for name, value in optional.items() if value}


def _product_fields(
    din: str,
    description_code: str,
    collection_type: str,
    division: str,
    expires_at: datetime,
    zone: tzinfo,
    *,
    coi: str,
    flags: str | None = None,
    simulated: bool,
) -> Fields:
    donation = din_text(din, flags)
    product = product_text(description_code, collection_type, division)
    parts = [donation, product, expiry_utc_text(expires_at)]
    parts += [division_text(division)] if len(division) == 6 else []
    parts += [coi_text(coi)] if coi else []
    fields = {
        "din_text": donation,
        "product_text": product,
        "compound_text": compound(*parts),
        "din_readable": f"{readable_din(din)}  {donation[-2:]}  [{check_character(din)}]",
        "product_readable": product[2:],
        "expiry_readable": readable_moment(expires_at, zone),
    }
    # What the symbols say together must be one bag, before anything is printed.
    assert label_of([fields["compound_text"], donation]).identity.din == din, din
    return fields | _simulated(simulated)


def wristband_fields(*, order: str, patient: str, coi: str, simulated: bool = False) -> Fields:
    """Fields of template `wristband`: order, patient pseudonym and chain of identity."""
    return {
        "order_readable": order,
        "patient_readable": patient,
        "coi_readable": coi,
        "coi_text": coi_text(coi),
    } | _simulated(simulated)


def order_fields(
    *,
    order: str,
    patient: str,
    coi: str,
    recipe: str = "",
    din: str = "",
    dose: str = "",
    simulated: bool = False,
) -> Fields:
    """Fields of template `order`: the sheet that travels with the order."""
    fields = wristband_fields(order=order, patient=patient, coi=coi, simulated=simulated)
    optional = {
        "recipe_readable": recipe,
        "din_readable": f"{readable_din(din)}  [{check_character(din)}]" if din else "",
        "dose_readable": dose,
    }
    return fields | {name: value for name, value in optional.items() if value}


def material_fields(
    *, maker: str, catalogue_number: str, lot: str, expires_on: date, name: str = "", simulated: bool = False
) -> Fields:
    """Fields of template `material`: maker and catalogue number, lot, expiry date."""
    parts = (item_text(maker, catalogue_number), item_lot_text(lot), expiry_date_text(expires_on))
    fields = {
        "compound_text": compound(*parts),
        "catalogue_readable": f"{maker} {catalogue_number}",
        "lot_readable": lot,
        "expiry_readable": expires_on.isoformat(),
    }
    return fields | ({"name_readable": name} if name else {}) | _simulated(simulated)


def badge_fields(*, facility: str, staff: str, name: str, simulated: bool = False) -> Fields:
    """Fields of template `badge`: a member of staff."""
    text = staff_text(facility, staff)
    return {"staff_text": text, "staff_readable": text[2:], "name_readable": name} | _simulated(simulated)


def readable_moment(moment: datetime, zone: tzinfo) -> str:
    """Local date and time with its offset, and UTC beside it: nobody reckons zones at a bedside."""
    assert moment.utcoffset() is not None, moment
    local = moment.astimezone(zone)
    offset = local.strftime("%z")
    utc = moment.astimezone(UTC)
    return f"{local:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} ({utc:%H:%M} UTC)"


def _simulated(simulated: bool) -> Fields:
    return {"simulated": "true"} if simulated else {}
