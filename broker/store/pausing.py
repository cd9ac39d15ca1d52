"""What it is that nothing is sent to an organisation, for every statement that must know."""

from typing import Final

TURNS: Final = 7_856_920_341_177_013  # any number, the same in every version of the program
"""The advisory lock under which proposals that pause are made and decided, and organisations resumed, one at a time."""
IN_QUESTION: Final = """EXISTS (
    SELECT FROM proposal p WHERE p.organisation = o.id AND p.pauses
    AND NOT EXISTS (SELECT FROM proposal_end e WHERE e.proposal_id = p.id))"""
"""Whether where or under which key an organisation `o` is sent to waits for a decision."""
PAUSED: Final = f"o.paused_at IS NOT NULL AND (NOT o.draining OR {IN_QUESTION})"
"""Whether nothing is sent to an organisation `o`, not even what is in the log already."""
