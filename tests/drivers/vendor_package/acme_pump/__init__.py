"""A sample of a vendor's package: one line of the catalogue, its driver, its twin."""

from drivers.catalog import DeviceType, Trial

DP1 = DeviceType(
    name="acme-dp1",
    role="pump",
    device="ACME DP-1 drip pump (made up, a sample)",
    driver="acme_pump.driver:AcmePump",
    twin="acme_pump.twin:AcmeTwin",
    stops_by="watchdog",
    dead_man="own watchdog, 2 s; each run is bounded by its volume",
    trials=(
        Trial(order="clear"),
        Trial(order="infuse", parameters={"volume_ml": "0.5", "rate_ml_min": "30"}, moves=True),
    ),
)
