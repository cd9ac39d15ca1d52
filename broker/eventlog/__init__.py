"""The log: a short conveyor between the stages, on Kafka or on PostgreSQL, one interface, one conformance suite.

No retry, no schedule and no personal data in clear may enter here.
"""

from broker.eventlog.log import Consumer, EventLog, LogUnavailable, Offset, Partition, Received, Record

__all__ = ["Consumer", "EventLog", "LogUnavailable", "Offset", "Partition", "Received", "Record"]
