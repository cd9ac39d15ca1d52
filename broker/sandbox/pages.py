"""HTML by hand: one shell, one stylesheet, everything escaped. No scripts, so a strict policy holds."""

from html import escape
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from broker.sandbox.loopback import PLAIN_POLICY

_SHELL: Final = Template(
    """<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<p class="banner">$banner</p>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
"""
)

_STYLE: Final = """
:root { color-scheme: light; font: 1.125rem/1.5 system-ui, sans-serif; color: #0b0c0c; background: #fff; }
body { margin: 0; }
main { max-width: 48rem; margin: 0 auto; padding: 1rem; }
.banner { margin: 0; padding: .75rem 1rem; background: #ffdd00; }
fieldset { border: 0; margin: 0 0 1.5rem; padding: 0; }
legend { font-weight: 700; padding: 0; margin-bottom: .5rem; }
label { display: block; padding: .5rem 0 .5rem 2rem; text-indent: -2rem; }
input[type=radio] { width: 1.25rem; height: 1.25rem; margin: 0 .5rem 0 0; vertical-align: middle; text-indent: 0; }
button { font: inherit; padding: .5rem 1rem; margin-right: .5rem; border: 2px solid #00502f; background: #00703c; color: #fff; }
button.quiet { background: #fff; color: #0b0c0c; border-color: #0b0c0c; }
a, button { cursor: pointer; }
a:focus, button:focus, input:focus, summary:focus { outline: 3px solid #0b0c0c; box-shadow: 0 0 0 6px #ffdd00; }
article { border-top: 1px solid #6f777b; padding: .5rem 0; }
article h2 { font-size: 1.125rem; margin: 0; overflow-wrap: anywhere; }
dl { margin: .25rem 0; display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dt { font-weight: 700; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: #f3f2f1; padding: .75rem; overflow-x: auto; }
.wrong { color: #942514; font-weight: 700; }
"""


def page(
    *, title: str, banner: str, body: str, language: str = "en", status: int = 200, form_target: str | None = None
) -> Response:
    """Return one page. `body` is HTML, already escaped; the rest is text.

    `form_target`, a CSP source, is where its form may lead by redirect besides here (CSP 3, section 6.4.1 follows
    redirects of a form).
    """
    policy = PLAIN_POLICY
    if form_target:
        policy = policy.replace("form-action 'self'", f"form-action 'self' {form_target}")
    html = _SHELL.substitute(language=language, title=escape(title), banner=escape(banner), body=body)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": policy, "Content-Language": language})


async def stylesheet(_request: Request) -> Response:
    return Response(_STYLE, media_type="text/css")
