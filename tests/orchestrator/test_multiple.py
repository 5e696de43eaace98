"""Jobs that ask for all right options: prompts, votes over sets, scores, the submission."""

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi.responses import JSONResponse
from hypothesis import given
from hypothesis import strategies as st

from contract import LABELS, Problem, PromptFormat, Question, parse_problems
from contract.multiple import MULTIPLE_PROMPT
from contracts import make_contract
from orchestrator.coordination.metering import Meter
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.comparison import Verdict, compare_jobs
from orchestrator.jobs.questions import QuestionReader
from orchestrator.jobs.records import Answer, JobSettings, StartFile
from orchestrator.jobs.report_models import Report
from orchestrator.jobs.scoring import AS_SETS, KeySums, is_right
from orchestrator.jobs.submission import submission_row
from orchestrator.model import ServedModel, find_model
from orchestrator.replies import Completion
from orchestrator.settings import Settings
from orchestrator.worker.asking import Server
from orchestrator.worker.connections import connections
from orchestrator.worker.plan import Plan, job_voters
from orchestrator.worker.sampling import Sampler
from orchestrator.worker.starting import prompt_note
from stub_server import StubServer
from workers import Bench

OPTIONS = ("甲", "乙", "丙", "丁")


def asked_with(options: tuple[str, ...] = OPTIONS, key: str | None = None) -> Asked:
    question = Question("哪些？", options, key)
    return Asked(Problem("p", "甲、乙、丙、丁。", (question,), {}), 0)


def ask(settings: Settings, asked: Asked, fmt: PromptFormat | None = None, **chosen: Any) -> Answer:
    async def run() -> Answer:
        async with connections(settings) as to_server:
            model = find_model(settings)
            model = replace(model, format=fmt) if fmt else model
            sampler = Sampler(
                Server(to_server, model, Meter()), JobSettings(multiple=True, **chosen)
            )
            return await sampler.answer(asked)

    return asyncio.run(run())


