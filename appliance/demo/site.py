"""A fictitious site: people, keys, signed recipe and order, unit and central, labels and pictures.

Everything here is made up and looks it: donation numbers of ICCBBA's example facility A9999,
people called Demo, a microscope scale that is declared fictitious.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

import appliance
from appliance.access.canonical import canonical_json
from appliance.access.documents import add_signature, dump, fingerprint, raw_public_key, sign
from appliance.access.identities import Identities, Identity
from appliance.access.identity_key import make_identity_key, open_identity_key
from appliance.access.keys import Trust, load_key, make_key, make_pin_secret, save_qp_key
from appliance.access.people import KeyRole, People, PersonKey, Role, TrainingRecord, make_person
from appliance.access.qp_key import make_qp_key
from appliance.access.secret_hash import Argon2Cost
from appliance.config import Home
from appliance.domain.recipe import parse

UNIT = "UNIT-DEMO-01"
PRINTER = "printer"  # its line at the bench; what comes out of it lies in the tray beside
ORDER = "ORD-DEMO-0001"
CONSENT = "CONSENT-DEMO-0001"
CONSENT_ON = "2025-01-15"  # the day of the made-up form
ORDER_EXPIRES_AT = "2099-12-31T23:59:00+00:00"  # a demonstration clock runs fast
DIN = "A999926123456"
WRONG_DIN = "A999926654321"
TIME_ZONE = "Europe/London"
RECIPES = {"thaw-wash-dose-50": Path(appliance.__file__).parent / "recipes" / "thaw_wash_dose_50.toml"}
PICTURES = Path(appliance.__file__).parents[1] / "tests" / "data" / "vision" / "ldc_trypan"
COST = Argon2Cost()
# A demonstration clock runs fast, and its people stay trained.
TRAINED_FOR = timedelta(days=3650)
# Who the pseudonym of the order is: shown at the bedside, and nowhere in the record.
PATIENT = Identity(name="Hana Demo", birth_date="1971-02-03", hospital_number="DEMO-HN-0042")


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A fictitious account with its secrets in plain text, as nothing but a demo may have."""

    id: str
    name: str
    roles: tuple[Role, ...]
    pin: str
    password: str


OPERATOR = DemoPerson("p-0001", "Ada Demo", ("operator",), "246813", "141421356237")
VERIFIER = DemoPerson("p-0002", "Ben Demo", ("verifier",), "864213", "173205080756")
SUPERVISOR = DemoPerson("p-0003", "Cleo Demo", ("supervisor",), "975318", "223606797749")
REVIEWER = DemoPerson("p-0004", "Dora Demo", ("qa_reviewer",), "", "244948974278")
DEVELOPER = DemoPerson("p-0005", "Emil Demo", ("recipe_developer",), "", "264575131106")
QP = DemoPerson("p-0006", "Faye Demo", ("qp",), "", "282842712474")
ADMINISTRATOR = DemoPerson("p-0007", "Gus Demo", ("administrator",), "531975", "")
MAINTENANCE = DemoPerson("p-0008", "Iris Demo", ("maintenance",), "316227", "")
PEOPLE = (OPERATOR, VERIFIER, SUPERVISOR, REVIEWER, DEVELOPER, QP, ADMINISTRATOR, MAINTENANCE)


@dataclass(frozen=True, slots=True)
class Site:
    """Where the pieces of the site lie."""

    folder: Path

    @property
    def home(self) -> Home:
        return Home(self.folder / "unit")

    @property
    def central(self) -> Path:
        return self.folder / "central"

    @property
    def offline(self) -> Path:
        """What lies in a safe on a real site: root, role and QP keys."""
        return self.folder / "offline"

    @property
    def bench(self) -> Path:
        return self.folder / "bench"

    @property
    def labels(self) -> Path:
        """Label pictures that hands can show to the camera."""
        return self.folder / "labels"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def qp_key(self) -> Path:
        return self.offline / "qp.json"

    @property
    def dilution_series(self) -> Path:
        """The made-up series by which the counting method is qualified in the demonstration."""
        return self.folder / "fictitious-dilution-series.csv"

    @property
    def tray(self) -> Path:
        """What the label printer put out, a picture each."""
        return self.bench / f"{PRINTER}-tray"

    @property
    def hands(self) -> Path:
        return self.bench / "hands.sock"


