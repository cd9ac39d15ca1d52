"""Run one role of the exchange and sample where it spends its processor time.

    python -m tests.load.sampled RESULT ROLE

The stack is taken at every four milliseconds of processor time used (SIGPROF), so waiting weighs nothing; a thread
that samples would need the interpreter's lock and see mostly the calls that release it. SIGUSR1 forgets what came
before; RESULT is written at the end.
"""

import signal
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path
from types import FrameType

import orjson

ROOT = Path(__file__).parents[2]
EVERY_SECONDS = 0.004


class Samples:
    """Processor seconds by our functions and by library, with what they call; and by file of ours or library, alone."""

    def __init__(self) -> None:
        self.within: defaultdict[str, float] = defaultdict(float)
        self.own: defaultdict[str, float] = defaultdict(float)
        self.total = 0.0

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]  # everything anew

    def take(self, frame: FrameType | None, seconds: float) -> None:
        self.total += seconds
        seen = set()
        top = True
        while frame is not None:
            place, ours = _place(frame.f_code.co_filename)
            if top:
                self.own[place] += seconds
                top = False
            name = f"{place}:{frame.f_code.co_qualname}" if ours else place
            if name not in seen:
                seen.add(name)
                self.within[name] += seconds
            frame = frame.f_back

    def written(self) -> bytes:
        def shares(found: dict[str, float]) -> dict[str, float]:
            largest = sorted(found.items(), key=lambda item: -item[1])[:60]
            return {name: round(seconds / self.total, 4) for name, seconds in largest}

        return orjson.dumps({"seconds": self.total, "within": shares(self.within), "own": shares(self.own)})


_PLACES: dict[str, tuple[str, bool]] = {}


def _place(filename: str) -> tuple[str, bool]:
    """Return a file as it is known: ours from the checkout's root, a library's from its package, else `python`."""
    if filename not in _PLACES:
        path = Path(filename)
        libraries, python = (Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib"))
        if path.is_relative_to(libraries):
            found = (path.relative_to(libraries).parts[0], False)
        elif path.is_relative_to(ROOT):
            found = (path.relative_to(ROOT).as_posix(), True)
        elif path.is_relative_to(python):
            found = (f"python {path.relative_to(python).parts[0].removesuffix('.py')}", False)
        else:
            found = ("python", False)
        _PLACES[filename] = found
    return _PLACES[filename]


def main() -> None:
    result, role = Path(sys.argv[1]), sys.argv[2]
    samples = Samples()
    signal.signal(signal.SIGPROF, lambda _, frame: samples.take(frame, EVERY_SECONDS))
    signal.setitimer(signal.ITIMER_PROF, EVERY_SECONDS, EVERY_SECONDS)
    signal.signal(signal.SIGUSR1, lambda *_: samples.clear())
    sys.argv = ["unwaith", role]
    from broker.cli.commands import app

    try:
        app()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        result.write_bytes(samples.written())


if __name__ == "__main__":
    main()
