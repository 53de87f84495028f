"""Tell the service manager how the engine is (sd_notify), where there is one."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(*words: str) -> bool:
    """Send lines such as `READY=1`, `STATUS=…`, `WATCHDOG=1`; False where nobody listens.

    Never waits and never fails: a service manager that is away must not hold the engine up.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(word.replace("\n", " ") for word in words).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.setblocking(False)
        try:
            link.sendto(message, address)
        except OSError:
            return False
    return True


def watchdog_s() -> float | None:
    """How often the service manager wants to hear `WATCHDOG=1`, in seconds; None when it does not."""
    try:
        micros = int(os.environ.get("WATCHDOG_USEC", ""))
        pid = int(os.environ.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return micros / 1e6 if micros > 0 and pid == os.getpid() else None


async def beat() -> None:
    """Say `WATCHDOG=1` for as long as the loop turns: a frozen engine is ended and started again.

    Returns at once where the service manager does not ask for it. Three beats fit into its time,
    so that one late commit ends nothing.
    """
    wanted_s = watchdog_s()
    while wanted_s is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(wanted_s / 3)
