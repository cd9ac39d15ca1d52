"""The pages a person sees at the provider: choose who to be, or read why not."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode, urlsplit

from starlette.responses import Response

from broker.sandbox.pages import page
from broker.sandbox.people import SamplePerson
from broker.sandbox.wording import Language, Wording, wording


def choose_page(
    *,
    people: Sequence[SamplePerson],
    language: Language,
    ticket: str,
    parameters: Sequence[tuple[str, str]],
    redirect_uri: str,
) -> Response:
    """Return the form. It posts `ticket`, `person`, and `answer` as `sign-in` or `cancel` to `/choose`."""
    words = wording(language)
    choices = "\n".join(_choice(person, words, chosen=index == 0) for index, person in enumerate(people))
    other: Language = "en" if language == "cy" else "cy"
    switched = [*((name, value) for name, value in parameters if name != "ui_locales"), ("ui_locales", other)]
    body = f"""
<p><a href="/authorize?{escape(urlencode(switched))}" lang="{other}" hreflang="{other}">{escape(words.other_language)}</a></p>
<form method="post" action="/choose">
<input type="hidden" name="ticket" value="{escape(ticket)}">
<fieldset>
<legend>{escape(words.choose)}</legend>
{choices}
</fieldset>
<button type="submit" name="answer" value="sign-in">{escape(words.sign_in)}</button>
<button type="submit" name="answer" value="cancel" class="quiet">{escape(words.cancel)}</button>
</form>
"""
    return page(
        title=words.title,
        banner=words.invented,
        body=body,
        language=language,
        form_target=_origin(redirect_uri),
    )


def problem_page(language: Language, detail: str | None = None) -> Response:
    """Return 400 for what cannot be answered by redirect. `detail` is a fixed sentence for a developer."""
    words = wording(language)
    shown = f'<p lang="en">{escape(detail)}.</p>' if detail else ""
    body = f"<p>{escape(words.start_again)}</p>{shown}"
    return page(title=words.problem, banner=words.invented, body=body, language=language, status=400)


def signed_out_page(language: Language) -> Response:
    words = wording(language)
    return page(title=words.signed_out, banner=words.invented, body="", language=language)


def _choice(person: SamplePerson, words: Wording, *, chosen: bool) -> str:
    proved = words.proved if person.proved() else words.not_proved
    label = f"{escape(person.name)} · {escape(words.born)}: {person.birth_date:%d/%m/%Y} · {escape(proved)}"
    checked = " checked" if chosen else ""
    return f'<label><input type="radio" name="person" value="{escape(person.key)}" required{checked}>{label}</label>'


def _origin(redirect_uri: str) -> str:
    """Return the source a browser must allow for the redirect after the form."""
    parts = urlsplit(redirect_uri)
    # a content security policy has no form for an IPv6 address: the scheme alone must do
    return f"{parts.scheme}:" if "[" in parts.netloc else f"{parts.scheme}://{parts.netloc}"
