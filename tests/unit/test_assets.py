"""What browsers are served is what stands in `deploy/web/src`, named by its content and compressed beforehand."""

import gzip
import hashlib
import re
from pathlib import Path

from broker.web.assets import HERE, manifest

SOURCE = Path(__file__).parents[2] / "deploy" / "web" / "src"


def served(name: str) -> Path:
    return HERE / manifest()[name].rpartition("/")[2]


def test_the_script_and_the_icon_are_their_sources() -> None:
    """Whoever changes a source runs `deploy/web/build.sh`."""
    script = re.sub(r"\./govuk-frontend\.[0-9a-f]{12}\.js", "./govuk-frontend.js", served("unwaith.js").read_text())
    assert script == (SOURCE / "unwaith.js").read_text()
    assert served("icon.svg").read_bytes() == (SOURCE / "icon.svg").read_bytes()


def test_our_own_rules_are_in_the_stylesheet() -> None:
    own = set(re.findall(r"^\.(unwaith-[a-z_-]+)", (SOURCE / "unwaith.scss").read_text(), re.MULTILINE))
    assert own
    assert own <= set(re.findall(r"\.(unwaith-[a-z_-]+)", served("unwaith.css").read_text()))


def test_each_file_is_named_by_its_content_and_its_copies_hold_it() -> None:
    for name in manifest():
        file = served(name)
        assert hashlib.sha256(file.read_bytes()).hexdigest()[:12] in file.name
        assert gzip.decompress((HERE / f"{file.name}.gz").read_bytes()) == file.read_bytes()
        assert (HERE / f"{file.name}.br").stat().st_size < file.stat().st_size
