"""Where there is no Chromium, one command that helps is named; CI never goes on without it."""

import pytest

from tests.support import browser


@pytest.mark.parametrize(("ci", "ends"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_without_chromium_the_one_command_is_named(
    monkeypatch: pytest.MonkeyPatch, ci: str, ends: type[BaseException]
) -> None:
    monkeypatch.setattr(browser, "installed", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ends, match="sudo apt-get install -y --no-install-recommends chromium"):
        browser.chromium()
