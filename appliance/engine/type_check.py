"""Hold the devices of the appliance file against the catalogue, in a process of its own.

The catalogue loads what vendors add to it; the engine carries none of that.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE

from appliance.config import ConfigurationUnusable, Home, UnitConfig

CHECK_S = 30.0


async def refuse_unknown_devices(home: Home, config: UnitConfig) -> None:
    """Raises `ConfigurationUnusable` with every device that the catalogue does not know as it is named."""
    if not config.served:
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance.device_types", str(home.root)), stdout=PIPE
    )
    try:
        async with asyncio.timeout(CHECK_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        said = b""
    if process.returncode != 0:
        raise ConfigurationUnusable(home.unit_toml, _faults(said))


def _faults(said: bytes) -> list[str]:
    try:
        faults = [str(one) for one in json.loads(said)]
    except (ValueError, TypeError):
        faults = []
    return faults or ["device: the catalogue of device types cannot be read; look at the packages of vendors"]
