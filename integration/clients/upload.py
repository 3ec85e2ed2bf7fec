"""Uploads a file of lines as one x-ndjson request and prints the status and the response: upload.py LIBRARY FILE URL."""

import sys
import urllib.request

library, file, url = sys.argv[1:]
with open(file, "rb") as lines:
    data = lines.read()
headers = {"Content-Type": "application/x-ndjson"}
if library == "requests":
    import requests

    answer = requests.post(url, data=data, headers=headers)
    print(answer.status_code, answer.text, end="")
elif library == "httpx":
    import httpx

    answer = httpx.post(url, content=data, headers=headers, timeout=None)
    print(answer.status_code, answer.text, end="")
elif library == "urllib":
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
        print(answer.status, answer.read().decode(), end="")
