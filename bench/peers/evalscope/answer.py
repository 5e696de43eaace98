"""An EvalScope benchmark over problems.jsonl, and the vote over what it logged."""

import json
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from evalscope import TaskConfig, run_task
from evalscope.api.benchmark import BenchmarkMeta, DefaultDataAdapter
from evalscope.api.dataset import Sample
from evalscope.api.metric import MetricSelector
from evalscope.api.registry import register_benchmark


@register_benchmark(
    BenchmarkMeta(
        name="problems",
        pretty_name="problems.jsonl",
        description="Multiple-choice questions, by vote of three",
        dataset_id="problems.jsonl",
        eval_split="test",
        metric_list=["acc"],
        aggregation="mean_and_vote_at_k",
        primary_metric=MetricSelector(
            name="accuracy", aggregation="vote_at_k", dimensions={"k": 3}
        ),
        system_prompt="先分析，最后一行写“答案是：X”。",
        prompt_template="{question}",
    )
)
class Problems(DefaultDataAdapter):
    def load_from_disk(self, **_):
        return super().load_from_disk(use_local_loader=True)

    def record_to_sample(self, record):
        samples = []
        for index, question in enumerate(record["questions"]):
            pairs = enumerate(question["options"])
            options = "\n".join(f"{'ABCDE'[i]}. {text}" for i, text in pairs)
            user = f"{record['problem']}\n\n{question['question']}\n{options}"
            place = {"id": record["id"], "index": index}
            samples.append(Sample(input=user, target=question["answer"], metadata=place))
        return samples

    def extract_answer(self, prediction, task_state):
        found = re.findall("答案是：([A-E])", prediction)
        return found[-1] if found else ""


run_task(
    TaskConfig(
        model=os.environ["MODEL"],
        api_url=os.environ["SERVER"],
        eval_type="openai_api",
        datasets=["problems"],
        repeats=3,
        generation_config={"temperature": 1.0, "top_p": 1.0, "max_tokens": 96},
        eval_batch_size=128,
        work_dir="log",
        no_timestamp=True,
        use_cache="log" if Path("log").exists() else None,
    )
)
votes = defaultdict(Counter)
(log,) = Path("log/reviews").rglob("problems_*.jsonl")
rows = [json.loads(line) for line in log.read_text().splitlines()]
for row in sorted(rows, key=lambda row: row["index"]):
    sample = row["sample_score"]
    place = sample["sample_metadata"]["id"], sample["sample_metadata"]["index"]
    votes[place].update(filter(None, [sample["score"]["extracted_prediction"]]))
with Path("answers.jsonl").open("w") as out:
    for (problem, index), vote in votes.items():
        label = vote.most_common(1)[0][0] if vote else ""
        out.write(json.dumps({"id": problem, "index": index, "answer": label}) + "\n")
