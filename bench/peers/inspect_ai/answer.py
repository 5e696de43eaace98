"""An Inspect task whose score is the label, so that the mode over the epochs is the vote."""

import json
import os
import re
from pathlib import Path

from inspect_ai import Epochs, Task, eval, eval_retry, task
from inspect_ai.dataset import Sample
from inspect_ai.log import list_eval_logs
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState, generate, system_message


@metric
def right() -> Metric:
    def share(scores: list[SampleScore]) -> float:
        return sum(s.score.value == s.score.metadata["key"] for s in scores) / len(scores)

    return share


@scorer(metrics=[right()])
def label() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        found = re.findall("答案是：([A-E])", state.output.completion)
        key = {"key": target.text}
        return Score(value=found[-1], metadata=key) if found else Score.unscored(metadata=key)

    return score


@task
def problems() -> Task:
    samples = []
    for line in Path("problems.jsonl").read_text().splitlines():
        problem = json.loads(line)
        for index, question in enumerate(problem["questions"]):
            pairs = enumerate(question["options"])
            options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
            user = f"{problem['problem']}\n\n{question['question']}\n{options}"
            name = json.dumps([problem["id"], index])
            samples.append(Sample(id=name, input=user, target=question["answer"]))
    return Task(
        dataset=samples,
        solver=[system_message("先分析，最后一行写“答案是：X”。"), generate()],
        scorer=label(),
        epochs=Epochs(3, "mode"),
        config=GenerateConfig(temperature=1.0, top_p=1.0, max_tokens=96, max_connections=128),
    )


if __name__ == "__main__":
    logs = list_eval_logs("log")
    if logs:
        (log,) = eval_retry(logs, log_dir="log", display="none")
    else:
        (log,) = eval(
            problems(),
            model=f"openai-api/local/{os.environ['MODEL']}",
            model_base_url=os.environ["SERVER"],
            log_dir="log",
            display="none",
        )
    with Path("answers.jsonl").open("w") as out:
        for score in log.reductions[0].samples:
            problem, index = json.loads(score.sample_id)
            answer = score.value if isinstance(score.value, str) else ""
            out.write(json.dumps({"id": problem, "index": index, "answer": answer}) + "\n")
