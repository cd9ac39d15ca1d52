"""Every metric there is, in one table. Labels are organisations, types and closed codes: never a person, never a path."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; for what happens inside, and for one request."""
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 259_200.0)
"""Seconds; until the organisation's answer: from milliseconds to the three days it may be down."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """One set of metrics on a registry of its own; a process makes one, a test as many as it likes."""

    registry: CollectorRegistry

    # Intake
    changes_accepted: Counter  # by type; one for each 202 that was a new change
    accept_seconds: Histogram  # from a valid request to its commit

    # Relay
    relay_published: Counter  # by organisation; one for each record the log made durable, replays too

    # Delivery
    deliveries: Counter  # by organisation, outcome, reason; one for each attempt that ended in a receipt
    delivery_seconds: Histogram  # by organisation; one attempt, from the grant to the receipt
    breaker_open: Gauge  # by organisation; 1 while nothing is sent but probes, as this worker knows it
    quarantined: Counter  # by reason; records that could not be read or opened: always an alarm

    # Collecting answers
    answers_unreadable: Counter  # by organisation; files or messages that were set aside: always an alarm

    # Tracking
    receipts_folded: Counter  # by kind
    answer_seconds: Histogram  # by organisation; from when it was first to be sent to the organisation's first answer
    # The six that follow are read from the store by every tracker: of several, any one is the answer, never their sum.
    oldest_undelivered_age_seconds: Gauge  # by organisation; 0 when nothing is owed
    owed: Gauge  # by organisation and status; its sum is what was accepted
    unbalanced: Gauge  # by organisation; accepted less the sum of all statuses: anything but 0 is an alarm
    paused: Gauge  # by organisation; 1 while it is paused or draining
    silent: Gauge  # by organisation; 1 while it is overdue with answers that it leaves to be fetched: an alarm
    uncollected: Gauge  # by organisation; 1 while its answers cannot be fetched: an alarm
    unread: Gauge  # by organisation; deliveries that nobody has come for in too long: anything but 0 is an alarm
    quarantine_unexamined: Gauge  # records set aside that nobody has looked at: anything but 0 is an alarm

    # Interface
    request_seconds: Histogram  # by method, route template and status

    # Ourselves
    log_keys_dropped: Counter  # keys or values withheld from the logs: somebody logged what must not be

    def rendered(self) -> bytes:
        """Return all of it in Prometheus' text format; see CONTENT_TYPE."""
        return generate_latest(self.registry)


def new_metrics() -> Metrics:
    """Make the set, all at zero."""
    registry = CollectorRegistry(auto_describe=True)

    def counter(name: str, says: str, *labels: str) -> Counter:
        return Counter(f"unwaith_{name}", says, labels, registry=registry)

    def gauge(name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"unwaith_{name}", says, labels, registry=registry)

    def histogram(name: str, says: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"unwaith_{name}", says, labels, registry=registry, buckets=buckets)

    return Metrics(
        registry=registry,
        changes_accepted=counter("changes_accepted_total", "Changes accepted.", "type"),
        accept_seconds=histogram("accept_seconds", "From a valid request to its commit.", _QUICK),
        relay_published=counter("relay_published_total", "Deliveries appended to the log.", "organisation"),
        deliveries=counter(
            "deliveries_total", "Attempts that ended in a receipt.", "organisation", "outcome", "reason"
        ),
        delivery_seconds=histogram("delivery_seconds", "One attempt, grant to receipt.", _QUICK, "organisation"),
        breaker_open=gauge("breaker_open", "Whether nothing is sent but probes.", "organisation"),
        quarantined=counter("quarantined_total", "Records that could not be read or opened.", "reason"),
        receipts_folded=counter("receipts_folded_total", "Receipts folded into statuses.", "kind"),
        answer_seconds=histogram("answer_seconds", "First to be sent to first answer.", _LONG, "organisation"),
        oldest_undelivered_age_seconds=gauge(
            "oldest_undelivered_age_seconds", "Age of the oldest delivery owed.", "organisation"
        ),
        owed=gauge("owed", "Accepted deliveries by the status they are in.", "organisation", "status"),
        unbalanced=gauge("unbalanced", "Accepted deliveries less the sum of all statuses.", "organisation"),
        paused=gauge("paused", "Whether nothing new is sent to it.", "organisation"),
        silent=gauge("answers_silent", "Whether no answers came by the time agreed.", "organisation"),
        uncollected=gauge("answers_uncollected", "Whether its answers cannot be fetched.", "organisation"),
        answers_unreadable=counter("answers_unreadable_total", "Fetched, and no answers.", "organisation"),
        unread=gauge("unread", "Deliveries nobody has come for in too long.", "organisation"),
        quarantine_unexamined=gauge("quarantine_unexamined", "Records set aside that nobody has looked at."),
        request_seconds=histogram("request_seconds", "One request.", _QUICK, "method", "route", "status"),
        log_keys_dropped=counter("log_keys_dropped_total", "Keys or values withheld from the logs."),
    )
