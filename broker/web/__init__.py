"""Pages for people, in Welsh and English: what a citizen fills in, and what an operator looks at.

Pages hold a session and call intake and the store in this process. No decision about a change, no query of its own
making, no script or style inside a page; components come from GOV.UK Frontend's macros.
"""

from broker.web.app import create_pages
from broker.web.parts import Door, WebParts

__all__ = ["Door", "WebParts", "create_pages"]
