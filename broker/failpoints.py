"""Places where a test can make a process die. They exist only when armed; otherwise `reach` is an empty function.

`UNWAITH_FAILPOINTS="relay.appended=3"` kills the process with SIGKILL the third time it reaches that place;
`relay.appended=3:stop` stops it there with SIGSTOP, until somebody continues it: a zombie to be.
Production refuses to start with the variable set (`broker.settings`).
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "UNWAITH_FAILPOINTS"


def _armed(spec: str) -> Callable[[str], None]:
    at: dict[str, tuple[int, signal.Signals]] = {}
    for item in filter(None, spec.split(",")):
        name, _, when = item.partition("=")
        count, _, how = when.partition(":")
        at[name] = int(count or 1), signal.SIGSTOP if how == "stop" else signal.SIGKILL
    seen: Counter[str] = Counter()

    def reach(name: str) -> None:
        seen[name] += 1
        count, how = at.get(name, (0, signal.SIGKILL))
        if count == seen[name]:
            os.kill(os.getpid(), how)

    return reach


def _unarmed(_name: str) -> None:
    return


reach: Callable[[str], None] = _armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _unarmed
"""Pass the place `name`."""
