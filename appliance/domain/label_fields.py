"""The fields of each label template: ISBT 128 payloads, and beside each the same in readable words."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from appliance.domain import isbt128
from appliance.domain.batch import Order


def din_readable(din: str) -> str:
    return f"{isbt128.readable_din(din)} {isbt128.check_character(din)}"


def expiry_readable(expires_at: datetime, time_zone: str) -> str:
    """Local time with its offset, as a bedside label needs it (T19)."""
    return expires_at.astimezone(ZoneInfo(time_zone)).strftime("%d %b %Y %H:%M (UTC%z)")


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
    donation = isbt128.din_text(din)
    code = isbt128.product_text(description_code, collection_type, division)
    return {
        "din_text": donation,
        "product_text": code,
        "compound_text": isbt128.compound(donation, code, isbt128.expiry_text(local)),
        "din_readable": din_readable(din),
        "product_readable": f"{product} ({description_code}{collection_type}{division})",
        "expiry_readable": expiry_readable(expires_at, time_zone),
        "volume_readable": f"{volume_ml} mL",
        "patient_readable": patient,
        "storage_readable": storage,
    }


def wristband_fields(order: Order) -> dict[str, str]:
    return {
        "coi_text": isbt128.coi_text(order.coi),
        "order_readable": order.id,
        "patient_readable": order.patient,
        "coi_readable": order.coi,
    }


def order_fields(order: Order) -> dict[str, str]:
    return wristband_fields(order) | {
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
    """The order sheet: its symbol names the donation too, so that no wristband is taken for it."""
    both = isbt128.compound(isbt128.coi_text(order.coi), isbt128.din_text(order.din))
        "coi_text": both,
