"""The operators' pages: the line in numbers, one change step by step, pauses, replays, and what operators did.

Nothing personal is read here, let alone opened. Every act is written into the ledger with who did it and why.
"""

from broker.web.staff import acting, acts, overview, replaying, tracing
from broker.web.staff.allowed import StaffPage, only
from broker.web.visit import Page

__all__ = ["pages", "staff_pages"]


def staff_pages() -> tuple[StaffPage, ...]:
    """Return every page of the operators' with what somebody must be allowed to see it."""
    return (*overview.PAGES, *tracing.PAGES, *acting.PAGES, *replaying.PAGES, *acts.PAGES)


def pages(prefix: str) -> list[Page]:
    """Return the pages beneath `prefix`, each closed to those who may not."""
    return [
        Page(page.method, f"{prefix}{page.path}", "staff", only(page.needs, page.handler), quiet=page.quiet)
        for page in staff_pages()
    ]
