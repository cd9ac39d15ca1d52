"""An adapter's settings, read strictly, and complaints that name the setting and never its value."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from contracts.adapters import AdapterContext
from contracts.text import Strict

Settings = TypeVar("Settings", bound=Strict)


def settings_of(context: AdapterContext, model: type[Settings]) -> Settings:
    """Return the context's settings as `model`. Raises ValueError naming the setting that is wrong.

    They are JSON, as the register has them: a list there is a tuple in the model.
    """
    try:
        return model.model_validate_json(to_json(dict(context.settings)))
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise ValueError(f"adapter setting {where}: {first['msg']}") from None
