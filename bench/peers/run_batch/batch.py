"""The requests of a batch from problems.jsonl, and the vote over its replies."""

import hashlib
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

SYSTEM = "先分析，最后一行写“答案是：X”。"


def ask() -> None:
    with Path("requests.jsonl").open("w") as out:
        for line in Path("problems.jsonl").read_text().splitlines():
            problem = json.loads(line)
            for index, question in enumerate(problem["questions"]):
                pairs = enumerate(question["options"])
                options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
                user = f"{problem['problem']}\n\n{question['question']}\n{options}"
                digest = hashlib.sha256(f"1/{problem['id']}/{index}".encode()).digest()
                body = {
                    "model": os.environ["MODEL"],
                    "messages": [
                        {"role": "system", "content": SYSTEM},
                        {"role": "user", "content": user},
                    ],
                    "temperature": 1.0,
                    "top_p": 1.0,
                    "max_tokens": 96,
                    "n": 3,
                    "seed": int.from_bytes(digest[:4], "big") >> 2,
                }
                name = json.dumps([problem["id"], index])
                url = "/v1/chat/completions"
                row = {"custom_id": name, "method": "POST", "url": url, "body": body}
                out.write(json.dumps(row) + "\n")


def vote() -> None:
    with Path("answers.jsonl").open("w") as out:
        for line in Path("replies.jsonl").read_text().splitlines():
            row = json.loads(line)
            problem, index = json.loads(row["custom_id"])
            choices = row["response"]["body"]["choices"]
            replies = [choice["message"]["content"] or "" for choice in choices]
            labels = [
                found[-1] for reply in replies if (found := re.findall("答案是：([A-E])", reply))
            ]
            label = Counter(labels).most_common(1)[0][0] if labels else ""
            out.write(json.dumps({"id": problem, "index": index, "answer": label}) + "\n")


{"ask": ask, "vote": vote}[sys.argv[1]]()
