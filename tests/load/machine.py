"""What the run ran on, as far as it explains the figures."""

import os
import platform
import re
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.kafka import jars
from tests.load.figures import percentile

LIBRARIES = ("aiohttp", "aiokafka", "asyncpg", "fastapi", "pydantic", "uvicorn", "uvloop")


async def described(connection: Any, *, kafka: bool) -> dict[str, str]:
    """Return the machine and the versions in words."""
    server = await connection.fetchval("SHOW server_version")
    processor = _first("/proc/cpuinfo", r"model name\s*: (.*)") or platform.machine()
    kilobytes = int(_first("/proc/meminfo", r"MemTotal:\s+(\d+)") or 0)
    found = {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "memory": f"{kilobytes / 1e6:.0f} GB",
        "system": platform.system(),
        "disk": f"8 KB written and made durable in {_durable_write_ms():.2f} ms (median)",
        "others' load": f"{os.getloadavg()[0]:.1f} processes ran before the run began (one-minute average)",
        "Python": platform.python_version(),
        "PostgreSQL": f"{server}, with full durability (fsync, full_page_writes, synchronous_commit on)",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
    if kafka:
        java = jars.java_version(jars.need_java()).splitlines()[0]
        found["Kafka"] = f"{jars.KAFKA.version}, one broker, {java}"
    return found


def _first(file: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(file).read_text())
    except OSError:
        return None
    return found[1].strip() if found else None


def _durable_write_ms() -> float:
    took = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(8192))
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return percentile(took, 0.5)
