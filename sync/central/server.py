"""Run central: one process, two HTTPS listeners, one for units (mutual TLS) and one for people."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from appliance.access.keys import load_pin_secret
from appliance.access.private_files import write_whole
from sync.acks import utc_text
from sync.central import second_use
from sync.central.accounts import Accounts
from sync.central.blob_store import BlobStore
from sync.central.home import CentralHome
from sync.central.tls_protocol import CertificateProtocol, unit_tls_context, web_tls_context
from sync.central.unit_api import UnitApi
from sync.central.web import Web

KEEP_ALIVE_S = 30
SHUT_DOWN_S = 5
CONNECTIONS_MAX = 2000

_log = logging.getLogger("cellwright.central")


def serve(home: CentralHome, *, host: str, port: int, qa_port: int, ready_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT; `ready_file` is written once both listeners take connections."""
    settings = home.settings()
    store = home.store()
    blobs = BlobStore(home.blobs)
    units = UnitApi(store=store, blobs=blobs, key=home.signing_key(), simulated=settings.simulated)
    accounts = Accounts(store, load_pin_secret(home.password_secret))
    second_use.catch_up(store, home.signing_key(), now=utc_text(datetime.now(UTC)))
    web = Web(store=store, blobs=blobs, accounts=accounts, settings=home.settings, key=home.signing_key())
    pair = str(home.server_certificate), str(home.server_key)
    unit_tls = unit_tls_context(*pair, str(home.ca_certificate))
    web_tls = web_tls_context(*pair)
    unit_socket, web_socket = _listen(host, port), _listen(host, qa_port)
    ports = unit_socket.getsockname()[1], web_socket.getsockname()[1]
    servers = [
        (_server(units.application(), lambda *_: unit_tls), unit_socket),
        (_server(web.application(), lambda *_: web_tls), web_socket),
    ]
    try:
        asyncio.run(_run(servers, lambda: _ready(host, ports, ready_file)))
    finally:
        store.close()


def _server(app: Starlette, tls: Callable[..., ssl.SSLContext]) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=CertificateProtocol,
        ws="none",
        lifespan="off",
        ssl_certfile="given by ssl_context_factory",
        ssl_context_factory=tls,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUT_DOWN_S,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=16 * 1024,  # a flood of headers ends here
    )
    return uvicorn.Server(config)


async def _run(servers: list[tuple[uvicorn.Server, socket.socket]], ready: Callable[[], None]) -> None:
    def stop() -> None:
        for server, _ in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    # `_serve`, not `serve`: two servers share this process, and signals are taken here for both.
    tasks = [asyncio.create_task(server._serve(sockets=[listener])) for server, listener in servers]
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    while not all(server.started for server, _ in servers):
        if any(task.done() for task in tasks):
            break
        await asyncio.sleep(0.01)
    else:
        ready()
    await asyncio.gather(*tasks)
    _log.info("Central ended.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches off Nagle's delay (40 ms an answer) on what it accepts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(512)
    listener.setblocking(False)
    return listener


def _ready(host: str, ports: tuple[int, int], ready_file: Path | None) -> None:
    shown = f"[{host}]" if ":" in host else host
    facts = {
        "pid": os.getpid(),
        "port": ports[0],
        "qa_port": ports[1],
        "url": f"https://{shown}:{ports[0]}",
        "qa_url": f"https://{shown}:{ports[1]}",
    }
    _log.info("Units: %s   People: %s", facts["url"], facts["qa_url"])
    if ready_file is not None:
        write_whole(ready_file, json.dumps(facts).encode() + b"\n")
