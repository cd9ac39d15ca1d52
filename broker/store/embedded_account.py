"""As whom the embedded PostgreSQL runs. It refuses root, so root lends it an ordinary account of the machine.

No account is added and no permission of any existing directory is changed.
"""

import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LENT: Final = ("postgres", "nobody")
"""The accounts root may lend, best first."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server is. `lent` means that we are root and step down to it."""

    user: int
    group: int
    lent: bool

    def prefix(self, reach: Iterable[Path]) -> list[str]:
        """Return what to put before a command so that it runs as this account and, on Linux, ends with our thread.

        Where the account may not enter the directories above a path of `reach` (a checkout below /root, say), it is
        given the one capability to pass them, and nothing else of root's. Raises LookupError for root without setpriv.
        """
        setpriv = shutil.which("setpriv")
        if setpriv is None or Path(setpriv).resolve().name == "busybox":
            if self.lent:
                raise LookupError(
                    "PostgreSQL does not run as root. Run this as an ordinary user, or install util-linux."
                )
            return []
        tied = [setpriv, "--pdeathsig", "INT"]
        if not self.lent:
            return tied
        tied += ["--reuid", str(self.user), "--regid", str(self.group), "--clear-groups"]
        if all(self._may_enter(directory) for path in reach for directory in path.parents):
            return tied
        only = "-all,+dac_override"
        # Without the securebit, access() asks for the account alone, and initdb finds its own binary forbidden.
        tied += ["--securebits=+no_setuid_fixup", f"--inh-caps={only}", f"--bounding-set={only}"]
        return [*tied, "--ambient-caps=+dac_override"]

    def make_private(self, directory: Path) -> None:
        """Make `directory` with mode 0700 for this account alone. Raises OSError if it is somebody else's."""
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {self.user, os.geteuid()}:
                raise PermissionError(1, f"{directory} belongs to somebody else") from None
        if self.lent:
            os.chown(directory, self.user, self.group, follow_symlinks=False)
        directory.chmod(0o700)

    def _may_enter(self, directory: Path) -> bool:
        found = directory.stat()
        if found.st_uid == self.user:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.group:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def account_for(cluster: Path) -> Account:
    """Return the account for the server of `cluster`: ourselves, or when we are root the owner of what is there.

    Raises LookupError where root finds no account to lend.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), lent=False)
    if cluster.exists() and (found := cluster.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid, lent=True)
    for name in _LENT:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, lent=True)
    raise LookupError(
        "PostgreSQL does not run as root, and there is no account to lend it. Run this as an ordinary user."
    )
