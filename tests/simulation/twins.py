"""Which function of the store is stood in for by which, and standing in."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from broker.store import (
    batches,
    breakers,
    changes,
    collecting,
    holds,
    horizon,
    lanes,
    mailbox,
    operations,
    receipts,
    register,
    replays,
    withdrawals,
)
from tests.simulation import store, store_held, store_lying

TWINS: Final[tuple[tuple[Callable[..., Any], Callable[..., Any]], ...]] = (
    (changes.accept, store.accept),
    (breakers.standing, store.standing),
    (breakers.move, store.move),
    (breakers.take_for_lost, store.take_for_lost),
    (lanes.claim, store.claim),
    (batches.claim, store.claim_batch),
    (lanes.mark_published, store.mark_published),
    (lanes.next_due, store.next_due),
    (lanes.at_the_gate, store.at_the_gate),
    (receipts.folding, store.folding),
    (horizon.past, store.past),
    (operations.pause, store.pause),
    (operations.tidy, store.tidy),
    (replays.ask, store.ask),
    (replays.step, store.step),
    (withdrawals.cancel, store.cancel),
    (withdrawals.correct, store.correct),
    (withdrawals.due, store.due),
    (withdrawals.later, store.later),
    (withdrawals.looking, store.looking),
    (register.version, store.version),
    (register.configuration, store.configuration),
    (changes.of_organisation, store.of_organisation),
    (withdrawals.refuse, store_held.refuse),
    (holds.place, store_held.place),
    (holds.release, store_held.release),
    (holds.over, store_held.over),
    (holds.confirm, store_held.confirm),
    (holds.answered, store_held.answered),
    (holds.differs, store_held.differs),
    (mailbox.StoreMailbox, store_lying.StoreMailbox),
    (mailbox.look, store_lying.look),
    (mailbox.find, store_lying.find),
    (mailbox.hand_out, store_lying.hand_out),
    (mailbox.clear, store_lying.clear),
    (collecting.take, store_lying.take),
    (collecting.ended, store_lying.ended),
    (collecting.own, store_lying.own),
    (collecting.note, store_lying.note),
)
"""Each function of the store and what stands in for it. One that is missing here fails aloud: a Store has no pool."""


@contextmanager
def standing_in() -> Iterator[None]:
    """Have the stages call the functions above, wherever they have imported the store's."""
    places = [
        patch.object(module, name, twin)
        for original, twin in TWINS
        for module in [one for key, one in sys.modules.items() if key.startswith("broker.")]
        for name, value in list(vars(module).items())
        if value is original
    ]
    for place in places:
        place.start()
    try:
        yield
    finally:
        for place in places:
            place.stop()
