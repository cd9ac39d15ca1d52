"""What the contacts of an organisation are written: that a change of how it is reached waits, or what became of it.

No value of the change, no link, and no number to call: whoever could send such a letter in our name would give theirs.
"""

from typing import Final

from broker.language import words_in
from broker.notify.post import Letter
from broker.store.letters import Owed, What

_SUBJECT: Final[dict[What, str]] = {
    "proposed": "mail-change-subject-proposed",
    "in_force": "mail-change-subject-in-force",
    "rejected": "mail-change-subject-rejected",
    "taken_back": "mail-change-subject-taken-back",
}
_BODY: Final[dict[What, str]] = {
    "proposed": "mail-change-body-proposed",
    "in_force": "mail-change-body-in-force",
    "rejected": "mail-change-body-rejected",
    "taken_back": "mail-change-body-taken-back",
}


def about_a_change(owed: Owed) -> Letter:
    """Return the letter in its reader's language."""
    words = words_in(owed.language)
    said = [words("mail-hello"), words(_BODY[owed.what], organisation=owed.organisation)]
    if owed.pauses and owed.what == "proposed":
        said.append(words("mail-change-paused"))
    said += [
        words("mail-change-call"),
        words("mail-change-reference", proposal=str(owed.proposal_id)),
        words("mail-goodbye"),
    ]
    return Letter(str(owed.id), owed.email, owed.language, words(_SUBJECT[owed.what]), "\n\n".join(said) + "\n")
