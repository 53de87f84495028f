"""The serial ports of this machine, by the names that survive re-enumeration.

`/dev/ttyUSB0` is whichever adapter came first; a name under `/dev/serial/by-id` is one adapter, by maker,
model and serial number, whatever socket it is plugged into. A port in unit.toml has such a name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serial.tools import list_ports

from drivers.wire import is_pseudo_terminal, is_url

BY_ID = Path("/dev/serial/by-id")
BY_PATH = Path("/dev/serial/by-path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One serial port; empty where the adapter does not tell."""

    port: str  # the name to write into unit.toml
    device: str
    by_id: str
    maker: str
    product: str
    serial_number: str

    def as_json(self) -> dict[str, str]:
        """Return it as JSON values."""
        return asdict(self)


def ports(by_id: Path = BY_ID) -> list[Port]:
    """Return every serial port there is, those with a lasting name first."""
    links = {str(link.resolve()): str(link) for link in sorted(by_id.glob("*"))}
    told: dict[str, Any] = {str(Path(found.device).resolve()): found for found in list_ports.comports()}
    found_ports = []
    for device in sorted(links.keys() | told.keys()):
        about, link = told.get(device), links.get(device, "")
        found_ports.append(
            Port(
                port=link or device,
                device=device,
                by_id=link,
                maker=getattr(about, "manufacturer", None) or "",
                product=getattr(about, "product", None) or "",
                serial_number=getattr(about, "serial_number", None) or "",
            )
        )
    return sorted(found_ports, key=lambda one: (not one.by_id, one.device))


def lasting_name(port: str, by_id: Path = BY_ID) -> str:
    """Return the name under /dev/serial/by-id of a port, or nothing where it has none."""
    target = Path(port).resolve()
    return next((str(link) for link in sorted(by_id.glob("*")) if link.resolve() == target), "")


def advice(port: str, by_id: Path = BY_ID) -> str:
    """Return what to do about the name of a port in unit.toml; nothing when it will last.

    A twin's pseudo-terminal and a URL name no adapter of this machine, a link of the station's own
    (a udev rule) stands for one as well as by-id does.
    """
    if is_url(port) or is_pseudo_terminal(port) or Path(port).is_symlink():
        return ""
    if port.startswith((f"{by_id}/", f"{BY_PATH}/")) or not port.startswith("/dev/"):
        return ""
    better = lasting_name(port, by_id)
    if better:
        return f"{port} may become another device when cables are moved. Write {better} in its place."
    return (
        f"{port} may become another device when cables are moved. Use its name under {by_id}, "
        "which `cellwright device ports` lists."
    )
