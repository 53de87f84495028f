"""A camera in the network, on loopback: a real stream that a test darkens, freezes, stalls and cuts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from vision.labels.locate import Gray

FRAMES_A_SECOND = 20
BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class NetCamera:
    """Serves one picture after another as Motion JPEG, with the grain that a sensor has."""

    def __init__(self, scene: Gray) -> None:
        self.scene = scene
        self.frozen = self.stalled = False
        self.openings = 0
        self._rng = np.random.default_rng(1)
        self._last = b""
        self._server = socket.create_server(("127.0.0.1", 0))
        self._port = self._server.getsockname()
        self._clients: list[socket.socket] = []
        self._ended = False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port[1]}/stream.mjpg"

    def unplug(self) -> None:
        """Cut all streams and refuse new ones."""
        self._port = self._server.getsockname()
        for each in (self._server, *self._clients):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._clients.clear()

    def plug_in(self) -> None:
        self._server = socket.create_server(self._port)
        threading.Thread(target=self._serve, daemon=True).start()

    def end(self) -> None:
        self._ended = True
        if self._server.fileno() >= 0:
            self.unplug()

    def _serve(self) -> None:
        server = self._server
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            self.openings += 1
            self._clients.append(client)
            threading.Thread(target=self._stream, args=(client,), daemon=True).start()

    def _stream(self, client: socket.socket) -> None:
        try:
            client.recv(4096)
            client.sendall(
                b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
            )
            while not self._ended:
                if not self.stalled:
                    picture = self._picture()
                    client.sendall(BOUNDARY % len(picture) + picture + b"\r\n")
                time.sleep(1 / FRAMES_A_SECOND)
        except OSError:
            return

    def _picture(self) -> bytes:
        if not self.frozen or not self._last:
            grain = self._rng.normal(0, 3, self.scene.shape)
            good, data = cv2.imencode(".jpg", np.clip(self.scene + grain, 0, 255).astype(np.uint8))
            assert good
            self._last = data.tobytes()
        return self._last


@contextmanager
def net_camera(scene: Gray) -> Iterator[NetCamera]:
    camera = NetCamera(scene)
    try:
        yield camera
    finally:
        camera.end()
