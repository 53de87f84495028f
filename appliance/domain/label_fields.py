"""The fields of each label template: ISBT 128 payloads, and beside each the same in readable words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from appliance.domain import isbt128
from appliance.domain.batch import Order
from appliance.domain.label_wording import local_time, statements, utc_time

TEST_TUBE = "07"  # flag: a tube for tests, never the bag
FACILITY_SETTING, FACILITY_CODE_SETTING = "processing_facility", "facility_product_code"


def din_readable(din: str) -> str:
    """The donation number and its check character as one text."""
    return f"{isbt128.readable_din(din)} {isbt128.check_character(din)}"


def expiry_readable(expires_at: datetime, time_zone: str) -> str:
    """Local time with its offset and zone, as a bedside label needs it (T19)."""
    return local_time(expires_at, time_zone)


def _din_fields(din: str, flags: str | None = None) -> dict[str, str]:
    """The donation as a symbol and in words; its check character stands in a frame, for typing only."""
    return {
        "din_text": isbt128.din_text(din, flags),
        "din_readable": isbt128.readable_din(din),
        "din_check": isbt128.check_character(din),
    }


def bag_fields(
    *,
    din: str,
    description_code: str,
    collection_type: str,
    division: str,
    expires_at: datetime,
    time_zone: str,
    patient: str,
    product: str,
    volume_ml: str,
    storage: str,
) -> dict[str, str]:
    """The label of a bag: donation and product as linear symbols, all of it as one compound message."""
    local = expires_at.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)
    donation = _din_fields(din)
    code = isbt128.product_text(description_code, collection_type, division)
    return {
        **donation,
        "product_text": code,
        "compound_text": isbt128.compound(donation["din_text"], code, isbt128.expiry_text(local)),
        "product_readable": product,
        "product_code_readable": f"{description_code}{collection_type}{division}",
        "expiry_readable": expiry_readable(expires_at, time_zone),
        "volume_readable": f"{volume_ml} mL",
        "patient_readable": patient,
        "storage_readable": storage,
    }


def final_product_fields(
    order: Order,
    settings: Mapping[str, str],
    *,
    expires_at: datetime,
    time_zone: str,
    product: str,
    volume_ml: str,
    lot: str,
    site: str,
    contents: str = "",
) -> dict[str, str]:
    """The label of the final product: everything that the minimum label asks for.

    Parameters
    ----------
    settings
        The recipe's: product and collection type, storage, who made it, and what decides its sentences.
    lot
        The batch, and which label of it this is.
    site
        Where it was made; the facility's number stands before it where the recipe gives one.
    """
    collection_type, division = settings.get("collection_type", "0"), settings.get("division", "00")
    fields = bag_fields(
        din=order.din,
        description_code=settings.get("description_code", ""),
        collection_type=collection_type,
        division=division,
        expires_at=expires_at,
        time_zone=time_zone,
        patient=order.patient,
        product=product,
        volume_ml=volume_ml,
        storage=settings.get("storage", ""),
    )
    facility = settings.get(FACILITY_SETTING, "")
    parts = [one.text for one in isbt128.parse(fields["compound_text"]) if one.number != "023"]
    parts.append(isbt128.coi_text(order.coi))
    if facility:
        parts.append(isbt128.facility_text(facility, settings.get(FACILITY_CODE_SETTING, "000000")))
    fields |= {
        "compound_text": isbt128.compound(*parts),
        "expiry_utc_readable": utc_time(expires_at),
        "division_readable": division,
        "batch_readable": lot,
        "coi_readable": order.coi,
        "facility_readable": ", ".join(each for each in (facility, site) if each),
        **statements(settings, collection_type),
    }
    if contents:
        fields["contents_readable"] = contents
    return {name: value for name, value in fields.items() if value}


def in_process_fields(
    order: Order,
    settings: Mapping[str, str],
    *,
    batch: str,
    stage: str,
    made_at: datetime,
    time_zone: str,
    product: str,
    site: str = "",
    volume_ml: str = "",
    storage: str = "",
    expires_at: datetime | None = None,
) -> dict[str, str]:
    """The label of a container that the product moves into: on it before the product does (FACT-JACIE D7)."""
    collection_type = settings.get("collection_type", "0")
    donation = _din_fields(order.din)
    code = isbt128.product_text(
        settings.get("description_code", ""), collection_type, settings.get("division", "00")
    )
    facility = settings.get(FACILITY_SETTING, "")
    fields = {
        **donation,
        "compound_text": isbt128.compound(donation["din_text"], code, isbt128.coi_text(order.coi)),
        "product_readable": product,
        "stage_readable": stage,
        "patient_readable": order.patient,
        "batch_readable": batch,
        "made_readable": local_time(made_at, time_zone),
        "coi_readable": order.coi,
        "storage_readable": storage,
        "volume_readable": f"{volume_ml} mL" if volume_ml else "",
        "expiry_readable": expiry_readable(expires_at, time_zone) if expires_at else "",
        "facility_readable": ", ".join(each for each in (facility, site) if each),
        **statements(settings, collection_type),
    }
    return {name: value for name, value in fields.items() if value}


def sample_fields(
    order: Order, *, sample: str, test: str, batch: str, taken_at: datetime, time_zone: str
) -> dict[str, str]:
    """The label of a sample tube: its flag says so, and a scan of it is refused where a bag is asked for."""
    donation = _din_fields(order.din, TEST_TUBE)
    local = local_time(taken_at, time_zone)
    return {
        **donation,
        "compound_text": isbt128.compound(donation["din_text"], isbt128.coi_text(order.coi)),
        "sample_readable": sample,
        "test_readable": test,
        "taken_readable": local.removesuffix(f" {time_zone}"),
        "patient_readable": order.patient,
        "batch_readable": batch,
    }


def print_test_fields(
    *, printer: str, title: str, printed_at: datetime, time_zone: str, dpi: int
) -> dict[str, str]:
    """The label that tests a print head: no ISBT 128, so that no scan takes it for a product."""
    payload = f"PT {printer.upper()[:12]} {printed_at:%y%m%d%H%M}"
    return {
        "linear_text": payload,
        "head_text": f"{payload} H",
        "foot_text": f"{payload} F",
        "linear_readable": payload,
        "printer_readable": f"{title}, {dpi} dots an inch",
        "printed_readable": local_time(printed_at, time_zone),
    }


def wristband_fields(order: Order) -> dict[str, str]:
    return {
        "coi_text": isbt128.coi_text(order.coi),
        "order_readable": order.id,
        "patient_readable": order.patient,
        "coi_readable": order.coi,
    }


def order_fields(order: Order) -> dict[str, str]:
    """The order sheet: its symbol names the donation too, so that no wristband is taken for it."""
    both = isbt128.compound(isbt128.coi_text(order.coi), isbt128.din_text(order.din))
    return wristband_fields(order) | {
        "coi_text": both,
        "recipe_readable": order.recipe,
        "din_readable": din_readable(order.din),
        "dose_readable": f"{order.dose_target_cells_kg} cells/kg, {order.weight_kg} kg",
    }


def material_fields(*, name: str, maker: str, catalogue: str, lot: str, expires_on: date) -> dict[str, str]:
    """The label of a material: maker and catalogue number, lot, expiry."""
    return {
        "compound_text": isbt128.compound(
            isbt128.item_text(maker, catalogue),
            isbt128.item_lot_text(lot),
            isbt128.expiry_date_text(expires_on),
        ),
        "name_readable": name,
        "catalogue_readable": f"{maker} {catalogue}",
        "lot_readable": lot,
        "expiry_readable": expires_on.strftime("%d %b %Y"),
    }
