"""What `/userinfo` tells of a person: the claims that were asked for, in the forms of GOV.UK One Login.

The NHS number alone is in the form of NHS login, which has it in the scope `profile`.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from broker.sandbox.addresses import SampleAddress
from broker.sandbox.authorization import ADDRESS_CLAIM, IDENTITY_CLAIM, RETURN_CODE_CLAIM
from broker.sandbox.state import SandboxState
from broker.sandbox.tokens import Names, SignIn, core_identity, subject_of

RETURN_CODE: Final = "C"
"""One of the letters GOV.UK One Login gives when an identity could not be proved; their meaning is not public."""


def userinfo(
    names: Names, state: SandboxState, signed_in: SignIn, homes: Mapping[int, SampleAddress], now: datetime
) -> dict[str, Any]:
    """Return the answer of the userinfo endpoint. `homes` are the sample addresses in English by UPRN."""
    request, person = signed_in.request, signed_in.person
    answer: dict[str, Any] = {"sub": subject_of(state, request.client.sector, person)}
    if "email" in request.scopes:
        answer |= {"email": person.email, "email_verified": True}
    if person.groups:
        answer |= {"name": person.name, "groups": list(person.groups)}
    if signed_in.identity_proved:
        if "profile" in request.scopes and person.nhs_number:
            answer["nhs_number"] = person.nhs_number
        if IDENTITY_CLAIM in request.claims:
            answer[IDENTITY_CLAIM] = core_identity(names, state, signed_in, now)
        if ADDRESS_CLAIM in request.claims and person.uprn in homes:
            answer[ADDRESS_CLAIM] = [_address(homes[person.uprn], person.lived_there_since)]
    elif request.identity and RETURN_CODE_CLAIM in request.claims:
        answer[RETURN_CODE_CLAIM] = [{"code": RETURN_CODE}]
    return answer


def _address(home: SampleAddress, since: int) -> dict[str, Any]:
    """Return the address as evidence: without Welsh diacritics and with the year alone, as the real claim is."""
    written = home.address().model_dump(mode="json", by_alias=True, exclude_none=True)
    plain = {name: _without_diacritics(value) if isinstance(value, str) else value for name, value in written.items()}
    return plain | {"validFrom": str(since)}


def _without_diacritics(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
