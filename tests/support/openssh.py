"""Debian's OpenSSH server as a child process: one key in, one folder, SFTP and nothing else."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from deploy.kafka.jars import install
from tests.support.java import not_here
from tests.support.ports import free_port

SSHD = "/usr/sbin/sshd"
PACKAGES = ("openssh-server",)
RULES = """
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding no
PermitTTY no
Subsystem sftp internal-sftp
ForceCommand internal-sftp -d {root}/files
"""


@dataclass(frozen=True)
class OpenSsh:
    """A running server. `files` is where whoever comes in lands."""

    port: int
    files: Path
    host_key: str
    key: str

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "host_keys": (self.host_key,),
            "folder": str(self.files / "incoming"),
        }


@contextmanager
def openssh(root: Path) -> Iterator[OpenSsh]:
    """Run a server with new keys in `root`. Where there is none to run, the test is skipped; it fails with CI=true."""
    if shutil.which(SSHD) is None:
        install("an SSH server", PACKAGES)
        if shutil.which(SSHD) is None:
            not_here(f"an SSH server. Install it with: sudo apt-get install -y {' '.join(PACKAGES)}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's server wants to be when it parts with rights
    host, ours = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(str(root / "host_key"))
    (root / "host_key").chmod(0o600)
    ours.write_public_key(str(root / "authorized_keys"))
    for folder in ("incoming", "outgoing"):
        (root / "files" / folder).mkdir(parents=True)
    port = free_port()
    (root / "sshd_config").write_text(RULES.format(port=port, root=root))
    with Path(root, "log").open("wb") as log:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(root / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        _wait(server, port, root / "log")
        public = host.export_public_key().decode().strip()
        yield OpenSsh(port, root / "files", public, ours.export_private_key().decode())
    finally:
        server.terminate()
        server.wait(20)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the SSH server did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
        else:
            return
