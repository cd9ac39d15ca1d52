"""Templates: ours, and the macros of GOV.UK Frontend."""

from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, PackageLoader, PrefixLoader
from jinja2.loaders import ChoiceLoader

from broker.language import Words
from broker.web.assets import manifest

TEMPLATES: Final = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """Return the templates' environment. Everything is escaped; macros are given `text`, hardly ever `html`."""
    made = Environment(
        loader=ChoiceLoader(
            [
                FileSystemLoader(TEMPLATES),
                PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")}),
            ]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=ChainableUndefined,  # the macros look into parameters that may not be given
        auto_reload=False,
    )
    made.globals["assets"] = manifest()
    return made


def render(template: str, words: Words, **context: object) -> str:
    """Return a page's HTML. In a template `t(id, n=3)` is a sentence in the page's language."""
    return environment().get_template(template).render(t=words, language=words.language, **context)
