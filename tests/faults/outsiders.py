"""The world around the exchange as one process: the sandbox's provider and its three organisations.

    python -m tests.faults.outsiders FOLDER API_PORT PROVIDER_PORT ORGANISATION_PORT...

It keeps what it was told in FOLDER, so it may be killed like everything else.
"""

import asyncio
import sys
from pathlib import Path

from broker.cli.ending import until_done
from broker.main.embedded import HOST, Addresses, organisations_at, outsiders
from broker.main.listening import Listener
from broker.main.serving import serve
from broker.sandbox.apps import PROVIDER
from broker.sandbox.definitions import ORGANISATION_IDS
from broker.sandbox.state import SandboxState
from broker.telemetry.logs import configure_logs


async def serve_all(folder: Path, addresses: Addresses, stop: asyncio.Event) -> int:
    configure_logs(level="WARNING")
    state = SandboxState.open(folder)
    apps = outsiders(state, addresses, [], organisations_at(addresses))
    ports = {PROVIDER: addresses.provider, **addresses.organisations}
    await serve([Listener(app, HOST, ports[name], name, lifespan=True) for name, app in apps], stop)
    return 0


def main() -> int:
    folder, api, provider, *organisations = sys.argv[1:]
    ports = dict(zip(ORGANISATION_IDS, map(int, organisations), strict=True))
    addresses = Addresses(int(api), int(provider), ports, metrics=0, staff_provider=0)
    return until_done(lambda stop: serve_all(Path(folder), addresses, stop))


if __name__ == "__main__":
    sys.exit(main())
