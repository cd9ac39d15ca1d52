"""Fetch jars with Maven and trust only those whose SHA-256 is pinned: Kafka's, and those of servers tests talk to.

A set of jars is a folder with a `pom.xml` and a `jars.sha256`. The cache is
`${XDG_CACHE_HOME:-~/.cache}/unwaith/<name>-<version>-<pins>/`, outside the tree and shared by checkouts.
Every use checks every sum; a damaged cache is fetched again. Two processes at once are kept apart by a file lock.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
OLDEST_JAVA: Final = 17
PACKAGES: Final = ("default-jre-headless", "maven")
"""Debian's names; from Debian 12 on the default runtime is Java 17 or newer."""
INSTALL: Final = f"sudo apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
COMPILER: Final = ("default-jdk-headless",)


class PartMissing(Exception):  # noqa: N818  it tells the reader what to do
    """What is wanted cannot be run here yet. The message ends with the one command that changes this."""


def find_java() -> Path | None:
    """Return the first Java that is new enough: JAVA_HOME, then PATH, then Debian's folder."""
    candidates = [Path(home, "bin", "java")] if (home := os.environ.get("JAVA_HOME")) else []
    candidates += [Path(found)] if (found := shutil.which("java")) else []
    candidates += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    return next((java for java in candidates if java_major(java) >= OLDEST_JAVA), None)


def java_major(java: Path) -> int:
    """Return the major version of a Java, 0 if it does not run."""
    said = re.search(r'version "(\d+)', java_version(java))
    return int(said[1]) if said else 0


def java_version(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=30).stderr  # noqa: S603  a Java found on this machine
    except (OSError, subprocess.SubprocessError):
        return ""


def need_java() -> Path:
    """Return a Java that is new enough, installing it if this process may. Raises PartMissing."""
    if (java := find_java()) is None:
        install(f"Java {OLDEST_JAVA} or newer")
        java = find_java()
    if java is None:
        raise PartMissing(f"Java {OLDEST_JAVA} or newer is missing. Install it with: {INSTALL}")
    return java


def need_compiler() -> Path:
    """Return a Java that also runs source files, installing it if this process may. Raises PartMissing."""
    if not _compiles(java := need_java()):
        install("a Java compiler", COMPILER)
        if not _compiles(java := need_java()):
            raise PartMissing(
                f"A Java compiler is missing. Install it with: sudo apt-get install -y {' '.join(COMPILER)}"
            )
    return java


def _compiles(java: Path) -> bool:
    said = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603  a Java found on this machine
    return "jdk.compiler@" in said.stdout


@dataclass(frozen=True, slots=True)
class Jars:
    """The jars one pom names. `name` is the pom's property `<name>.version`, and stands in the cache's name."""

    name: str
    folder: Path

    @property
    def pom(self) -> Path:
        return self.folder / "pom.xml"

    @property
    def pins(self) -> Path:
        return self.folder / "jars.sha256"

    @property
    def version(self) -> str:
        """The version the pom names. Raises PartMissing."""
        found = re.search(f"<{re.escape(self.name)}\\.version>([^<]+)<", self.pom.read_text())
        if found is None:
            raise PartMissing(f"{self.pom.name} names no {self.name}.version. Restore it with: git checkout {self.pom}")
        return found[1]

    def need(self) -> Path:
        """Return the folder of the pinned jars, checked, fetching it first where it is missing or damaged.

        Raises PartMissing when Maven is absent or the fetch gives anything but the pinned jars.
        """
        pins = self.read_pins()
        cache = self.cache_folder()
        folder = cache / "libs"
        with locked(cache):
            if not differences(folder, pins):
                return folder
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
                self._fetch_pinned(Path(scratch), pins)
                if folder.exists():
                    folder.rename(Path(scratch, "damaged"))
                Path(scratch, "libs").rename(folder)
        return folder

    def cache_folder(self) -> Path:
        """Return where this version with these pins is kept, so that checkouts with other pins do not meet in it."""
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        pinned = hashlib.sha256(self.pins.read_bytes()).hexdigest()[:8]
        return root / "unwaith" / f"{self.name}-{self.version}-{pinned}"

    def read_pins(self) -> dict[str, str]:
        """Return the expected SHA-256 by file name."""
        lines = (line.split() for line in self.pins.read_text().splitlines() if line)
        return {name: digest for digest, name in lines}

    def pin(self) -> None:
        """Fetch what the pom names now and write `jars.sha256` anew. For maintainers, after a change of the pom."""
        with tempfile.TemporaryDirectory(prefix="unwaith-jars-") as scratch:
            _maven(self.pom, Path(scratch, "libs"), Path(scratch, "repository"))
            found = digests(Path(scratch, "libs"))
        self.pins.write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()))

    def _fetch_pinned(self, scratch: Path, pins: dict[str, str]) -> None:
        """Fill `scratch/libs`, first from Maven's repository on this machine, then from a new one: it may be damaged."""
        libs = scratch / "libs"
        for repository in (None, scratch / "repository"):
            shutil.rmtree(libs, ignore_errors=True)
            say(f"fetching the jars of {self.name} with Maven")
            _maven(self.pom, libs, repository)
            if not (wrong := differences(libs, pins)):
                return
        raise PartMissing(
            f"Maven gave other jars than {self.pins} pins ({', '.join(wrong[:5])}). If the pom was changed on purpose, "
            f"pin them with: python -m deploy.kafka.jars {self.name} {self.folder}"
        )


def differences(folder: Path, pins: dict[str, str]) -> list[str]:
    """Return the names that are missing, altered or not expected in a folder, nothing if all is as pinned."""
    found = digests(folder)
    return sorted(name for name in found.keys() | pins.keys() if found.get(name) != pins.get(name))


def digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with path.open("rb") as stream:
            found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it if this process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with Path(folder, ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    sys.stderr.write(f"unwaith: {text}\n")
    sys.stderr.flush()


def _maven(pom: Path, libs: Path, repository: Path | None) -> None:
    if shutil.which("mvn") is None:
        install("Maven")
    if (mvn := shutil.which("mvn")) is None:
        raise PartMissing(f"Jars are fetched with Maven, which is missing. Install it with: {INSTALL}")
    command = [mvn, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    command += [f"-DoutputDirectory={libs}"] + ([f"-Dmaven.repo.local={repository}"] if repository else [])
    environment = {"JAVA_HOME": str(need_java().resolve().parent.parent)} | dict(os.environ)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)  # noqa: S603  Maven with our own pom
    except subprocess.TimeoutExpired:
        raise PartMissing(f"Maven did not end within 15 minutes. Try it by hand: {' '.join(command)}") from None
    if done.returncode:
        raise PartMissing(
            f"Maven failed.\n{done.stdout[-2000:]}{done.stderr[-500:]}\nTry it by hand: {' '.join(command)}"
        )


def install(what: str, packages: Sequence[str] = PACKAGES) -> None:
    """Install these of Debian's packages if this process is root on a Debian; otherwise leave it to the message."""
    apt = shutil.which("apt-get")
    if os.geteuid() != 0 or apt is None:
        return
    say(f"{what} is missing; installing Debian's {' and '.join(packages)}")
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    install = [apt, "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (install, [apt, "update", "-q"], install):
        done = subprocess.run(command, capture_output=True, check=False, env=environment)  # noqa: S603  Debian's own tool
        if command is install and done.returncode == 0:
            return
    say(f"apt-get failed: {done.stderr.decode(errors='replace')[-500:]}")


KAFKA: Final = Jars("kafka", HERE)

if __name__ == "__main__":
    Jars(sys.argv[1], Path(sys.argv[2]).resolve()).pin()
