"""The JSON API: routes that read a request strictly, call a stage, and answer in standard forms.

No decision about a change and no query may enter; who may call what is a table in `broker.identity.policy`.
"""

from broker.api.app import ApiParts, create_app

__all__ = ["ApiParts", "create_app"]
