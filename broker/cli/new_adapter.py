"""A new adapter's package, from the example beside ours. It passes the conformance suite as it is."""

import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from rich.console import Console

from adapters.registry import ADAPTERS

NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME: Final = 40


def new_adapter(name: str, folder: Path) -> int:
    """Write the package `unwaith-adapter-<name>` into `folder`; nothing that is there is changed. 1, saying why, if not."""
    errors = Console(stderr=True)
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        errors.print("A name is small letters, digits and hyphens, a letter first: housing-crm")
        return 1
    if name in ADAPTERS:
        errors.print(f"{name} is one of Unwaith's own.")
        return 1
    package = folder / f"unwaith-adapter-{name}"
    try:
        package.mkdir(parents=True)
    except OSError as fault:
        errors.print(f"{package} cannot be made: {fault.strerror}.")
        return 1
    for file, text in written(name).items():
        (package / file).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{package}\n")
    return 0


def written(name: str) -> dict[str, str]:
    """Return the package's files by name."""
    module = f"unwaith_adapter_{name.replace('-', '_')}"
    class_name = "".join(part.capitalize() for part in name.split("-"))
    example = files("adapters") / "example"

    def copied(file: str) -> str:
        text = (example / file).read_text(encoding="utf-8")
        for old, new in (
            ("adapters.example.adapter", module),
            ("MODULE", module),
            ("CLASS", class_name),
            ("EXAMPLE", name),
            ("Example", class_name),
        ):
            text = text.replace(old, new)
        return text

    return {
        "pyproject.toml": copied("pyproject.toml.txt"),
        "README.md": copied("README.md.txt"),
        f"{module}.py": copied("adapter.py"),
        f"test_{module}.py": copied("conformance_test.py"),
    }
