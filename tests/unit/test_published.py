"""Published contracts are what the code says, hold for their examples, and change compatibly."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from adapters.conformance import sample_delivery
from contracts.changes import CHANGE_TYPES
from contracts.compatibility import compatible
from contracts.events import structured
from contracts.examples import MOVE, PERSON, TOLD, examples
from contracts.publishing import DIALECT, NAMESPACE, PUBLISHED, SENT, render, schemas
from contracts.records import BATCH_HEADERS, DELIVERY_HEADERS
from contracts.topics import TOPICS

ELSEWHERE = {"openapi.json"}
"""Published files that are made from the application and compared there."""


def validator(name: str) -> Any:
    return jsonschema_rs.validator_for(schemas()[name], validate_formats=True)


def test_published_files_are_what_the_code_makes() -> None:
    made = render()
    found = {str(path.relative_to(PUBLISHED)): path.read_bytes() for path in PUBLISHED.rglob("*") if path.is_file()}
    differ = sorted(path for path in {*made, *found} - ELSEWHERE if made.get(path) != found.get(path))
    assert not differ, "run: python -m contracts.publishing"


@pytest.mark.parametrize("name", sorted(schemas()))
def test_every_schema_is_a_schema_and_names_itself(name: str) -> None:
    schema = schemas()[name]
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == NAMESPACE + name
    jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize("name", sorted(examples()))
def test_every_example_is_valid(name: str) -> None:
    schema, document = examples()[name]
    validator(schema).validate(document)
    if schema == "event.v1":
        validator(document["dataschema"].removeprefix(NAMESPACE)).validate(document["data"])


def test_a_death_is_not_said_to_be_of_who_tells_it() -> None:
    said = schemas()["bereavement.v1"]["properties"]["person"]["description"]
    assert "not about them" in said
    assert "`change.deceased`" in said
    for name, kind in CHANGE_TYPES.items():
        described = schemas()[kind.dataschema.removeprefix(NAMESPACE)]["properties"]["person"]["description"]
        assert described.startswith("Who the change is about") is (name != "bereavement")


def test_the_examples_move_from_cardiff_to_swansea_and_keep_their_letters() -> None:
    published = (PUBLISHED / "examples/address-changed.arriving.json").read_text()
    assert "Gŵyr-Llŷn" in published
    assert "Tŷ'r Ŵylan" in published
    assert MOVE.previous_address.address_locality == "Caerdydd"
    assert MOVE.new_address.address_locality == "Abertawe"
    assert "newAddress" not in TOLD["cardiff"]["change"], "the council that is left is not told where to"


def without_one_member(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `node` with each member of each object left out in turn, not looking into lists."""
    if isinstance(node, dict):
        for name, inner in node.items():
            yield f"{path}/{name}", {key: value for key, value in node.items() if key != name}
            for below, smaller in without_one_member(inner, f"{path}/{name}"):
                yield below, {**node, name: smaller}


def test_data_stays_valid_whatever_an_agreement_leaves_out() -> None:
    check = validator("address-changed.v1")
    left_out = dict(without_one_member(TOLD["swansea"]))
    assert len(left_out) > 20
    for path, data in left_out.items():
        assert check.is_valid(data) is (path != "/roles"), path


@pytest.mark.parametrize(
    "wrong",
    [
        {"roles": []},
        {"roles": ["bystander"]},
        {"roles": ["leaving"], "person": None},
        {"roles": ["leaving"], "change": {"effectiveDate": "1 March"}},
        {"roles": ["leaving"], "change": {"newAddress": {"uprn": "1"}}},
        {"roles": ["leaving"], "change": {"newAddress": {"buildingName": None}}},
        {"roles": ["leaving"], "change": {"household": [{"birthDate": "2015-08-02"}]}},
    ],
)
def test_data_that_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    assert not validator("address-changed.v1").is_valid(wrong)


def test_the_event_schema_describes_what_is_sent() -> None:
    sent = json.loads(structured(sample_delivery()))
    validator("event.v1").validate(sent)
    assert list(sent) == list(schemas()["event.v1"]["properties"])
    for name in sent:
        assert not validator("event.v1").is_valid({key: value for key, value in sent.items() if key != name}), name


def test_a_whole_person_and_change_are_valid_data() -> None:
    assert json.loads(PERSON.model_dump_json(exclude_none=True)) == TOLD["swansea"]["person"]
    validator("address-changed.v1").validate(TOLD["swansea"])


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_the_asyncapi_document_names_every_topic_and_every_header_and_points_nowhere_else() -> None:
    document = json.loads(render()["asyncapi.json"])
    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in document["channels"].values()} == {topic.name for topic in TOPICS}
    assert set(document["components"]["messages"]["addressChanged"]["headers"]["properties"]) == set(
        DELIVERY_HEADERS | BATCH_HEADERS
    )
    for topic in TOPICS:
        for room in (*topic.producers, *topic.consumers):
            assert any(name.startswith(room) for name in document["operations"]), room
    for reference in references(document):
        if reference.startswith("#/"):
            target: Any = document
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
        else:
            assert reference.removeprefix("./") in render(), reference


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=PUBLISHED, capture_output=True, check=False)


def test_no_schema_changed_incompatibly_since_the_last_commit() -> None:
    if git("rev-parse", "--verify", "HEAD").returncode:
        pytest.skip("not a git checkout with a commit: there is nothing to compare with")
    listed = git("ls-tree", "--name-only", "HEAD", "./schemas/")
    assert listed.returncode == 0, listed.stderr
    committed = {path.removeprefix("schemas/").removesuffix(".json") for path in listed.stdout.decode().split()}
    now = schemas()
    assert committed <= set(now), "a published schema was removed; keep it, and add a new version beside it"
    for name in committed:
        old = git("show", f"HEAD:./schemas/{name}.json")
        assert old.returncode == 0, old.stderr
        faults = compatible(json.loads(old.stdout), now[name], sent=name in SENT)
        assert not faults, f"{name} needs a new version: {faults}"
