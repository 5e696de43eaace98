"""Analyses from a teacher. The teacher is a stub server: its replies are known, and it fails on
demand.
"""

import csv
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import HTMLResponse, JSONResponse, Response
from rich.console import Console
from typer.testing import CliRunner

from contract import PromptFormat
from problem_files import problem_file
from stub_proxy import set_proxies, stub_proxy
from stub_server import StubServer
from trainer.__main__ import app
from trainer.data.examples import Example, load_examples
from trainer.distilling.ask import read_reply
from trainer.distilling.journal import Drawn, Teacher
from trainer.distilling.questions import job_answers, missed_in
from trainer.distilling.rounds import distill
from trainer.distilling.selection import Yield, analysis_of, most_different, select
from trainer.distilling.yields import print_yields
from trainer.errors import TrainerError
from trainer.recipe import DataFile

FMT = PromptFormat()


def reply(prompt: str, seed: int) -> str:
    """问0 gets right answers with even seeds, 问1 only with a hint."""
    if "正确选项是" in prompt:
        return f"由题意可知，第{seed}种推理。\n答案是：A"
    right = "问0" in prompt and seed % 2 == 0
    return f"推理{seed}：{'甲乙丙丁戊己庚辛'[seed % 8] * 5}。\n答案是：{'A' if right else 'B'}"


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer(reply)
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    path = tmp_path / "train.jsonl"
    path.write_bytes(problem_file(3))
    return load_examples([DataFile(file=str(path))], FMT).rows


@pytest.fixture
def teach(
    server: StubServer, examples: list[Example], tmp_path: Path
) -> Callable[..., list[Yield]]:
    def run(
        *, samples: int = 6, keep: int = 2, hint: bool = False, url: str = "", **other: Any
    ) -> list[Yield]:
        settings = {"temperature": 1.0, "max_tokens": 64, "seed": 0, "concurrency": 4} | other
        where = url or server.url
        teacher = Teacher(where, "stub", "none", samples=samples, timeout_s=20, **settings)
        out = tmp_path / "out.jsonl"
        return distill(
            examples, FMT, teacher, out, keep=keep, hint=hint, console=Console(quiet=True)
        )

    return run


def test_only_analyses_that_reach_the_key_are_kept(
    teach: Callable[..., list[Yield]], tmp_path: Path
) -> None:
    yields = teach()
    assert [(y.asked, y.right, y.kept) for y in yields] == [(6, 3, 2), (6, 0, 0)] * 3
    rows = load_examples([DataFile(file=str(tmp_path / "out.jsonl"))], FMT).rows
    assert len(rows) == 6
    assert {row.label for row in rows} == {"A"}
    assert all("推理" in (row.question.analysis or "") for row in rows)
    assert not any("答案是" in (row.question.analysis or "") for row in rows)


def test_the_yield_of_every_question_is_written_down(
    teach: Callable[..., list[Yield]], tmp_path: Path
) -> None:
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "said").open("w"))
    print_yields(teach(hint=True), console)
    with (tmp_path / "out.yield.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["right"] for row in rows] == ["3", "0"] * 3
    assert [row["hinted_right"] for row in rows] == ["0", "6"] * 3
    said = console.export_text()
    assert "9 of 36 analyses reached the key (25.0%)" in said
    assert "The hint helped 3 questions, 0 got no analysis" in said


def test_only_questions_never_right_are_asked_with_their_key(
    teach: Callable[..., list[Yield]], server: StubServer
) -> None:
    teach(hint=True)
    hinted = [body for body in server.requests if "正确选项是 A" in str(body["messages"])]
    assert len(hinted) == 18
    assert all("问1" in str(body["messages"]) for body in hinted)
    assert [m["role"] for m in hinted[0]["messages"]] == ["system", "user"]


def test_a_drawn_analysis_is_never_drawn_again(
    teach: Callable[..., list[Yield]], server: StubServer
) -> None:
    first = teach(samples=4)
    assert len(server.requests) == 24
    teach(samples=4)
    assert len(server.requests) == 24
    more = teach(samples=6)
    assert len(server.requests) == 36
    assert [(y.right, y.asked) for y in first][:2] == [(2, 4), (0, 4)]
    assert [(y.right, y.asked) for y in more][:2] == [(3, 6), (0, 6)]


def test_a_teacher_that_fails_midway_loses_nothing(
    teach: Callable[..., list[Yield]], server: StubServer, tmp_path: Path
) -> None:
    def fail(_: dict[str, Any]) -> JSONResponse | None:
        if len(server.requests) < 10:
            return None
        return JSONResponse({"error": {"message": "no such model"}}, status_code=404)

    server.fail = fail
    with pytest.raises(TrainerError, match=r"failed: .*no such model.*continues from there"):
        teach()
    journal = (tmp_path / "out.samples.jsonl").read_text().splitlines()
    drawn = len(journal) - 1
    assert drawn >= 6
    with (tmp_path / "out.samples.jsonl").open("a") as file:
        file.write('{"key": "cut sh')  # as after a kill
    server.fail = lambda body: None
    before = len(server.requests)
    assert [(y.asked, y.right) for y in teach()] == [(6, 3), (6, 0)] * 3
    assert len(server.requests) - before == 36 - drawn


def answer(content: Any, **choice: Any) -> JSONResponse:
    message = {"role": "assistant", "content": content}
    return JSONResponse({"choices": [{"message": message, "finish_reason": "stop"} | choice]})


STRANGE = [
    HTMLResponse("<html>wait</html>"),
    JSONResponse({"error": {"message": "Insufficient balance"}}),
    JSONResponse(None),
    JSONResponse([]),
    JSONResponse({"choices": []}),
    JSONResponse({"choices": [{"message": None}]}),
    Response(b""),
]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "too long for me"}}),
        (413, {"error": {"message": "too long for me"}}),
        (422, {"detail": "too long for me"}),
        (451, "too long for me"),
    ],
)
def test_a_refused_question_fails_alone_and_is_asked_again(
    teach: Callable[..., list[Yield]],
    server: StubServer,
    tmp_path: Path,
    status: int,
    body: Any,
) -> None:
    refusal = JSONResponse(body, status_code=status)
    server.fail = lambda body: refusal if "第1题" in body["messages"][-1]["content"] else None
    yields = teach()
    assert [(y.asked, y.right) for y in yields] == [(6, 3), (6, 0), (0, 0), (0, 0), (6, 3), (6, 0)]
    assert ["too long for me" in y.failed for y in yields] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    lines = (tmp_path / "out.failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines] == [
        "train.jsonl, p1, question 1",
        "train.jsonl, p1, question 2",
    ]
    assert all("too long for me" in json.loads(line)["error"] for line in lines)
    server.fail = lambda body: None
    before = len(server.requests)
    assert [(y.asked, y.right) for y in teach()] == [(6, 3), (6, 0)] * 3
    assert len(server.requests) - before == 12
    assert not (tmp_path / "out.failures.jsonl").exists()


