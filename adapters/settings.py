"""An adapter's settings, read strictly, and complaints that name the setting and never its value."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from contracts.adapters import AdapterContext
from contracts.text import Strict

Settings = TypeVar("Settings", bound=Strict)


def settings_of(context: AdapterContext, model: type[Settings]) -> Settings:
    """Return the context's settings as `model`. Raises ValueError naming the setting that is wrong."""
    return settings_from(context.settings, model)


def settings_from(settings: Mapping[str, Any], model: type[Settings]) -> Settings:
    """Return settings as `model`, as the register holds them. Raises ValueError naming the one that is wrong."""
    try:
        return model.model_validate_json(json.dumps(dict(settings)))
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise ValueError(f"adapter setting {where}: {first['msg']}") from None
