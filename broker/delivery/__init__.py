"""Delivery: takes records from the log, asks the gate, hands each to its organisation's adapter once, says what came.

It knows no database: only the log and the two ports it is given. Retry is not its business: every record ends in
one receipt, durable before its offset is committed, so no partition ever blocks.
"""

from broker.delivery.pool import Pool, PoolSettings
from broker.delivery.ports import Breakers, Config, Gate

__all__ = ["Breakers", "Config", "Gate", "Pool", "PoolSettings"]
