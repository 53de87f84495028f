"""uvicorn verifies a client certificate but does not hand it on; this protocol class does.

The DER bytes stand in the scope under `extensions.tls.client_cert`, the key that uvicorn's own
open proposal uses, so that a later release can take this file's place.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


class CertificateProtocol(H11Protocol):
    """HTTP/1.1 over TLS whose application sees who the client proved to be."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(True) if connection is not None else None
        self.app = _with_certificate(self.app, der)

    def shutdown(self) -> None:
        """End an idle connection at once: a TLS farewell waits for a peer that is not listening."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.transport.get_write_buffer_size() == 0:
            self.transport.abort()
        else:
            super().shutdown()


def client_certificate(scope: dict[str, Any]) -> bytes | None:
    """The DER bytes of the certificate that the client of this request proved, or None."""
    found = scope.get("extensions", {}).get("tls", {}).get("client_cert")
    return found if isinstance(found, bytes) else None


def unit_tls_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """TLS for the units' listener: nobody without a certificate of this site gets a handshake."""
    context = web_tls_context(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    return context


def web_tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS for the people's listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def _with_certificate(app: ASGI3Application, der: bytes | None) -> ASGI3Application:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        # Always set: what the transport proved replaces whatever stood there.
        scope.setdefault("extensions", {})["tls"] = {"client_cert": der}
        await app(scope, receive, send)

    return wrapped
