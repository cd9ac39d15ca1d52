"""The log as AsyncAPI 3.0.0: channels, messages and operations, made from `contracts.topics` and `contracts.records`."""

from typing import Any, Final

from contracts.changes import CHANGE_TYPES, withdrawal
from contracts.records import BATCH_HEADERS, DELIVERY_HEADERS, KIND_HEADER, QUARANTINED, RECEIPT
from contracts.topics import DELIVERIES, RECEIPTS, Topic

_CHANNELS: Final = {"deliveries": DELIVERIES, "receipts": RECEIPTS}
_KAFKA_BINDING: Final = "0.5.0"


def asyncapi() -> dict[str, Any]:
    """Return the whole document. Payload schemas are referred to by path, beside it in `schemas/`."""
    messages = {
        "deliveries": {
            **{f"{kind.name}Changed": _delivery(kind.event_type, kind.dataschema) for kind in CHANGE_TYPES.values()},
            "changeWithdrawn": _delivery(withdrawal.KIND.event_type, withdrawal.KIND.dataschema),
        },
        "receipts": {
            "receipt": _of_receipts(RECEIPT, "receipt.v1"),
            "quarantined": _of_receipts(QUARANTINED, "quarantined.v1"),
        },
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Unwaith: the log",
            "version": "1",
            "description": "Between the stages of the exchange. Organisations do not read it: they are called.",
            "license": {"name": "MIT"},
        },
        "channels": {name: _channel(topic, list(messages[name])) for name, topic in _CHANNELS.items()},
        "operations": {
            f"{room}{verb}{name.capitalize()}": {
                "action": action,
                "summary": f"{room} {'writes' if action == 'send' else 'reads'}",
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name, topic in _CHANNELS.items()
            for action, verb, rooms in (("send", "Writes", topic.producers), ("receive", "Reads", topic.consumers))
            for room in rooms
        },
        "components": {"messages": {name: message for group in messages.values() for name, message in group.items()}},
    }


def _channel(topic: Topic, messages: list[str]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": f"{topic.purpose} Key: {topic.key}. Personal data: {topic.personal}. "
        f"Compatibility: {topic.compatibility}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": int(topic.retention.total_seconds() * 1000),
                },
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }
    if "{organisation}" in topic.name:
        channel["parameters"] = {"organisation": {"description": "The organisation's id in the register."}}
    return channel


def _delivery(event_type: str, dataschema: str) -> dict[str, Any]:
    return {
        "title": event_type,
        "summary": "One delivery: a CloudEvent in the binary mode of the Kafka protocol binding, its data sealed.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": list(DELIVERY_HEADERS),
            "properties": {
                name: _header(name, words, event_type, dataschema)
                for name, words in (DELIVERY_HEADERS | BATCH_HEADERS).items()
            },
        },
        "payload": {
            "type": "string",
            "format": "binary",
            "description": "Ciphertext; opened, it is as `ce_dataschema` says.",
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": DELIVERIES.key}, "bindingVersion": _KAFKA_BINDING}
        },
    }


def _header(name: str, words: str, event_type: str, dataschema: str) -> dict[str, Any]:
    known = {"ce_specversion": "1.0", "ce_type": event_type, "ce_dataschema": dataschema}
    return {"type": "string", "description": words} | ({"const": known[name]} if name in known else {})


def _of_receipts(kind: bytes, schema: str) -> dict[str, Any]:
    return {
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": [KIND_HEADER],
            "properties": {KIND_HEADER: {"const": kind.decode()}},
        },
        "payload": {"$ref": f"./schemas/{schema}.json"},
        "bindings": {"kafka": {"key": {"type": "string", "format": "binary"}, "bindingVersion": _KAFKA_BINDING}},
    }
