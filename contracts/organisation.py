"""An organisation that takes part, as the register holds it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from contracts.closings import Closing
from contracts.text import Bilingual, Code, Strict
from contracts.windows import Window

Sector = Literal["council", "health-board", "national", "housing", "utility", "voluntary", "other"]


class BreakerPolicy(Strict):
    """When an organisation's system counts as failing, and how it is taken up again."""

    consecutive: Annotated[int, Field(ge=1, le=1000)] = 10
    """So many failures in a row open the breaker."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Or this share of failures among the last `ofLast` attempts."""
    of_last: Annotated[int, Field(ge=2, le=1000)] = 50
    first_probe_seconds: Annotated[float, Field(gt=0)] = 5.0
    """Then nothing is sent but one delivery after so long, the next after twice as long, and so on."""
    longest_probe_seconds: Annotated[float, Field(gt=0)] = 300.0
    ramp_seconds: Annotated[float, Field(gt=0)] = 30.0
    """After a probe that was answered, how long it takes from one at a time to all."""


class BatchPolicy(Strict):
    """How deliveries are put together, for an adapter that hands over many at once."""

    size: Annotated[int, Field(ge=1, le=1000)] = 100
    """At most so many in one batch; `concurrency` then counts batches."""
    linger_seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """A batch that is not full is sent when its first delivery has waited for so long."""
    closes: Annotated[tuple[Closing, ...], Field(max_length=24)] = ()
    """Cut-offs in Welsh local time: `18:00`. With any, batches are closed then, in the store, and nothing lingers."""


class AnswersPolicy(Strict):
    """How answers are fetched from an organisation that leaves them to be fetched."""

    every_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """So often; after failures less and less, down to once an hour."""
    by: Closing | None = None
    """When, each day, what was taken in before that day is to have been answered: `09:00`, Welsh local time. If nothing
    has come for it by then, that is an alarm."""


class DeliveryPolicy(Strict):
    """How deliveries to this organisation are tried. Data, so that an operator can read it at a glance."""

    concurrency: Annotated[int, Field(ge=1, le=1024)] = 64
    """At most so many at once, over all its partitions; workers share it by the partitions they own."""
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """At most so many a second, shared in the same way."""
    windows: tuple[Window, ...] = ()
    """When it takes deliveries, in Welsh local time: `22:00-06:00`. At any time, with none given."""
    retry_share: Annotated[float, Field(ge=0.01, le=0.9)] = 0.2
    """At most this share of what a system that answers is sent are tries again."""
    deadline_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Total time for one attempt."""
    first_delay_seconds: Annotated[float, Field(gt=0)] = 2.0
    longest_delay_seconds: Annotated[float, Field(gt=0)] = 3600.0
    horizon_seconds: Annotated[float, Field(gt=0)] = 7 * 24 * 3600.0
    """After so long without success it is `undelivered`, with an alarm, at its next failure or, while nothing is sent because
    the breaker is open, within a minute. Waiting behind another of the same person, or for a pause to end, is not counted."""
    unknown_limit: Annotated[int, Field(ge=1, le=100)] = 5
    breaker: BreakerPolicy = BreakerPolicy()
    batch: BatchPolicy | None = None
    """Only for an adapter that takes batches; one at a time, without."""

    answers: AnswersPolicy = AnswersPolicy()

    @property
    def closings(self) -> tuple[Closing, ...]:
        """The cut-offs at which batches are closed; with none, deliveries go out as they fall due."""
        return self.batch.closes if self.batch else ()


class ProposalPolicy(Strict):
    """How much an organisation's own software may propose, through the API. Data that two people decide on."""

    undecided: Annotated[int, Field(ge=0, le=100)] = 5
    """At most so many that wait for a decision at once; none at all with 0."""
    a_day: Annotated[int, Field(ge=0, le=1000)] = 20
    """At most so many within 24 hours, whatever became of them: each is letters to contacts, and rows kept for ever."""


class Contact(Strict):
    """A mailbox of an organisation's that is written to about how it is reached. A role's, not somebody's own."""

    email: Annotated[
        str,
        Field(
            max_length=254,
            pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$",
            examples=["data-changes@cardiff.example"],
        ),
    ]
    language: Literal["cy", "en"]


class Organisation(Strict):
    """Who they are, how to reach them, and how patiently."""

    id: Code
    name: Bilingual
    sector: Sector
    codes: dict[str, str] = Field(default_factory=dict)
    """Official codes by register: `gss`, `local-custodian-code`, `ods`."""
    adapter: Code
    """A name in the adapters' registry."""
    adapter_settings: dict[str, Any] = Field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    """Hosts in private ranges an operator has allowed by name or address; public hosts need none."""
    contacts: Annotated[tuple[Contact, ...], Field(max_length=10)] = ()
    """All of them are written to when somebody asks to change where or under which key it is sent to, or these
    contacts, and when that is decided."""
    policy: DeliveryPolicy = DeliveryPolicy()
    proposals: ProposalPolicy = ProposalPolicy()
    paused: bool = False
    draining: bool = False
    """Nothing new is published for it; what is in the log already is still sent."""
    partitions: Annotated[int, Field(ge=1, le=64)] = 3
    """Partitions of its topic. A strictly serial receiver has 1, and a `concurrency` of 1."""

    @property
    def way(self) -> tuple[object, ...]:
        """All that what reaches it is made of, besides its secrets: while this is equal, what was made of it still serves."""
        return self.adapter, self.adapter_settings, self.allowed_hosts, self.policy

    @model_validator(mode="after")
    def _can_be_shared(self) -> Self:
        if self.policy.concurrency < self.partitions:
            raise ValueError("concurrency must not be below partitions: every partition's owner sends one at a time")
        return self
