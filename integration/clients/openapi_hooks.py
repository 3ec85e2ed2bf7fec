"""Exceptions that schemathesis needs in addition to /openapi.json, each with its reason. Everything else is checked."""

import json
import re

import schemathesis

EVENTS = ("/topics/{topic}/events", "/events")
# Valid values of parameters whose grammar a schema cannot describe. tests/suite/fuzz.rs covers invalid values.
VALID = {
    "where": ["value.n > 3", 'key == "a" || headers.site.startsWith("n")', "true", "offset % 2 == 0 && partition in [0, 1]"],
    "from": ["latest", "earliest", "-15m", "2026-01-31T08:00:00Z", "snapshot"],
    "since": ["-24h", "2026-01-31T08:00:00Z"],
    "until": ["end", "-15m", "2026-01-31T08:00:00Z"],
    "sample": ["1s", "100ms", "1h"],
    "select": ["value.n,key", "offset", 'value["n"],headers["site"],timestamp'],
}
SERIES = "/topics/{topic}/series"
VALID_SERIES = {
    "where": VALID["where"],
    "from": ["-15m", "-6h"],
    "to": ["now"],
    "step": ["10s", "1h"],
    "field": ["value", "value.n"],
    "state": ["value", "value.state"],
    "by": ["key", "header:site", "value.machine"],
    "each": ["value", "value.sensors"],
    "time": ["record", "value.t"],
}
CURSORS = ("last_event_id", "lastEventId")

# Valid requests according to the schema that are rejected, by the text of the error.
EXPECTED_REJECTIONS = [
    (r"timestamp is \"", "date-time includes years before 1970, which Kafka timestamps do not"),
    (r"records\[\d+\]: timestamp is", "years before 1970, in an envelope"),
    (r"more than an hour ahead of the clock", "the accepted timestamps depend on the clock"),
    (r"offset is \d+; \S+ has offsets", "the valid offsets depend on the log"),
    (r"so data must be a string|only one of them is allowed", "the members of a CloudEvent depend on each other"),
    (r"in an envelope these are members of each record", "OpenAPI cannot express which parameters and bodies exclude each other"),
    (r"needs a schema registry, and this bridge has none", "the bridge of this test has no registry"),
    (r"the query names a schema", "OpenAPI cannot express that parameters are for some media types only"),
    (r"has both \w+_schema and \w+_schema_id", "OpenAPI cannot express which parameters exclude each other"),
    (r"and the path is for partition", "OpenAPI cannot express that a body must agree with the path"),
    (r"a topic of the embedded log has 1 to|the only replication factor is 1|of a single topic; --retention-time", "the embedded log supports a part of what Kafka does"),
    (r"the body must be like .*; a token is a key", "Authorization replaces the body: OpenAPI cannot express 'one of the two'"),
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Returns whether the failure is real."""
    if type(failure).__name__ == "UseAfterFree":
        # A DELETE with a key writes a tombstone: the topic and its records stay.
        return False
    if type(failure).__name__ == "AcceptedNegativeData" and response.status_code in (207, 431):
        # A 207 has a result for each record; an invalid record does not prevent the others from being written. A 431
        # rejects long invalid parameters; schemathesis does not count it as a rejection.
        return False
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    detail = response.json().get("detail", "")
    return not any(re.search(words, detail, re.DOTALL) for words, _ in EXPECTED_REJECTIONS)


@schemathesis.hook
def map_case(context, case):
    """Changes parameters that exclude each other, or that would make a response endless; OpenAPI cannot express either."""
    query = dict(case.query or {})
    is_good = case.meta is not None and case.meta.generation.mode.is_positive
    if case.operation.path in EVENTS:
        # A stream without an end would never complete the test. Other suites test endless streams.
        query.setdefault("until", "end")
        if query.get("wait") in ("true", "1", "", True):
            query["wait"] = "false"
        if is_good:
            choose_valid(query, VALID)
            # `since` narrows a snapshot.
            if query.get("from") != "snapshot":
                query.pop("since", None)
            # A table has the columns of `select`, which is for `record` and `csv`.
            if query.get("format") == "csv":
                query.setdefault("select", VALID["select"][0])
            elif "select" in query:
                query.pop("format", None)
            # A cursor contains a checksum.
            for name in CURSORS:
                query.pop(name, None)
            case.headers.pop("Last-Event-ID", None)
    elif case.operation.method.upper() == "POST" and is_good:
        # Schemathesis does not compress bodies, whatever the header says. tests/suite/limits.rs sends compressed ones.
        case.headers.pop("Content-Encoding", None)
        # Receipts exist only for bodies that are split, and only bodies of certain types can be split.
        if case.media_type != "application/x-ndjson":
            query.pop("receipts", None)
            query.pop("split", None)
        elif "split" in query:
            query["split"] = "lines"
    elif case.operation.method.upper() == "DELETE" and is_good:
        # records=all allows no other parameter; without it, a key is required.
        query = {"records": "all"} if "records" in query else {"key": "k", **query}
    elif case.operation.path == SERIES and is_good:
        choose_valid(query, VALID_SERIES)
        query["timeout"] = 100
    elif isinstance(query.get("timeout"), int) and 100 < query["timeout"] <= 30_000:
        query["timeout"] = 100
    case.query = query
    return case


def choose_valid(query, valid):
    """Replaces each parameter by one of its valid values. The generated value chooses which one."""
    for name, good in valid.items():
        if name in query:
            query[name] = good[len(str(query[name])) % len(good)]


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    """Parses one JSON value per line. An empty line is a heartbeat."""
    return [json.loads(line) for line in response.content.decode().split("\n") if line]
