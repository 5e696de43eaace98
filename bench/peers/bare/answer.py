"""A bare asyncio client: every question at once, 128 requests in flight, then a vote."""

import asyncio
import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

SYSTEM = "先分析，最后一行写“答案是：X”。"
K, EACH = 3, int(os.environ["SAMPLES_A_REQUEST"])


async def answer(session: ClientSession, problem: dict, index: int) -> dict:
    question = problem["questions"][index]
    pairs = enumerate(question["options"])
    options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
    user = f"{problem['problem']}\n\n{question['question']}\n{options}"
    digest = hashlib.sha256(f"1/{problem['id']}/{index}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big") >> 2

    async def ask(first: int) -> list[str]:
        body = {
            "model": os.environ["MODEL"],
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": user},
            ],
            "temperature": 1.0,
            "top_p": 1.0,
            "max_tokens": 96,
            "n": EACH,
            "seed": seed + first,
        }
        async with session.post("chat/completions", json=body) as reply:
            choices = (await reply.json())["choices"]
        return [choice["message"]["content"] or "" for choice in choices]

    drawn = await asyncio.gather(*(ask(first) for first in range(0, K, EACH)))
    replies = [reply for replies in drawn for reply in replies]
    labels = [found[-1] for reply in replies if (found := re.findall("答案是：([A-E])", reply))]
    label = Counter(labels).most_common(1)[0][0] if labels else ""
    return {"id": problem["id"], "index": index, "answer": label}


async def answers_to(problems: list[dict]) -> list[dict]:
    places = [(problem, i) for problem in problems for i in range(len(problem["questions"]))]
    connector = TCPConnector(limit=128)
    async with ClientSession(os.environ["SERVER"] + "/", connector=connector) as session:
        return await asyncio.gather(*(answer(session, *place) for place in places))


lines = Path("problems.jsonl").read_text().splitlines()
with Path("answers.jsonl").open("w") as out:
    for row in asyncio.run(answers_to([json.loads(line) for line in lines])):
        out.write(json.dumps(row) + "\n")
