"""The published baseline's loop: three requests a question, one after another."""

import json
import os
import re
from collections import Counter
from pathlib import Path

from openai import OpenAI

SYSTEM = "先分析，最后一行写“答案是：X”。"
client = OpenAI(base_url=os.environ["SERVER"], api_key="none")

answers = []
for line in Path("problems.jsonl").read_text().splitlines():
    problem = json.loads(line)
    for index, question in enumerate(problem["questions"]):
        pairs = enumerate(question["options"])
        options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
        user = f"{problem['problem']}\n\n{question['question']}\n{options}"
        labels = []
        for _ in range(3):
            reply = client.chat.completions.create(
                model=os.environ["MODEL"],
                messages=[
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": user},
                ],
                temperature=1.0,
                top_p=1.0,
                max_tokens=96,
            )
            found = re.search("答案是：(.)", reply.choices[0].message.content or "")
            labels.append(found.group(1) if found else "A")
        label = Counter(labels).most_common(1)[0][0]
        answers.append({"id": problem["id"], "index": index, "answer": label})
with Path("answers.jsonl").open("w") as out:
    for answer in answers:
        out.write(json.dumps(answer) + "\n")
