"""The journeys of what is not a move: a name, a way of being reached, language and format, a death; a module each."""

from typing import Final

from broker.web.changed import bereavement, contact, language, name
from broker.web.telling import sending
from broker.web.visit import Page

JOURNEYS: Final = (name.NAME, contact.CONTACT, language.LANGUAGE, bereavement.BEREAVEMENT)
"""In the order they are offered."""


def pages() -> list[Page]:
    own = [*name.pages(), *contact.pages(), *language.pages(), *bereavement.pages()]
    return [*own, *(page for journey in JOURNEYS for page in sending.pages(journey))]
