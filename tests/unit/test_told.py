"""What the translating adapters read of a delivery, and what they make of one they cannot carry."""

from dataclasses import replace

import pytest

from adapters.conformance import sample_delivery
from adapters.told import told
from contracts.changes import withdrawal
from contracts.delivery import Rejected
from contracts.statuses import Reason


def test_a_person_who_takes_a_change_back_pauses_nobody() -> None:
    with pytest.raises(Rejected) as rejected:
        told(replace(sample_delivery(), type=withdrawal.KIND.event_type))
    assert rejected.value.reason is Reason.INVALID_FOR_RECEIVER


def test_a_type_nobody_knows_is_rejected_and_pauses_nobody() -> None:
    with pytest.raises(Rejected) as rejected:
        told(replace(sample_delivery(), type="wales.unwaith.person-died.v1"))
    assert rejected.value.reason is Reason.INVALID_FOR_RECEIVER
