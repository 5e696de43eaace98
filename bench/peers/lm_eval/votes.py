"""The votes in the samples that lm-eval logged."""

import json
from pathlib import Path

(log,) = Path("log").rglob("samples_problems_*.jsonl")
with Path("answers.jsonl").open("w") as out:
    for line in log.read_text().splitlines():
        sample = json.loads(line)
        (label,) = sample["filtered_resps"]
        row = {"id": sample["doc"]["id"], "index": sample["doc"]["index"]}
        out.write(json.dumps({**row, "answer": "" if label == "[invalid]" else label}) + "\n")
