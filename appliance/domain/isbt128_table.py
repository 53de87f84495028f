"""The data structures of ISBT 128: number, name, identifier, length and fields, as facts of ST-001."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_FIN = r"[A-NP-Z1-9][A-NP-Z0-9]{2}[0-9]{2}"
DIN_PATTERN = rf"(?P<facility>{_FIN})(?P<year>[0-9]{{2}})(?P<sequence>[0-9]{{6}})"
_PDC = r"(?P<description_code>[A-D][0-9A-Za-z]{4}|[E-Z][0-9A-Z][0-9]{3})"
_DAY = r"(?P<year>[0-9]{3})(?P<day>[0-9]{3})"
_TIME = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})"
_RAW = r"(?P<value>[!-~]{%d})"
_WORD = r"(?P<value>[0-9A-Za-z]{%d})"

# number, name, identifier, length of the content (0: told by the content), pattern of the content
_TABLE: tuple[tuple[str, str, str, int, str], ...] = (
    ("001", "donation identification number", "=", 15, DIN_PATTERN + r"(?P<flags>[0-9]{2})"),
    ("002", "blood groups", "=%", 4, _WORD % 4),
    (
        "003",
        "product code",
        "=<",
        8,
        _PDC + r"(?P<collection_type>[0-9A-Za-z])(?P<division>[A-Z0-9][a-z0-9])",
    ),
    ("004", "expiry date", "=>", 6, _DAY),
    ("005", "expiry date and time", "&>", 10, _DAY + _TIME),
    ("006", "collection date", "=*", 6, _DAY),
    ("007", "collection date and time", "&*", 10, _DAY + _TIME),
    ("008", "production date", "=}", 6, _DAY),
    ("009", "production date and time", "&}", 10, _DAY + _TIME),
    ("010", "special testing", "&(", 5, _WORD % 5),
    ("011", "special testing, red cell antigens", "={", 18, _RAW % 18),
    ("012", "red cell antigens", "=\\", 18, _RAW % 18),
    ("013", "red cell antigens and others", "&\\", 18, _RAW % 18),
    ("014", "platelet antigens", "&{", 18, _RAW % 18),
    ("015", "HLA-A and -B alleles", "=[", 18, _RAW % 18),
    ("016", "HLA-DRB1 alleles", '="', 18, _RAW % 18),
    (
        "017",
        "container maker and catalogue number",
        "=)",
        10,
        r"(?P<container>[0-9A-Za-z])(?P<maker>[0-9A-Z]{2})(?P<catalogue_number>[0-9A-Za-z]{7})",
    ),
    ("018", "container lot", "&)", 10, r"(?P<lot>[0-9A-Za-z]{10})"),
    ("019", "donor identification number", "=;", 21, rf"(?P<facility>{_FIN})(?P<donor>[0-9A-Z]{{16}})"),
    ("020", "staff member", "='", 11, rf"(?P<facility>{_FIN})(?P<staff>[0-9A-Za-z]{{6}})"),
    (
        "021",
        "item maker and catalogue number",
        "=-",
        10,
        r"(?P<maker>[0-9A-Z]{2})(?P<catalogue_number>[0-9A-Za-z]{8})",
    ),
    ("022", "item lot", "&-", 10, r"(?P<lot>[0-9A-Za-z]{10})"),
    ("023", "compound message", "=+", 5, r"(?P<count>[0-9]{2})(?P<order>[0-9A-Za-z]{3})"),
    ("024", "patient date of birth", "=#", 10, r"(?P<place>[0-9]{2})(?P<born>[0-9]{8})"),
    (
        "025",
        "patient identification number",
        "&#",
        0,
        r"(?P<place>[0-9]{2})(?P<length>[0-9]{2})(?P<patient>[0-9A-Za-z]+)",
    ),
    ("026", "expiry month", "=]", 6, r"(?P<year>[0-9]{4})(?P<month>0[1-9]|1[0-2])"),
    ("027", "infection markers", '&"', 18, r"(?P<value>[0-9]{18})"),
    (
        "028",
        "product consignment",
        "=$",
        16,
        rf"(?P<facility>{_FIN})(?P<year>[0-9]{{2}})(?P<sequence>[0-9]{{5}})(?P<carton>[0-9]{{2}})(?P<of>[0-9]{{2}})",
    ),
    ("029", "dimensions", "&$", 0, r"(?P<count>[0-9]{2})(?P<value>[!-~]*)"),
    ("030", "red cell antigens with history", "&%", 0, r"(?P<count>[0-9]{3})(?P<value>[!-~]*)"),
    (
        "031",
        "flexible date and time",
        "=(",
        16,
        r"(?P<zone>[12])0(?P<type>0[1-6])(?P<stamp>[0-9]{12})",
    ),
    ("032", "product divisions", "=,", 6, r"(?P<division>(?:[0-9]{2}|[A-Z]{2}){3})"),
    ("033", "processing facility", "&+", 11, rf"(?P<facility>{_FIN})(?P<facility_code>[0-9A-Za-z]{{6}})"),
    (
        "034",
        "processor product identification code",
        "=/",
        16,
        rf"(?P<facility>{_FIN})(?P<facility_code>[0-9A-Za-z]{{6}}){_PDC}",
    ),
    ("035", "MPHO lot", "&,1", 18, r"(?P<lot>[0-9A-Za-z]{18})"),
    ("036", "MPHO supplemental identification", "&,2", 18, _WORD % 18),
    ("037", "retired structure", "&,3", 19, _RAW % 19),
    ("038", "single European code", "&,4", 40, _WORD % 40),
    ("039", "global registration identifier of donors", "&:", 19, r"(?P<value>[0-9A-Z]{17}[0-9]{2})"),
    ("040", "chain of identity", "&/", 15, rf"(?P<coi>CH{_FIN}[0-9]{{2}}[0-9A-Z]{{6}})"),
)
BY_IDENTIFIER = {
    identifier: (number, name, length, re.compile(pattern))
    for number, name, identifier, length, pattern in _TABLE
}
DATES = frozenset({"004", "005", "006", "007", "008", "009"})
RETIRED = frozenset({"011", "015", "016", "037"})
FLEXIBLE_TYPES = {
    "01": "expiry",
    "02": "collection",
    "03": "production",
    "04": "cross clamp",
    "05": "preservation",
    "06": "death",
}
# Who the product may go to, as the sixth character of the product code says it (structure 003).
COLLECTION_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "0": "not given",
        "V": "allogeneic, volunteer donor",
        "1": "for autologous use only",
        "X": "for autologous use only, biohazard",
        "A": "autologous, may cross over",
        "2": "directed, this recipient only",
        "4": "designated",
        "5": "dedicated",
        "7": "for allogeneic use",
        "8": "autologous, holds allogeneic material",
    }
)
