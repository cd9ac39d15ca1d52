"""The relay: takes the next due delivery of each lane from the store to the log, in order, and says so.

It opens nothing: what it carries was sealed at acceptance. Retry, waiting and pause are rows, not code here.
"""

from broker.relay.relay import Relay, RelaySettings

__all__ = ["Relay", "RelaySettings"]