def test_an_endpoint_is_asked_for_all_right_options(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "答案是：A、C"
    answer = ask(settings, asked_with(key="AC"))
    assert server.requests[0]["messages"][0] == {"role": "system", "content": MULTIPLE_PROMPT}
    assert (answer.answer, answer.tally, answer.right) == ("AC", {"AC": 2}, True)
    assert [sample.label for sample in answer.samples] == ["AC", "AC"]


def test_a_trained_format_gets_one_sentence_and_the_job_says_so(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A、C"
    fmt = PromptFormat(system_prompt="只答字母。", style="answer")
    ask(settings, asked_with(), fmt)
    note = prompt_note(JobSettings(multiple=True), fmt)
    assert note is not None
    assert note.code == "prompt-asks-for-all"
    system = server.requests[0]["messages"][0]["content"]
    assert system == "只答字母。" + str(note.params["added"])
    assert prompt_note(JobSettings(), fmt) is None
    assert prompt_note(JobSettings(multiple=True), find_model(settings).format) is None


def test_without_multiple_the_prompt_stays(settings: Settings) -> None:
    model = find_model(settings)
    assert job_voters(JobSettings(), model)[0].model is model


def test_sets_vote_against_their_parts(settings: Settings, server: StubServer) -> None:
    texts = iter(["答案是：A", "答案是：A、C", "答案是：C和A"])
    server.reply = lambda prompt, seed: next(texts)
    answer = ask(settings, asked_with(key="A"))
    assert (answer.answer, answer.tally) == ("AC", {"A": 1, "AC": 2})
    assert not answer.right


def test_an_unclear_set_is_drawn_again(settings: Settings, server: StubServer) -> None:
    texts = iter(["答案是：A或C", "答案是：A、C", "答案是：A、C"])
    server.reply = lambda prompt, seed: next(texts)
    answer = ask(settings, asked_with())
    assert (answer.answer, "resampled" in answer.flags) == ("AC", True)


@given(
    chosen=st.sets(st.sampled_from("ABCD"), min_size=1),
    slot=st.integers(0, 63),
    seed=st.integers(0, 2**31 - 1),
)
def test_each_letter_of_a_set_is_mapped_back(chosen: set[str], slot: int, seed: int) -> None:
    settings = JobSettings(multiple=True, permute_options=True, seed=seed)
    asked = asked_with()
    plan = Plan(asked, settings, job_voters(settings, some_model()))
    ask_ = plan.ask(slot)
    assert ask_.order is not None
    seen = [OPTIONS[i] for i in ask_.order]  # the options as this sample saw them
    meant = sorted(LABELS[seen.index(OPTIONS[LABELS.index(label)])] for label in chosen)
    text = f"答案是：{'、'.join(meant)}"
    reply = Completion(
        text=text,
        reasoning=None,
        finish_reason="stop",
        tokens=1,
        reasoning_tokens=0,
        prompt_tokens=1,
        logprob=None,
        likeliest={},
    )
    assert plan.read(reply, ask_).label == "".join(sorted(chosen))


def some_model() -> ServedModel:
    return find_model(
        Settings(
            model_name="m",
            model_contract="default",
            inference_url="http://127.0.0.1:1/v1",
            redis_url="redis://127.0.0.1:1",
        )
    )


def test_a_restricted_reply_may_be_any_set(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "ACE" if prompt == "答案是：" else "不知道。"
    answer = ask(settings, asked_with(("甲", "乙", "丙", "丁", "戊"), "ACE"), max_resamples=0)
    assert (answer.answer, answer.flags, answer.right) == ("ACE", ("forced",), True)
    choices = server.requests[-1]["structured_outputs"]["choice"]
    assert (len(choices), choices[0], choices[-1]) == (31, "A", "ABCDE")


def test_with_more_options_a_restricted_reply_names_one_and_is_flagged(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "C" if prompt == "答案是：" else "不知道。"
    options = ("甲", "乙", "丙", "丁", "戊", "己")
    answer = ask(settings, asked_with(options), max_resamples=0)
    assert (answer.answer, answer.flags) == ("C", ("forced", "one_label"))
    assert server.requests[-1]["structured_outputs"] == {"choice": [*"ABCDEF"]}


def test_the_likeliest_next_token_is_not_taken_for_a_set(
    settings: Settings, server: StubServer
) -> None:
    """It may be the set's first letter."""

    def fail(body: dict[str, Any]) -> JSONResponse | None:
        held = {"structured_outputs", "guided_choice"} & {*body}
        return JSONResponse({"error": {"message": "unknown"}}, 400) if held else None

    server.fail = fail
    server.reply = lambda prompt, seed: "A" if prompt == "答案是：" else "不知道。"
    answer = ask(settings, asked_with(), max_resamples=0)
    schema = server.requests[-1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"][-1] == "ABCD"
    assert answer.answer is None
    assert "cannot hold a reply to several labels" in (answer.error or "")
    assert ask(settings, asked_with(tuple("甲乙丙丁戊己")), max_resamples=0).answer == "A"


@pytest.mark.parametrize(
    ("answer", "key", "of_one", "of_all"),
    [
        ("A", "A", True, True),
        ("A", "AC", True, False),
        ("B", "AC", False, False),
        ("AC", "AC", False, True),
        ("AC", "A", False, False),
        (None, "A", False, False),
        ("A", None, False, False),
        (None, None, False, False),
    ],
)
def test_an_answer_is_right_by_what_was_asked(
    answer: str | None, key: str | None, of_one: bool, of_all: bool
) -> None:
    assert is_right(answer, key, multiple=False) == of_one
    assert is_right(answer, key, multiple=True) == of_all
    record = Answer(id="p", index=0, answer=answer, key=key)
    assert (record.right, record.model_copy(update={"multiple": True}).right) == (of_one, of_all)


def test_f1_counts_options_over_all_questions() -> None:
    sums = KeySums()
    for answer, key in [("AC", "AC"), ("AB", "AC"), (None, "BD"), ("A", "A"), ("A", None)]:
        sums.count(answer, key)
    found = sums.options_f1()
    assert found is not None
    assert (found.right, found.wrong, found.missing) == (4, 1, 3)
    assert (found.precision, found.recall, found.value) == (4 / 5, 4 / 7, 8 / 12)
    assert sums.several == 3
    assert KeySums().options_f1() is None


def test_a_submission_lists_the_labels() -> None:
    row = {"id": "p", "questions": [{"question": "q", "options": ["x", "y"], "answer": "A"}] * 3}
    (problem,) = parse_problems(json.dumps({**row, "problem": "t"}).encode())
    answers = [
        Answer(id="p", index=i, answer=answer, multiple=True)
        for i, answer in enumerate(("AB", "A", None))
    ]
    lists = [["A", "B"], ["A"], None]
    full = submission_row(problem, answers, "full")
    assert [question["answer"] for question in full["questions"]] == lists
    assert submission_row(problem, answers, "minimal") == {
        "id": "p",
        "questions": [{"answer": one} for one in lists],
    }
    single = [answer.model_copy(update={"multiple": False, "answer": "A"}) for answer in answers]
    assert submission_row(problem, single, "minimal")["questions"] == [{"answer": "A"}] * 3


def test_a_job_of_sets_is_compared_with_one_of_labels() -> None:
    question = ("p", 0)
    one = {question: Verdict(0, "A", "AC")}
    two = {question: Verdict(0, "AC", "AC", multiple=True)}
    found = compare_jobs(one, two)
    assert found.first is not None
    assert found.second is not None
    assert (found.first.correct, found.second.correct) == (1, 1)
    (changed,) = found.changed
    assert (changed.first_right, changed.second_right) == (True, True)
    worse = compare_jobs(one, {question: Verdict(0, "A", "AC", multiple=True)})
    assert worse.second is not None
    assert (worse.second.correct, worse.changed) == (0, [])


def several_right(problems: int) -> bytes:
    """Each problem asks for A and C, and then for B alone."""
    questions = [
        {"question": text, "options": [*OPTIONS], "answer": key}
        for text, key in (("哪些？", ["A", "C"]), ("哪个？", "B"))
    ]
    rows = [{"id": f"p{i}", "problem": f"第{i}题", "questions": questions} for i in range(problems)]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def mixed(prompt: str, seed: int) -> str:
    number = hashlib.sha256(f"{prompt}/{seed}".encode()).digest()[0]
    if prompt == "答案是：":
        return "AC"
    return ("答案是：A、C", "答案是：A", "答案是：B", "不知道。")[number % 4]


def test_a_job_that_asks_for_all_is_voted_and_scored_by_sets(
    bench: Bench, server: StubServer, api: httpx2.Client
) -> None:
    server.reply = mixed
    job = bench.post(several_right(10), JobSettings(multiple=True, samples=5))
    bench.start_worker()
    bench.wait(job)
    answers = [
        Answer.model_validate_json(line) for line in bench.read(job, "answers.jsonl").splitlines()
    ]
    report = Report.model_validate_json(bench.read(job, "report.json"))
    right = sum(answer.answer == answer.key for answer in answers)
    assert {answer.key for answer in answers} == {"AC", "B"}
    assert report.accuracy is not None
    assert (report.accuracy.correct, report.accuracy.total) == (right, 20)
    assert 20 - right == sum(len(problem.missed) for problem in report.missed)
    sums = KeySums()
    for answer in answers:
        sums.count(answer.answer, answer.key)
    assert report.options_f1 == sums.options_f1()
    assert (report.several_right, report.scoring) == (10, AS_SETS)
    assert report.scoring_message is not None
    assert report.scoring_message.code == "scored-as-sets"
    submission = [json.loads(line) for line in bench.read(job, "submission.jsonl").splitlines()]
    assert [[*(answer.answer or "")] for answer in answers] == [
        question["answer"] for row in submission for question in row["questions"]
    ]
    start = StartFile.model_validate_json(bench.read(job, "start.json"))
    assert start.prompt_note is None  # the default format has a prompt for it

    rows = api.get(f"/jobs/{job.id}/questions").json()["data"]
    assert [row["answer"] for row in rows] == [answer.answer for answer in answers]
    assert [row["right"] for row in rows] == [answer.right for answer in answers]
    for show, count in (("right", right), ("wrong", 20 - right)):
        found = api.get(f"/jobs/{job.id}/questions", params={"show": show}).json()
        assert found["total"] == count
    of_set = api.get(f"/jobs/{job.id}/questions", params={"label": "AC"}).json()
    assert of_set["total"] == sum(answer.answer == "AC" for answer in answers)
    assert api.get(f"/jobs/{job.id}").json()["accuracy"]["correct"] == right


def test_multiple_is_a_field_of_the_form(api: httpx2.Client) -> None:
    files = {"file": ("f.jsonl", several_right(1))}
    posted = api.post("/jobs", files=files, data={"multiple": "true"})
    assert posted.json()["settings"]["multiple"] is True
    assert api.post("/jobs", files=files).json()["settings"]["multiple"] is False


def test_a_trained_model_is_asked_for_all_and_the_job_says_what_was_added(
    bench: Bench, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A、C"
    server.served = "m@d"
    directory = bench.settings.models_dir / bench.settings.model_name / "current"
    directory.mkdir(parents=True)
    (directory / "contract.json").write_bytes(make_contract("d").dump())
    bench.settings = bench.settings.model_copy(update={"model_contract": "published"})
    job = bench.post(several_right(1), JobSettings(multiple=True))
    bench.start_worker()
    bench.wait(job)
    start = json.loads(bench.read(job, "start.json"))
    added = start["prompt_note_message"]["params"]["added"]
    assert start["prompt_note"].endswith(added)
    (prompt,) = {request["messages"][0]["content"] for request in server.requests}
    assert prompt == PromptFormat().system_prompt + added
    report = json.loads(bench.read(job, "report.json"))
    assert report["provenance"]["start"]["prompt_note"] == start["prompt_note"]
    assert report["accuracy"]["correct"] == 1


def test_the_place_of_a_set_is_shown(bench: Bench, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "因此答案是：A、C。"
    job = bench.post(several_right(1), JobSettings(multiple=True))
    bench.start_worker()
    bench.wait(job)
    with QuestionReader(bench.store).read(job) as index:
        detail = index.detail(0)
    assert detail.answer is not None
    places = zip(detail.answer.samples, detail.places, strict=True)
    assert {s.text[slice(*place)] for s, place in places if place} == {"A、C"}


def test_one_of_several_right_options_is_right_and_the_report_says_so(
    bench: Bench, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：C"
    job = bench.post(several_right(3))
    bench.start_worker()
    bench.wait(job)
    report = Report.model_validate_json(bench.read(job, "report.json"))
    assert report.accuracy is not None
    assert (report.accuracy.correct, report.accuracy.total) == (3, 6)
    assert (report.several_right, report.options_f1) == (3, None)
    assert report.scoring == (
        "3 of 6 questions have several right options; an answer with one of them counted as right. "
        "multiple=true asks for all of them"
    )
    assert report.scoring_message is not None
    assert report.scoring_message.code == "any-of-several"
    assert "one_label" not in report.flags
    (row, *_) = [json.loads(line) for line in bench.read(job, "submission.jsonl").splitlines()]
    assert [question["answer"] for question in row["questions"]] == ["C", "C"]
