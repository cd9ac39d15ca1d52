"""Run one real Apache Kafka broker on loopback, from a script or from tests.

    python deploy/kafka/kafka.py fetch                           fetch and check the jars, make the class archive
    python deploy/kafka/kafka.py start --data DIR [--port N]     run until Ctrl-C; prints the bootstrap address
    python deploy/kafka/kafka.py pin                             after a change of pom.xml

The broker never outlives whoever started it: a watchdog holds a pipe from this process and kills the broker when the
pipe closes, however this process ends.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

if __package__:
    from deploy.kafka import jars
else:  # run as a script
    import jars  # type: ignore[no-redef, import-not-found]  # the same file, found beside this one

READY: Final = "Kafka Server started"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
CLUSTER: Final = "VW53YWl0aFVud2FpdGhVbg"
"""Any 16 bytes in base64: every data directory is a cluster of its own."""


class BrokerFailed(Exception):  # noqa: N818  the message says what happened and shows the log
    """The broker ended or did not become ready. The message ends with the last lines of its log."""


class Broker:
    """One broker with its data directory. The same address serves every start, also after a SIGKILL."""

    def __init__(self, data: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        """`port` 0 chooses a free one. `settings` are added to server.properties and win over it."""
        self._data = data
        self._port = port
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Return `host:port` for clients; known after the first start."""
        return f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and return when the broker serves. Raises PartMissing or BrokerFailed."""
        if self.running:
            return self
        java = jars.need_java()
        libs = jars.KAFKA.need()
        self._launch(_command(java, libs, _class_archive(java, libs)))
        return self

    def stop(self) -> None:
        """End the broker in order; after 20 seconds by force."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def suspend(self) -> None:
        """SIGSTOP: the broker keeps its connections and answers nothing, until `resume`. Returns when it stands still.

        The signal alone is not enough: on a busy machine a thread may still answer a call that comes after it.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> Self:
        """Stop if running, then start on the same data and the same address."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, java: list[str]) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        chosen = self._port == 0
        for _ in range(3):
            port, controller_port = _free_ports()
            self._port = port if chosen else self._port
            properties = self._write_properties(controller_port)
            if not Path(self._data, "log", "meta.properties").exists():
                self._run_to_end([*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(properties)])
            try:
                self._run_until_ready([*java, "kafka.Kafka", str(properties)])
            except BrokerFailed as failed:
                # Another process may have taken a port between our look and the broker's bind.
                if "Address already in use" not in str(failed):
                    raise
                last = failed
            else:
                return
        raise last

    def _write_properties(self, controller_port: int) -> Path:
        template = string.Template((jars.HERE / "server.properties").read_text())
        text = template.substitute(port=self._port, controller_port=controller_port, data=self._data / "log")
        extra = "".join(
            f"{name}={string.Template(value).substitute(port=self._port, controller_port=controller_port)}\n"
            for name, value in self._settings.items()
        )
        path = self._data / "server.properties"
        path.write_text(text + extra)
        path.chmod(0o600)
        return path

    def _run_to_end(self, command: list[str]) -> None:
        with Path(self._data, "broker.log").open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=60)  # noqa: S603  Kafka's own tool
        if done.returncode:
            raise BrokerFailed(f"formatting {self._data} failed\n{self._tail(0)}")

    def _run_until_ready(self, command: list[str]) -> None:
        path = self._data / "broker.log"
        begin = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            # A session of its own, so that Ctrl-C in a terminal reaches us first and the broker ends in order.
            self._process = subprocess.Popen(  # noqa: S603  Kafka itself
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._watchdog = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", 'read -r _; kill -KILL "$1" 2>/dev/null', "watchdog", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while READY not in self._log_from(begin):
            if self._process.poll() is not None or time.monotonic() > deadline:
                ended = self._process.poll() is not None
                self.kill()
                raise BrokerFailed(
                    f"the broker {'ended' if ended else f'was not ready within {START_SECONDS:.0f} s'}; "
                    f"the end of {path}:\n{self._tail(begin)}"
                )
            time.sleep(0.05)

    def _log_from(self, begin: int) -> str:
        with Path(self._data, "broker.log").open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _tail(self, begin: int) -> str:
        return "\n".join(self._log_from(begin).splitlines()[-30:])

    def _reap(self) -> None:
        for process in (self._process, self._watchdog):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._process = self._watchdog = None


def _command(java: Path, libs: Path, archive: Path | None) -> list[str]:
    """Return the JVM's part of the command. The class path is listed, not a wildcard: the class archive depends on it."""
    tuning = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable", "-Xlog:all=error"]
    return [
        str(java),
        *tuning,
        *([f"-XX:SharedArchiveFile={archive}"] if archive else []),
        f"-Dlog4j2.configurationFile={jars.HERE / 'log4j2.properties'}",
        "-cp",
        os.pathsep.join(str(jar) for jar in sorted(libs.glob("*.jar"))),
    ]


def _class_archive(java: Path, libs: Path) -> Path | None:
    """Return the AppCDS archive of this Java, made by one short run of the broker, or None where that fails.

    `-XX:ArchiveClassesAtExit` works on every Java from 13 on, unlike `-XX:+AutoCreateSharedArchive` (19). An archive
    that does not fit is ignored by the JVM, so it can only hasten a start.
    """
    pins = jars.KAFKA.pins.read_bytes()
    fits = hashlib.sha256(jars.java_version(java).encode() + str(java.resolve()).encode() + pins).hexdigest()[:12]
    archive = libs.parent / f"classes-{fits}.jsa"
    with jars.locked(libs.parent):
        if archive.exists():
            return archive
        jars.say("making the class archive, once")
        with tempfile.TemporaryDirectory(dir=libs.parent, prefix="train-") as scratch:
            made = Path(scratch, "classes.jsa")
            command = _command(java, libs, None)
            trained = Broker(Path(scratch, "data"))
            with contextlib.suppress(BrokerFailed):
                trained._launch([*command[:1], f"-XX:ArchiveClassesAtExit={made}", *command[1:]])  # noqa: SLF001  the same class
                trained.stop()
            if not made.exists():
                jars.say("no class archive could be made; starts take a second longer")
                return None
            made.rename(archive)
    return archive


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def _serve(data: Path, port: int) -> None:
    """Run a broker until Ctrl-C or SIGTERM. Raises BrokerFailed when it ends by itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Broker(data, port=port) as broker, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"{broker.bootstrap}\n")
        sys.stdout.flush()
        while broker.running:
            time.sleep(0.2)
        raise BrokerFailed(f"the broker ended by itself; see {data / 'broker.log'}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run one real Kafka broker on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch and check the jars, make the class archive")
    commands.add_parser("pin", help="write jars.sha256 anew after a change of pom.xml")
    start = commands.add_parser("start", help="run until Ctrl-C")
    start.add_argument("--data", type=Path, required=True, help="folder of the broker's data, kept between starts")
    start.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    given = parser.parse_args()
    try:
        if given.command == "pin":
            jars.KAFKA.pin()
        elif given.command == "fetch":
            java, libs = jars.need_java(), jars.KAFKA.need()
            _class_archive(java, libs)
            sys.stdout.write(f"{libs}\n")
        else:
            _serve(given.data.resolve(), given.port)
    except (jars.PartMissing, BrokerFailed) as failed:
        jars.say(str(failed))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