def test_a_refused_question_is_not_asked_again_with_its_key(
    teach: Callable[..., list[Yield]], server: StubServer
) -> None:
    refusal = JSONResponse({"error": {"message": "no"}}, status_code=400)
    server.fail = lambda body: refusal if "第1题" in body["messages"][-1]["content"] else None
    teach(hint=True)
    hinted = [body for body in server.requests if "正确选项是" in str(body["messages"])]
    assert not any("第1题" in str(body["messages"]) for body in hinted)


@pytest.mark.parametrize("strange", STRANGE)
def test_a_reply_without_a_completion_fails_that_question(
    teach: Callable[..., list[Yield]], server: StubServer, strange: Response
) -> None:
    server.fail = lambda body: strange if "第2题" in body["messages"][-1]["content"] else None
    yields = teach()
    assert [bool(y.failed) for y in yields] == [False] * 4 + [True] * 2
    assert [y.right for y in yields] == [3, 0, 3, 0, 0, 0]


def test_a_teacher_without_readable_replies_ends_the_run(
    server: StubServer, tmp_path: Path
) -> None:
    server.fail = lambda body: JSONResponse({"error": {"message": "Insufficient balance"}})
    path = tmp_path / "many.jsonl"
    path.write_bytes(problem_file(40))
    many = load_examples([DataFile(file=str(path))], FMT).rows
    teacher = Teacher(server.url, "stub", "none", 1, 1.0, 64, 0, 4, 20)
    out, quiet = tmp_path / "out.jsonl", Console(quiet=True)
    with pytest.raises(TrainerError, match=r"20 questions in a row.*Insufficient balance"):
        distill(many, FMT, teacher, out, keep=1, hint=False, console=quiet)
    assert 20 <= len(server.requests) < 40


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ({"content": "甲"}, ("甲", "stop")),
        ({"content": None, "reasoning_content": "甲"}, ("", "stop")),
        ({"content": [{"type": "text", "text": "甲"}, {"type": "x"}, 3]}, ("甲", "stop")),
        ({"content": 7}, ("", "stop")),
        ({"content": "甲\ud800"}, ("甲?", "stop")),
    ],
)
def test_the_usable_part_of_a_reply_is_used(reply: dict[str, Any], read: tuple[str, str]) -> None:
    for reason in ({}, {"finish_reason": None}, {"finish_reason": "eos"}):
        body = {"choices": [{"message": reply} | reason], "usage": {}}
        assert read_reply(json.dumps(body).encode()) == read
    cut = {"choices": [{"message": reply, "finish_reason": "length"}]}
    assert read_reply(json.dumps(cut).encode()) == (read[0], "length")


