"""How a sample organisation answers, as told at run time: well, slowly, later, or not at all."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Final, Literal

from pydantic import Field

from contracts.statuses import Outcome
from contracts.text import Strict

Kind = Literal["applied", "not_matched", "must_review", "later", "slow", "failing", "refusing", "silent"]

EVERY_KIND: Final[frozenset[Kind]] = frozenset(
    {"applied", "not_matched", "must_review", "later", "slow", "failing", "refusing", "silent"}
)


class Behaviour(Strict):
    """One way to answer, for the next `times` requests or until told otherwise. The body of `POST /sandbox/behaviour`.

    applied       applied at once, as far as this way of being reached can say so
    not_matched   no such person here
    must_review   a person must look
    later         taken in; applied after `seconds`
    slow          as `applied`, but the answer takes `seconds`: past the caller's deadline it is lost
    failing       nothing is taken in, not now: over HTTP with `status`
    refusing      nothing is taken in, nor ever will be
    silent        no answer; over MLLP the connection is closed, elsewhere it is left open

    What each looks like on the wire stands in the module of each way: `organisations`, `file_server`, `mllp_receiver`,
    `fhir_server`, `agency`.
    """

    behaviour: Kind = "applied"
    seconds: Annotated[float, Field(ge=0, le=600)] = 1.0
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds, sent as `Retry-After` with `failing`."""
    times: Annotated[int, Field(ge=1)] | None = None
    """None: until told otherwise. Afterwards it is `applied` again."""

    @property
    def outcome(self) -> Outcome:
        """What is answered to an event that is taken in."""
        match self.behaviour:
            case "not_matched":
                return Outcome.NOT_MATCHED
            case "must_review":
                return Outcome.MUST_REVIEW
            case "later":
                return Outcome.RECEIVED
            case _:
                return Outcome.APPLIED


class Conduct:
    """The behaviour in force. A restart makes it `applied` again."""

    def __init__(self, kinds: AbstractSet[Kind] = EVERY_KIND) -> None:
        """`kinds` are those this system has."""
        self.kinds = frozenset(kinds)
        self.now = Behaviour()

    def tell(self, behaviour: Behaviour) -> None:
        self.now = behaviour

    def next(self) -> Behaviour:
        """Return the behaviour for one request, counting it."""
        current = self.now
        if current.times is not None:
            left = current.times - 1
            self.now = current.model_copy(update={"times": left}) if left else Behaviour()
        return current
