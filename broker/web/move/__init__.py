"""The journey of a change of address, one thing a page. What is answered lives in the session until it is sent."""

from broker.web.move import addresses, choices, household, telling
from broker.web.visit import Page


def pages() -> list[Page]:
    return [*choices.pages(), *addresses.pages(), *household.pages(), *telling.pages()]
