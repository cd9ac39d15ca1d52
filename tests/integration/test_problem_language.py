"""Problems in Welsh or English by `Accept-Language`: the sentences change, nothing else does."""

import pytest

from tests.support.api import Api, a_move_on_the_wire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("accept", "language", "title"),
    [
        ("cy", "cy", "Nid oes dim yma"),
        ("cy-GB, en;q=0.8", "cy", "Nid oes dim yma"),
        ("en", "en", "There is nothing here"),
        ("fr", "en", "There is nothing here"),
    ],
)
async def test_the_title_is_in_the_language_asked_for(api: Api, accept: str, language: str, title: str) -> None:
    answer = await api.client.get("/v1/nowhere", headers={"accept-language": accept})
    assert answer.status_code == 404
    assert answer.headers["content-language"] == language
    assert "Accept-Language" in answer.headers["vary"]
    assert answer.json()["title"] == title
    assert answer.json()["type"] == "urn:wales:unwaith:problem:not-found"


async def test_each_field_is_named_in_welsh(api: Api) -> None:
    move = a_move_on_the_wire()
    del move["change"]["newAddress"]
    english = await api.post("/v1/changes/preview", move, api.citizen() | {"accept-language": "en"})
    welsh = await api.post("/v1/changes/preview", move, api.citizen() | {"accept-language": "cy"})
    assert english.status_code == welsh.status_code == 422
    [said], [dywedwyd] = english.json()["errors"], welsh.json()["errors"]
    assert (
        (said["pointer"], said["code"]) == (dywedwyd["pointer"], dywedwyd["code"]) == ("/change/newAddress", "missing")
    )
    assert (said["detail"], dywedwyd["detail"]) == ("is missing", "yn eisiau")


async def test_what_is_no_problem_is_not_touched(api: Api) -> None:
    answer = await api.client.get("/openapi.json", headers={"accept-language": "cy"})
    assert answer.status_code == 200
    assert "content-language" not in answer.headers
