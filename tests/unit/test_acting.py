"""Who acted for whom stands in the ledger from the start, also where no page offers it yet."""

import json
from datetime import UTC, datetime

import pytest

from broker import audit
from broker.audit import Acting, Relation

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_somebody_acts_for_themselves() -> None:
    said = json.loads(audit.leaf("change.accepted", AT, audit.by_oneself(42)))
    assert (said["actor"], said["on_behalf_of"], said["relation"]) == ("citizen:42", "citizen:42", "self")


@pytest.mark.parametrize("relation", [one for one in Relation if one is not Relation.SELF])
def test_somebody_acts_for_another(relation: Relation) -> None:
    actor = "staff:7" if relation is Relation.STAFF else "citizen:7"
    said = json.loads(audit.leaf("change.accepted", AT, Acting(actor, "citizen:42", relation)))
    assert (said["actor"], said["on_behalf_of"], said["relation"]) == (actor, "citizen:42", relation.value)


def test_what_nobody_does_for_a_person_names_no_person() -> None:
    assert json.loads(audit.leaf("delivery.published", AT, "relay")) == {
        "action": "delivery.published",
        "actor": "relay",
        "at": "2026-03-02T09:00:00.000000+00:00",
    }


def test_nobody_is_their_own_attorney_and_nobody_else_is_oneself() -> None:
    for actor, relation in (("citizen:42", Relation.ATTORNEY), ("citizen:7", Relation.SELF)):
        with pytest.raises(ValueError, match="themselves"):
            Acting(actor, "citizen:42", relation)
