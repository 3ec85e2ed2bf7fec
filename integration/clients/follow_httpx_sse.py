"""Follows a stream with PyPI's `httpx-sse` and prints every event as a line of JSON, until it is killed.

The library leaves reconnecting to its user: as EventSource does, but without the pause.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

url = sys.argv[1]
last_id = None
with httpx.Client(timeout=60, trust_env=False) as client:
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            with connect_sse(client, "GET", url, headers=headers) as source:
                source.response.raise_for_status()
                for event in source.iter_sse():
                    last_id = event.id or last_id
                    # The library also returns frames with only an id or a retry.
                    if event.data:
                        print(json.dumps({"kind": event.event, "data": event.data, "id": event.id}), flush=True)
        except httpx.HTTPStatusError as refused:
            sys.exit(f"{refused}")
        except httpx.TransportError as cut:
            print(cut, file=sys.stderr)
        time.sleep(0.01)
