"""What schemathesis has to know of Curlew beyond /openapi.json, each with its reason. Nothing else is left out."""

import json
import re

import schemathesis

EVENTS = ("/topics/{topic}/events", "/events")
# Of what has a grammar that no schema can describe, some that are right. What is wrong there, tests/suite/fuzz.rs tries.
CONDITIONS = ["value.n > 3", 'key == "a" || headers.site.startsWith("n")', "true", "offset % 2 == 0 && partition in [0, 1]"]
STARTS = ["latest", "earliest", "-15m", "2026-01-31T08:00:00Z"]
CURSORS = ("last_event_id", "lastEventId")

# Requests that fit their schemas and are refused all the same, by the words of the refusal.
RIGHTLY_REFUSED = [
    (r"timestamp is \"", "date-time has years before 1970, in which Kafka has no time"),
    (r"records\[\d+\]: timestamp is", "the same in an envelope"),
    (r"more than an hour ahead of the clock", "which timestamps are accepted depends on the clock"),
    (r"offset is \d+; \S+ has offsets", "which offsets there are depends on the log"),
    (r"in an envelope these are members of each record", "parameters and bodies that do not go together: OpenAPI cannot say so"),
    (r"the body must be like .*; a token is a key", "Authorization replaces the body: OpenAPI cannot express 'one of the two'"),
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether it is one."""
    if type(failure).__name__ == "UseAfterFree":
        # A DELETE with a key is a tombstone: the topic stays, and keeps its records.
        return False
    if type(failure).__name__ == "AcceptedNegativeData" and response.status_code == 207:
        # It says of each record whether it was accepted; one that is wrong keeps no other from being written.
        return False
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    detail = response.json().get("detail", "")
    return not any(re.search(words, detail, re.DOTALL) for words, _ in RIGHTLY_REFUSED)


@schemathesis.hook
def map_case(context, case):
    """What OpenAPI cannot say of parameters: which go together, and which make an answer last."""
    query = dict(case.query or {})
    is_good = case.meta is not None and case.meta.generation.mode.is_positive
    if case.operation.path in EVENTS:
        # A stream lasts for ever, and a test of one answer needs an end; other suites test streams.
        query.setdefault("until", "end")
        if query.get("wait") in ("true", "1", "", True):
            query["wait"] = "false"
        if is_good:
            for name, good in (("where", CONDITIONS), ("from", STARTS)):
                if name in query:
                    query[name] = good[len(str(query[name])) % len(good)]
            # A cursor has a check value.
            for name in CURSORS:
                query.pop(name, None)
            case.headers.pop("Last-Event-ID", None)
    elif case.operation.method.upper() == "POST" and is_good:
        # The bodies that schemathesis makes up are not packed, whatever the header says; tests/suite/limits.rs sends packed ones.
        case.headers.pop("Content-Encoding", None)
        # Receipts are for lines.
        if case.media_type != "application/x-ndjson":
            query.pop("receipts", None)
    elif case.operation.method.upper() == "DELETE" and is_good:
        # records=all takes no other parameter; without it there is a key.
        query = {"records": "all"} if "records" in query else {"key": "k", **query}
    elif isinstance(query.get("timeout"), int) and 100 < query["timeout"] <= 30_000:
        query["timeout"] = 100
    case.query = query
    return case


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    """One JSON value a line; an empty one is a heartbeat."""
    return [json.loads(line) for line in response.content.decode().split("\n") if line]