def test_a_run_that_keeps_nothing_ends_with_an_error(server: StubServer, tmp_path: Path) -> None:
    server.fail = lambda body: JSONResponse({"error": {"message": "no seeds"}}, status_code=400)
    (tmp_path / "train.jsonl").write_bytes(problem_file(30))
    recipe = Path(__file__).parents[2] / "services/trainer/recipes/qwen2-7b-24gb.toml"
    command = ["distill", "--recipe", str(recipe), "--file", str(tmp_path / "train.jsonl"), "--url"]
    command += [server.url, "--model", "m", "--samples", "1", "--out", str(tmp_path / "out.jsonl")]
    with pytest.raises(TrainerError, match="no analysis was kept"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert len(server.requests) == 60
    assert len((tmp_path / "out.failures.jsonl").read_text().splitlines()) == 60


def test_a_damaged_line_of_the_journal_is_drawn_again(
    teach: Callable[..., list[Yield]], server: StubServer, tmp_path: Path
) -> None:
    teach()
    path = tmp_path / "out.samples.jsonl"
    lines = path.read_bytes().splitlines()
    lines[3], lines[5] = b"\0" * 40, b'{"key": NaN}'
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert [(y.asked, y.right) for y in teach()] == [(6, 3), (6, 0)] * 3
    assert len(server.requests) == 36 + 2


def test_a_journal_written_with_other_settings_is_refused(
    teach: Callable[..., list[Yield]],
) -> None:
    teach()
    with pytest.raises(TrainerError, match="was written with other settings"):
        teach(temperature=0.5)


@pytest.mark.parametrize(
    ("text", "reason", "hinted", "analysis"),
    [
        ("甲高。\n答案是：A", "stop", False, "甲高。"),
        ("<think>嗯</think>\n甲高。\n\n**答案是：A**", "stop", False, "甲高。"),
        ("嗯，答案是：B？\n</think>\n甲高。\n答案是：A", "stop", False, "甲高。"),
        ("<think>甲高。\n答案是：A", "stop", False, None),
        ("甲高。\n答案是：A", "length", False, None),
        ("答案是：A", "stop", False, None),
        ("甲高。\n答案是：B", "stop", False, None),
        ("不知道", "stop", False, None),
        ("由提示可知选甲。\n答案是：A", "stop", True, None),
        ("由提示可知选甲。\n答案是：A", "stop", False, "由提示可知选甲。"),
    ],
)
def test_a_sample_is_kept_or_dropped_for_a_reason(
    examples: list[Example], text: str, reason: str, hinted: bool, analysis: str | None
) -> None:
    drawn = Drawn("key", 0, hinted, text, reason)
    assert analysis_of(drawn, examples[0], FMT) == analysis


def test_the_most_different_are_taken_and_none_twice() -> None:
    texts = ["甲乙丙丁戊", "甲乙丙丁戊", "甲乙丙丁己", "子丑寅卯辰"]
    assert most_different(texts, 2) == [0, 3]
    assert most_different(texts, 4) == [0, 3, 2]
    assert most_different([], 2) == []


def test_a_question_without_samples_yields_nothing(examples: list[Example]) -> None:
    taught, yields = select(examples, [], FMT, 3)
    assert taught == []
    assert [found.asked for found in yields] == [0] * 6


def test_only_questions_that_a_job_missed_are_asked(
    examples: list[Example], tmp_path: Path
) -> None:
    answers = [
        {"id": e.problem.id, "index": i % 2, "answer": "A" if i else "B"}
        for i, e in enumerate(examples[:4])
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
    for job in (tmp_path, tmp_path / "answers.jsonl"):
        missed = missed_in(examples, job_answers(str(job), ""))
        assert [e.source for e in missed] == ["train.jsonl, p0, question 1"]
    with pytest.raises(TrainerError, match="the job answered no question of these files"):
        missed_in(examples, [{"id": "x", "index": 0, "answer": "A"}])
    with pytest.raises(TrainerError, match="cannot read the answers of"):
        job_answers(str(tmp_path / "nowhere"), "")


def test_a_jobs_answers_are_fetched_from_an_api_with_its_key() -> None:
    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["Authorization"] == "Bearer secret"
            self.send_response(200 if allowed and self.path == "/jobs/j/answers" else 401)
            self.end_headers()
            self.wfile.write(b'{"id": "p", "index": 0, "answer": "A"}\n' if allowed else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/jobs/j"
        assert job_answers(url, "secret") == [{"id": "p", "index": 0, "answer": "A"}]
        with pytest.raises(TrainerError, match="the API needs a key; set API_KEY"):
            job_answers(url, "")
        server.shutdown()


def test_distilling_is_refused_for_a_recipe_of_bare_labels(
    examples: list[Example], tmp_path: Path
) -> None:
    teacher = Teacher("http://127.0.0.1:9/v1", "m", "none", 1, 1.0, 8, 0, 1, 1.0)
    bare = PromptFormat(style="answer")
    with pytest.raises(TrainerError, match=r'set format\.style = "analysis"'):
        distill(
            examples, bare, teacher, tmp_path / "o", keep=1, hint=False, console=Console(quiet=True)
        )


def test_a_near_teacher_is_asked_without_the_proxy(
    teach: Callable[..., list[Yield]], server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stub_proxy() as proxy:
        set_proxies(monkeypatch, http_proxy=proxy.url)
        teach()
    assert server.requests
    assert proxy.asked == []


def test_an_unusable_proxy_before_the_teacher_is_named(
    teach: Callable[..., list[Yield]], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_proxies(monkeypatch, all_proxy="gopher://127.0.0.1:1")
    with pytest.raises(TrainerError, match=r"the proxy in the environment .* cannot be used for"):
        teach(url="http://teacher.example/v1")
