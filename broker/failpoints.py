"""Places where a test can make a process die. They exist only when armed; otherwise `reach` is an empty function.

`UNWAITH_FAILPOINTS="relay.appended=3"` kills the process with SIGKILL the third time it reaches that place.
Production refuses to start with the variable set (`broker.settings`).
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "UNWAITH_FAILPOINTS"


def _armed(spec: str) -> Callable[[str], None]:
    at = {name: int(count or 1) for name, _, count in (item.partition("=") for item in spec.split(",") if item)}
    seen: Counter[str] = Counter()

    def reach(name: str) -> None:
        seen[name] += 1
        if at.get(name) == seen[name]:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def _unarmed(_name: str) -> None:
    return


reach: Callable[[str], None] = _armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _unarmed
"""Pass the place `name`."""
