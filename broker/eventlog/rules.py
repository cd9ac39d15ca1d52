"""What both logs hold to: which family a topic belongs to, and how large a record may be."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from broker.eventlog.log import Record
from contracts.topics import TOPICS, Topic

LARGEST_RECORD: Final = 900_000
"""Bytes of key, value and headers together. Below Kafka's default limit of 1 MiB for a batch, whichever log is used."""


def family(topic: str) -> Topic:
    """Return the entry of `contracts.topics` a topic belongs to. Raises ValueError for a topic nobody declared."""
    for declared in TOPICS:
        pattern = re.escape(declared.name).replace(re.escape("{organisation}"), r"[A-Za-z0-9_-]+")
        if re.fullmatch(pattern, topic):
            return declared
    raise ValueError(f"{topic!r} is not declared in contracts.topics; add it there first")


def check(records: Iterable[Record]) -> None:
    """Refuse a record no log would take, before any is sent. Raises ValueError: trying again cannot help."""
    for record in records:
        size = len(record.key) + len(record.value) + sum(len(name) + len(value) for name, value in record.headers)
        if size > LARGEST_RECORD:
            raise ValueError(
                f"a record of {size:,} bytes for {record.topic} is over the log's limit of {LARGEST_RECORD:,}; "
                "send less, nothing of this batch was appended"
            )


def label(topic: str) -> str:
    """Return a family's short name, such as `deliveries`. Raises ValueError for a topic nobody declared."""
    return family(topic).name.split(".")[1]


def retention(family_label: str) -> timedelta:
    """Return how long records of a family are kept. Raises ValueError for an unknown one."""
    for declared in TOPICS:
        if declared.name.split(".")[1] == family_label:
            return declared.retention
    raise ValueError(f"no family of topics is called {family_label!r}")
