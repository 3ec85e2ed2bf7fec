"""Parses metrics from stdin (`text` or `openmetrics`) with PyPI's `prometheus_client`, and prints the samples as JSON."""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

read = {"text": parser, "openmetrics": openmetrics}[sys.argv[1]].text_string_to_metric_families
samples = {}
for family in read(sys.stdin.read()):
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        samples[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
print(json.dumps(samples))
