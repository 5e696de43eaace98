"""A row for each question of problems.jsonl."""

from datasets import Dataset


def rows(problems: Dataset) -> Dataset:
    found = []
    for problem in problems:
        for index, question in enumerate(problem["questions"]):
            pairs = enumerate(question["options"])
            options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
            prompt = f"{problem['problem']}\n\n{question['question']}\n{options}"
            row = {"id": problem["id"], "index": index, "answer": question["answer"]}
            found.append({**row, "prompt": prompt})
    return Dataset.from_list(found)
