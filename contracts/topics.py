"""The log's topics as data: who writes, who reads, what the key is, how long it is kept."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic, or one family of topics when `name` holds `{organisation}`."""

    name: str
    purpose: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    key: str
    personal: Literal["sealed", "none"]
    """`sealed`: ciphertext only. `none`: no personal data at all."""
    partitions: int
    retention: timedelta
    compatibility: Literal["backward", "full"] = "full"


DELIVERIES: Final = Topic(
    name="unwaith.deliveries.{organisation}",
    purpose="Deliveries due now for one organisation, sealed; a short conveyor, not a queue.",
    producers=("relay",),
    consumers=("delivery",),
    key="the recipient's own pseudonym for the person, so one person's deliveries keep their order; or the closed batch",
    personal="sealed",
    partitions=3,
    retention=timedelta(days=2),
)

RECEIPTS: Final = Topic(
    name="unwaith.receipts",
    purpose="What became of each attempt, and organisations' later answers.",
    producers=("delivery", "relay", "api", "tracking"),
    consumers=("tracking",),
    key="delivery id",
    personal="none",
    partitions=6,
    retention=timedelta(days=7),
)

TOPICS: Final = (DELIVERIES, RECEIPTS)


def deliveries_topic(organisation: str) -> str:
    """Return the topic of one organisation's deliveries."""
    return DELIVERIES.name.format(organisation=organisation)


def organisation_of(topic: str) -> str:
    """Return the organisation a deliveries topic belongs to. Raises ValueError for any other topic."""
    prefix = DELIVERIES.name.removesuffix("{organisation}")
    if not topic.startswith(prefix):
        raise ValueError("not a deliveries topic")
    return topic.removeprefix(prefix)
