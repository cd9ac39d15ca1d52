"""The operators' pages: the line in numbers, one change step by step, pauses, replays, and what operators did.

Nothing personal is read here, let alone opened, but for what needs a person to decide on it: on record, for a while,
and its person sees that. Every act is written into the ledger with who did it and why.
"""

from broker.web.staff import (
    acting,
    acts,
    agreements,
    browsing,
    deciding,
    joinings,
    overview,
    proposals,
    registered,
    replaying,
    tracing,
)
from broker.web.staff.allowed import allowances, refused
from broker.web.streaming import Watchers
from broker.web.visit import Page

__all__ = ["allowances", "pages", "refused"]

MOST_WATCHERS = 64
"""Of them all: what each is sent costs a look at every count."""


def pages(prefix: str) -> list[Page]:
    """Return the pages beneath `prefix`."""
    watchers = Watchers(MOST_WATCHERS)
    beneath = (
        *overview.pages(watchers),
        *browsing.PAGES,
        *tracing.PAGES,
        *acting.PAGES,
        *replaying.pages(watchers),
        *registered.PAGES,
        *agreements.PAGES,
        *proposals.PAGES,
        *deciding.PAGES,
        *joinings.PAGES,
        *acts.PAGES,
    )
    return [Page(page.method, f"{prefix}{page.path}", page.handler, quiet=page.quiet) for page in beneath]
