"""The journey of a change of address, one thing a page. What is answered lives in the session until it is sent."""

from broker.web.move import household, private
from broker.web.move.journey import DAY, MOVE, NEW, PREVIOUS, WRITTEN_TO
from broker.web.telling import sending
from broker.web.visit import Page

__all__ = ["MOVE", "pages"]


def pages() -> list[Page]:
    return [
        *NEW.pages(),
        *PREVIOUS.pages(),
        *DAY.pages(),
        *household.pages(),
        *private.pages(),
        *WRITTEN_TO.pages(),
        *sending.pages(MOVE),
    ]
