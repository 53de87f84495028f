"""The processes of the demonstration, started as on a real unit: bench, engine, agent, central."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from appliance.demo.site import MAINTENANCE, PRINTER, QP, REVIEWER, SUPERVISOR, UNIT, Site

READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0


class DemoFailed(Exception):
    """The demonstration cannot go on; the words say which process and where its log is."""


def cellwright(*arguments: str) -> list[str]:
    """The command line of a subcommand, with this interpreter."""
    return [sys.executable, "-m", "appliance.cli", *arguments]


@dataclass(slots=True)
class Processes:
    """Children with a log file each; ended in the reverse order of their start."""

    site: Site
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    # The kernel's death signal follows the thread that started a child: this one lives as long as we do.
    _starter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process that does not outlive this one, however this one ends."""
        child = self._starter.submit(self._spawn, name, command).result()
        self.running[name] = child
        return child

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        log = (self.site.logs / f"{name}.log").open("ab")
        with log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a process is ready; raises `DemoFailed` when it ends or takes too long."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready():
            log = self.site.logs / f"{name}.log"
            if self.running[name].poll() is not None:
                last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise DemoFailed(f"The process {name} ended. Its log {log} ends with:\n{last}")
            if time.monotonic() > deadline:
                raise DemoFailed(f"The process {name} is not ready after {READY_TIMEOUT_S:.0f} s. See {log}.")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """`kill -9`, as a power cut of one process."""
        self.running[name].send_signal(signal.SIGKILL)
        self.running.pop(name).wait()

    def end(self, name: str) -> None:
        """Ask a process to end, and wait for it."""
        child = self.running.pop(name, None)
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def end_all(self) -> None:
        for name in reversed(list(self.running)):
            self.end(name)


def run(command: Sequence[str], *, words: str = "") -> str:
    """One command to its end; its standard output. Raises `DemoFailed` with what it said."""
    done = subprocess.run(command, input=words, capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode != 0:
        raise DemoFailed(
            f"{' '.join(command[2:5])} ended with {done.returncode}: {done.stderr.strip()[-1500:]}"
        )
    return done.stdout


def start_bench(processes: Processes, *, seed: int, speed: str) -> None:
    site = processes.site
    command = cellwright(
        "device",
        "bench",
        "--links",
        str(site.bench),
        "--seed",
        str(seed),
        "--speed",
        speed,
        "--hands",
        str(site.hands),
        "--with",
        f"zebra-zpl={PRINTER}",
    )
    processes.start("bench", command)
    processes.wait_for("bench", lambda: site.hands.exists() and (site.bench / "thawer").exists())


def start_engine(processes: Processes) -> None:
    """The engine; ready when its socket answers a connection."""
    home = processes.site.home
    processes.start("engine", cellwright("engine", "--home", str(home.root)))
    processes.wait_for("engine", lambda: _answers(home.socket))


def qualify_count(site: Site) -> None:
    """Maintenance and the supervisor put the made-up qualification of the counting method on record."""
    command = cellwright(
        "unit",
        "qualify-count",
        str(site.dilution_series),
        "--home",
        str(site.home.root),
        "--performed-on",
        datetime.now(UTC).date().isoformat(),
        "--reason",
        "Made up for the demonstration",
        "--by",
        MAINTENANCE.id,
        "--second",
        SUPERVISOR.id,
        "--pin-stdin",
    )
    run(command, words=f"{MAINTENANCE.pin}\n{SUPERVISOR.pin}\n")


def _answers(socket_path: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.connect(str(socket_path))
        except OSError:
            return False
    return True


def make_central(site: Site) -> None:
    """A central of its own for the demonstration: keys, the unit's certificate, accounts, documents."""
    central, home = str(site.central), site.home
    run(cellwright("central", "init", "--home", central, "--site", "Demo QA node", "--simulated", "--json"))
    public = site.offline / "unit.pub"
    public.write_text(_public_key(home.unit_key), encoding="ascii")
    run(
        cellwright(
            "central",
            "add-unit",
            "--home",
            central,
            "--unit",
            UNIT,
            "--public-key",
            public.read_text(),
            "--simulated",
            "--out",
            str(home.keys),
            "--json",
        )
    )
    root = json.loads(home.trust.read_bytes())["root"][0]
    run(
        cellwright(
            "central", "import-document", "--home", central, "--root", root, "--json", str(home.people)
        )
    )
    for person, role in ((QP, "qp"), (REVIEWER, "qa_reviewer")):
        run(
            cellwright(
                "central",
                "add-account",
                "--home",
                central,
                "--person",
                person.id,
                "--name",
                person.name,
                "--role",
                role,
                "--password-stdin",
                "--json",
            ),
            words=person.password + "\n",
        )


def _public_key(path: Path) -> str:
    import base64

    from appliance.access.documents import raw_public_key
    from appliance.access.keys import load_key

    return base64.b64encode(raw_public_key(load_key(path))).decode("ascii")


def start_central(processes: Processes, *, ports: tuple[int, int] = (0, 0)) -> tuple[str, str]:
    """Central on the loopback, on free ports unless given; its addresses for units and for people."""
    site, ready = processes.site, processes.site.central / "ready.json"
    ready.unlink(missing_ok=True)
    processes.start(
        "central",
        cellwright(
            "central",
            "serve",
            "--home",
            str(site.central),
            "--port",
            str(ports[0]),
            "--qa-port",
            str(ports[1]),
            "--ready-file",
            str(ready),
        ),
    )
    processes.wait_for("central", ready.exists)
    served = json.loads(ready.read_text(encoding="utf-8"))
    return f"https://localhost:{served['port']}", f"https://localhost:{served['qa_port']}"


def start_agent(processes: Processes) -> None:
    home = processes.site.home
    processes.start(
        "sync", cellwright("sync", "--home", str(home.root), "--pull-s", "1", "--wait-max-s", "2")
    )


def review_audit_trail(site: Site, batch: str, qa_url: str) -> None:
    """The QA reviewer at central reads the critical events and signs that the audit trail was reviewed."""
    command = cellwright(
        "audit",
        "review",
        "--central",
        qa_url,
        "--ca",
        str(site.home.central_ca),
        "--batch",
        batch,
        "--person",
        REVIEWER.id,
        "--password-stdin",
        "--wait-s",
        "60",
    )
    run(command, words=f"{REVIEWER.password}\n")


def certify(site: Site, batch: str, qa_url: str, *, reject: str = "", out: Path | None = None) -> None:
    """QA's review of the audit trail; then the QP reviews, unlocks their own key and signs the exact bytes.

    `out` keeps the signed file.
    """
    if not reject:
        review_audit_trail(site, batch, qa_url)
    command = cellwright(
        "qp",
        "certify",
        "--central",
        qa_url,
        "--ca",
        str(site.home.central_ca),
        "--batch",
        batch,
        "--key",
        str(site.qp_key),
        "--person",
        QP.id,
        "--passphrase-stdin",
        "--wait-s",
        "60",
        *(("--reject", "--reason", reject) if reject else ()),
        *(("--out", str(out)) if out else ()),
    )
    run(command, words=f"{QP.password}\n{QP.password}\n")
