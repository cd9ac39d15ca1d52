"""Where somebody lives, which decides whom a change concerns that is not a move."""

from broker.web.telling.addresses import Finder
from broker.web.telling.journey import Answers, Journey, Row, Step
from broker.web.telling.wording import address_line

HOME = "home"


def own_home(journey: Journey) -> Finder:
    """Return the question where whoever tells it lives."""
    return Finder(
        journey,
        HOME,
        by_postcode="home-postcode-title",
        chosen="home-choose-title",
        typed="home-type-title",
        suggesting={
            "title": "home-title",
            "body": "suggested-body",
            "question": "home-question",
            "yes": "home-yes",
            "no": "home-no",
            "missing": "home-missing",
        },
        filled_in=True,
    )


def home_step(root: str) -> Step:
    return Step(HOME, f"{root}/{HOME}")


def home_row(answers: Answers, path: str) -> Row:
    return Row("field-home-address", address_line(answers[HOME]["address"]), path, "field-home-address")


def has_home(answers: Answers) -> bool:
    return "address" in (answers.get(HOME) or {})