def make_unit(site: Site, *, speed: str, recipe: str = "thaw-wash-dose-50", sign_recipe: bool = True) -> None:
    """Keys, people, recipe and the appliance file of the unit; central adds its own afterwards."""
    home = site.home
    for folder in (
        home.keys,
        home.recipes,
        home.orders,
        home.run,
        home.labels,
        site.offline,
        site.labels,
        site.logs,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    site.bench.mkdir(exist_ok=True)
    unit_key = make_key(home.unit_key)
    secret = make_pin_secret(home.pin_secret)
    make_identity_key(home.identity_key)  # open: a demonstration claims no protection against theft
    keys = {name: make_key(site.offline / f"{name}.key") for name in ("root", "developer", "reviewer")}
    qp, _ = make_qp_key(QP.id, QP.password)
    save_qp_key(qp, site.qp_key)
    people = _people(
        secret,
        {
            "recipe_developer": raw_public_key(keys["developer"]),
            "qa_reviewer": raw_public_key(keys["reviewer"]),
            "qp": qp.public_key,
        },
    )
    dump(sign("people", people.to_content(), keys["root"], "root"), home.people)
    envelope = sign("recipe", RECIPES[recipe].read_bytes(), keys["developer"], "recipe_developer")
    if sign_recipe:
        envelope = add_signature(envelope, keys["reviewer"], "qa_reviewer")
    dump(envelope, home.recipes / f"{recipe}.json")
    sign_templates(home, keys["developer"], keys["reviewer"])
    Trust(
        root=(fingerprint(keys["root"]),), unit=(fingerprint(unit_key),), qp=(fingerprint(qp.public_key),)
    ).save(home.trust)
    home.unit_toml.write_text(_unit_toml(site, speed), encoding="utf-8")


def sign_templates(home: Home, developer: Ed25519PrivateKey, reviewer: Ed25519PrivateKey) -> None:
    """Approve the shipped label templates as two people of a site would."""
    from vision.labels.label_template import shipped_templates

    home.label_templates.mkdir(parents=True, exist_ok=True)
    for template in shipped_templates().values():
        envelope = sign("label_template", template.text.encode(), developer, "recipe_developer")
        approved = add_signature(envelope, reviewer, "qa_reviewer")
        dump(approved, home.label_templates / f"{template.id}.json")


def _people(secret: bytes, keys: dict[str, bytes]) -> People:
    owners = {"recipe_developer": DEVELOPER.id, "qa_reviewer": REVIEWER.id, "qp": QP.id}
    roles: tuple[KeyRole, ...] = ("recipe_developer", "qa_reviewer", "qp")
    now = datetime.now(UTC)
    return People(
        version=1,
        issued_at=now,
        people=tuple(
            make_person(
                id=person.id,
                name=person.name,
                roles=person.roles,
                pin_secret=secret,
                badge=f"BADGE-{person.id}",
                pin=person.pin,
                password=person.password,
                identity_confirmed_by="" if person is ADMINISTRATOR else ADMINISTRATOR.id,
                identity_confirmed_at=None if person is ADMINISTRATOR else now,
                training=[
                    TrainingRecord(recipe=recipe, until=now.date() + TRAINED_FOR, by=SUPERVISOR.id)
                    for recipe in RECIPES
                ],
                cost=COST,
            )
            for person in PEOPLE
        ),
        keys=tuple(
            PersonKey(person=owners[role], role=role, public_key=keys[role], key=fingerprint(keys[role]))
            for role in roles
        ),
    )


def _unit_toml(site: Site, speed: str) -> str:
    devices = (
        ("balance-1", "Balance", "balance", "mt-sics", "balance", "keep"),
        ("pump-1", "Syringe pump", "pump", "new-era-ne1000", "pump", "stop"),
        ("thawer-1", "Thaw bath", "thermostat", "julabo", "thawer", "keep"),
        ("printer-1", "Label printer", "printer", "zebra-zpl", PRINTER, "keep"),
    )
    tables = "".join(
        f'\n[[device]]\nid = "{id}"\ntitle = "{title}"\nrole = "{role}"\ntype = "{type}"\n'
        f'port = "{site.bench / link}"\nsafe_state = "{safe}"\npoll_ms = 200\n'
        for id, title, role, type, link, safe in devices
    )
    return f"""# A simulated unit: fictitious site, people and scale. It can never make a real batch.
[unit]
id = "{UNIT}"
site = "Demo Ward, Example Hospital"
time_zone = "{TIME_ZONE}"
simulated = true
clock_speed = "{speed}"

[station]
labels = "sources/labels"
microscope = "sources/microscope"
# The pictures do not say their scale; these values are made up for the demonstration.
um_per_px = "0.6"
field_depth_um = "100"
field_depth_tolerance_percent = "5"
dilution = "2"
fictitious = true

[record]
reserve_mib = 4
{tables}"""


def add_central(site: Site, *, url: str) -> None:
    """Name central in the unit's file and trust, and let central sign the order."""
    home, key = site.home, load_key(site.central / "keys" / "central.key")
    Trust.load(home.trust).with_key("central", fingerprint(key)).save(home.trust)
    with home.unit_toml.open("a", encoding="utf-8") as file:
        file.write(f'\n[central]\nurl = "{url}"\n')
    content = canonical_json(order_content())
    dump(sign("order", content, key, "central"), home.orders / f"{ORDER}.json")
    identities = Identities(home.root, UNIT, open_identity_key(home.identity_key))
    identities.put(order_content()["patient"], PATIENT)


def order_content() -> dict[str, str]:
    """A fictitious order, pseudonyms only."""
    return {
        "id": ORDER,
        "recipe": "thaw-wash-dose-50",
        "patient": "DEMO7F3A",
        "coi": "CHA999926000001",
        "din": DIN,
        "description_code": "S9991",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1.5e6",
        "staff_note": "Fictitious order of the demonstration",
        "unit": UNIT,
        "consent": CONSENT,
        "expires_at": ORDER_EXPIRES_AT,
        "assignment": "1",
    }


def draw_labels(site: Site, *, now: datetime) -> None:
    """Draw the labels that hands will show: bag, wrong bag, expired bag, materials, wristband, order."""
    from appliance.domain.batch import Order
    from appliance.domain.label_fields import bag_fields, material_fields, order_fields, wristband_fields
    from vision.labels.label_picture import render_label

    order = Order.from_text(json.dumps(order_content()))

    def bag(name: str, din: str, expires_at: datetime) -> None:
        fields = bag_fields(
            din=din,
            description_code=order.description_code,
            collection_type="1",
            division=order.division,
            expires_at=expires_at,
            time_zone=TIME_ZONE,
            patient=order.patient,
            product="Apheresis, cryopreserved",
            volume_ml="50",
            storage="Below -150 °C",
        )
        render_label("bag", fields | {"simulated": "true"}, site.labels / f"{name}.png")

    bag("bag", DIN, now + timedelta(days=300))
    bag("wrong-bag", WRONG_DIN, now + timedelta(days=300))
    bag("expired-bag", DIN, now - timedelta(days=2))
    recipe = parse(RECIPES[order.recipe].read_bytes())
    for number, material in enumerate(recipe.materials.values(), 1):
        fields = material_fields(
            name=material.title,
            maker=material.catalogue[:2],
            catalogue=material.catalogue[2:],
            lot=f"DEMO{number:04d}",
            expires_on=(now + timedelta(days=200)).date(),
        )
        render_label("material", fields | {"simulated": "true"}, site.labels / f"material-{material.id}.png")
    worn = f"{PATIENT.name} {PATIENT.birth_date}"
    wristband = wristband_fields(order) | {"patient_readable": worn, "simulated": "true"}
    render_label("wristband", wristband, site.labels / "wristband.png")
    render_label("order", order_fields(order) | {"simulated": "true"}, site.labels / "order.png")


def fill_microscope(site: Site, *, seed: int) -> None:
    """Lay out three replicates of real micrographs; the seed turns which list goes to which replicate.

    The lists share most of their patches, and each list has its own way round: a demonstration of the
    road to a result, never of an instrument's repeatability.
    """
    lists = json.loads((PICTURES / "replicates.json").read_text(encoding="utf-8"))
    series = list(lists.values()) if isinstance(lists, dict) else list(lists)
    for number in range(len(series)):
        which = (number + seed) % len(series)
        folder = site.home.microscope / f"replicate-{number + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        for name in series[which]:
            with Image.open(_picture(name)) as picture:
                _way_round(picture, which).save(folder / Path(name).name)


def _way_round(picture: Image.Image, which: int) -> Image.Image:
    """Return the picture as it is, mirrored, or turned by half."""
    ways = (None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180)
    way = ways[which % len(ways)]
    return picture if way is None else picture.transpose(way)


def write_dilution_series(path: Path) -> None:
    """A made-up ISO 20391-2 experiment of the counting method: five dilutions, three samples, three looks.

    The figures only look like a good method's; each row says that nothing was measured.
    """
    head = "counting_method,target_dilution_fraction,random_sample_number,rep_obsv,cell_conc,cell_type"
    rows = []
    for level, target in enumerate((0.1, 0.3, 0.5, 0.7, 0.9)):
        for sample in range(3):
            for look in range(3):
                # Looks 4 % apart and samples 1.5 % apart, each dilution in another order.
                off = 0.04 * ((look + level) % 3 - 1) + 0.015 * ((sample + 2 * level) % 3 - 1)
                cells_ml = round(2_400_000 * target * (1 + off))
                number = 3 * level + sample + 1
                rows.append(f"trypan-blue,{target},{number},{look + 1},{cells_ml},FICTITIOUS")
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def _picture(name: str) -> Path:
    candidates = (PICTURES / name, PICTURES / "images" / name)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"The demonstration picture {name} is missing. Run from a full checkout.")
    return found
