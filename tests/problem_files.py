"""Problem files for tests."""

import json


def problem_file(problems: int, questions: int = 2, *, labelled: bool = True) -> bytes:
    """A small file: two options a question, every key A."""
    key = {"answer": "A"} if labelled else {}
    rows = [
        {
            "id": f"p{i}",
            "problem": f"第{i}题",
            "questions": [
                {"question": f"问{j}", "options": ["对", "错"], **key} for j in range(questions)
            ],
            "source": {"row": i},
        }
        for i in range(problems)
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
