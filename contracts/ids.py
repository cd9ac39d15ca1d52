"""Ids of what is kept and sent."""

import secrets
from datetime import datetime
from uuid import UUID


def new_id(now: datetime) -> UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7) whose time is cut to the second (section 6.1 allows it).

    Its order helps the store: an index by ids in no order changes another page for each. Anything finer than a second would help two recipients to join their records.
    """
    milliseconds = int(now.timestamp()) * 1000
    value = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
