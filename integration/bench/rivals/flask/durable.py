"""The Flask way to keep what devices send: an insert into SQLite for each request, on the disk before the answer."""

import os
import sqlite3
import threading

from flask import Flask, request

app = Flask(__name__)
local = threading.local()


def database():
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(os.environ["DATABASE"], timeout=60, isolation_level=None)
        local.connection.execute("PRAGMA journal_mode=WAL")
        local.connection.execute("PRAGMA synchronous=FULL")
        local.connection.execute("CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, topic TEXT, value BLOB)")
    return local.connection


@app.post("/topics/<topic>")
def produce(topic):
    if request.mimetype.startswith("application/vnd.kafka"):
        rows = [(topic, str(record["value"])) for record in request.get_json(force=True)["records"]]
    else:
        rows = [(topic, request.get_data())]
    connection = database()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO records (topic, value) VALUES (?, ?)", rows)
    connection.execute("COMMIT")
    return {"written": len(rows)}
