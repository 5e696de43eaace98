"""Jobs with a panel, by real workers; the voters' servers are stubs."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.responses import JSONResponse

from contract.panels import Accuracy
from orchestrator.jobs.records import JobSettings, Sample
from orchestrator.settings import Settings
from problem_files import problem_file
from stub_server import MODEL, StubServer
from workers import Bench, until

TWO = """
[[voter]]
name = "own"

[[voter]]
name = "far"
model = "far-model"
url = "{url}"
format = "en"
temperature = 0.2
"""


@pytest.fixture
def far() -> Iterator[StubServer]:
    """A second endpoint, with a model of its own."""
    stub = StubServer()
    stub.served = "far-model"
    stub.start()
    yield stub
    stub.stop()


def write_panel(settings: Settings, name: str, text: str) -> Path:
    settings.panels_dir.mkdir(exist_ok=True)
    path = settings.panels_dir / f"{name}.toml"
    path.write_text(text)
    return path


def of_voter(samples: list[Sample], name: str) -> list[int]:
    return sorted({sample.slot for sample in samples if sample.voter == name})


def test_two_voters_at_two_addresses_take_slots_in_turn(
    bench: Bench, server: StubServer, far: StubServer
) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    server.reply = lambda prompt, seed: "答案是：A"
    far.reply = lambda prompt, seed: "The answer is (B)."
    job = bench.post(problem_file(4), JobSettings(panel="two", samples=4))
    bench.start_worker()
    bench.wait(job)
    answers = bench.answers(job).values()
    assert len(answers) == 8
    for answer in answers:
        assert answer.tally == {"A": 3, "B": 2}  # level after 4
        assert "tie" in answer.flags
        assert of_voter([*answer.samples], "own") == [0, 2, 4]
        assert of_voter([*answer.samples], "far") == [1, 3]
    assert {body["model"] for body in server.requests} == {MODEL}
    assert {body["model"] for body in far.requests} == {"far-model"}
    assert {body["temperature"] for body in far.requests} == {0.2}
    assert all("single-choice" in body["messages"][0]["content"] for body in far.requests)


def test_a_voters_slots_share_a_request(bench: Bench, server: StubServer, far: StubServer) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    server.reply = far.reply = lambda prompt, seed: "A"
    job = bench.post(problem_file(1, 1), JobSettings(panel="two", samples=6, early_stop=False))
    bench.start_worker()
    bench.wait(job)
    assert [body["n"] for body in server.requests] == [3]
    assert [body["n"] for body in far.requests] == [3]
    (answer,) = bench.answers(job).values()
    seeds = [sample.seed for sample in answer.samples]
    assert len(set(seeds)) == 6


def test_start_and_job_keep_the_panel_although_its_file_changes(
    bench: Bench, server: StubServer, far: StubServer
) -> None:
    path = write_panel(bench.settings, "two", TWO.format(url=far.url))
    bench.settings = bench.settings.model_copy(update={"concurrency": 1})
    server.latency_s = 0.1
    job = bench.post(problem_file(12), JobSettings(panel="two"))
    bench.start_worker()
    bench.wait_for_answers(job, 2)
    bench.stop_workers()
    path.unlink()
    server.latency_s = 0
    bench.start_worker()
    bench.wait(job, scan=True)
    start = bench.store.started(job.id)
    assert start is not None
    own, other = start.voters
    assert (own.name, own.model, own.url, own.weight) == ("own", MODEL, None, 1)
    assert (other.name, other.model, other.url) == ("far", "far-model", far.url)
    assert other.sampling["temperature"] == 0.2
    assert own.format_sha256 != other.format_sha256
    voters = {sample.voter for answer in bench.answers(job).values() for sample in answer.samples}
    assert voters == {"own", "far"}


def test_weights_decide_the_vote(bench: Bench, server: StubServer, far: StubServer) -> None:
    """One voter with the weight 1 outvotes two with 0.25, which need not be asked."""
    light = 'name = "{}"\nmodel = "far-model"\nurl = "{}"\nweight = 0.5\n'
    voters = ['name = "heavy"\nweight = 2', *(light.format(n, far.url) for n in ("a", "b"))]
    tables = "".join(f"[[voter]]\n{voter}\n" for voter in voters)
    write_panel(bench.settings, "heavy", f'weights = "given"\n{tables}')
    server.reply = lambda prompt, seed: "答案是：A"
    far.reply = lambda prompt, seed: "B"
    job = bench.post(problem_file(2), JobSettings(panel="heavy"))
    all_slots = bench.post(problem_file(2), JobSettings(panel="heavy", early_stop=False))
    bench.start_worker()
    bench.wait(job)
    bench.wait(all_slots)
    for answer in bench.answers(job).values():
        assert (answer.answer, answer.tally, answer.samples_saved) == ("A", {"A": 1}, 2)
    for answer in bench.answers(all_slots).values():
        assert (answer.answer, answer.tally) == ("A", {"A": 1, "B": 0.5})


def test_a_voter_that_does_not_answer_is_named_in_the_note(
    bench: Bench, far: StubServer, api: httpx2.Client
) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    far.stop()
    job = bench.post(problem_file(1), JobSettings(panel="two"))
    bench.start_worker()
    until(lambda: "voter far: " in (api.get(f"/jobs/{job.id}").json()["note"] or ""))
    note = api.get(f"/jobs/{job.id}").json()["note"]
    assert note.startswith(f"waiting for the model: voter far: the model server at {far.url}")


def test_a_voter_whose_model_is_not_listed_is_named(
    bench: Bench, far: StubServer, api: httpx2.Client
) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    far.served = "another"
    job = bench.post(problem_file(1), JobSettings(panel="two"))
    bench.start_worker()
    until(lambda: "voter far: " in (api.get(f"/jobs/{job.id}").json()["note"] or ""))
    note = api.get(f"/jobs/{job.id}").json()["note"]
    assert f"{far.url}/ lists another, not far-model" in note
    far.served = "far-model"
    bench.wait(job)


def test_a_voter_that_falls_away_is_named_while_it_is_asked(
    bench: Bench, server: StubServer, far: StubServer, api: httpx2.Client
) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    far.fail = lambda body: JSONResponse({"error": "busy"}, 503)
    job = bench.post(problem_file(1), JobSettings(panel="two"))
    bench.start_worker()
    until(lambda: "voter far: " in (api.get(f"/jobs/{job.id}").json()["note"] or ""))
    far.fail = lambda body: None
    bench.wait(job)


def test_a_forced_reply_is_the_first_voters(
    bench: Bench, server: StubServer, far: StubServer
) -> None:
    write_panel(bench.settings, "two", TWO.format(url=far.url))
    server.reply = far.reply = lambda prompt, seed: "不知道。"
    job = bench.post(problem_file(1, 1), JobSettings(panel="two", max_resamples=0))
    bench.start_worker()
    bench.wait(job)
    (answer,) = bench.answers(job).values()
    assert answer.forced
    assert answer.samples[-1].voter == "own"
    assert not any("structured_outputs" in body for body in far.requests)


def test_what_one_voters_model_refuses_another_still_gets(bench: Bench, server: StubServer) -> None:
    """Both are models of one address."""
    models = [{"id": name, "object": "model"} for name in (MODEL, "strict")]
    server.instead["/v1/models"] = JSONResponse({"object": "list", "data": models})
    server.fail = lambda body: (
        JSONResponse({"error": {"message": "Unsupported parameter: 'seed'", "param": "seed"}}, 400)
        if body["model"] == "strict" and "seed" in body
        else None
    )
    write_panel(
        bench.settings, "both", '[[voter]]\nname = "own"\n[[voter]]\nname = "b"\nmodel = "strict"'
    )
    server.reply = lambda prompt, seed: "A"
    job = bench.post(problem_file(4), JobSettings(panel="both"))
    bench.start_worker()
    bench.wait(job)
    start = bench.store.started(job.id)
    assert start is not None
    assert [(entry.parameter, entry.model) for entry in start.adapted] == [("seed", "strict")]
    assert all("seed" in body for body in server.requests if body["model"] == MODEL)


def test_the_report_compares_the_vote_with_the_best_voter(
    bench: Bench, server: StubServer, far: StubServer, api: httpx2.Client
) -> None:
    """Each reply of `far` is right, but `own` was better on validation rows."""
    text = TWO.format(url=far.url).replace('"own"\n', '"own"\naccuracy = [9, 10]\n')
    write_panel(bench.settings, "two", f"{text}accuracy = [8, 10]\n")
    server.reply = lambda prompt, seed: f"答案是：{'AB'[seed % 2]}"
    far.reply = lambda prompt, seed: "A"
    job = bench.post(problem_file(4), JobSettings(panel="two", early_stop=False))
    bench.start_worker()
    bench.wait(job)
    report = json.loads(bench.read(job, "report.json"))
    found = report["panel"]
    assert [voter["name"] for voter in found["voters"]] == ["own", "far"]
    assert [voter["validation"]["right"] for voter in found["voters"]] == [9, 8]
    assert found["voters"][1]["accuracy"]["value"] == 1
    assert (found["against_best"]["voter"], found["against_best"]["questions"]) == ("own", 8)
    votes = found["against_best"]["votes_accuracy"]
    assert votes == report["accuracy"]
    assert not found["notes"]
    figures = api.get(f"/jobs/{job.id}/figures").json()["sums"]
    assert figures["panel"] == found
    places = api.get(f"/jobs/{job.id}/questions/0").json()["places"]
    assert all(place is not None for place in places)


def test_an_unknown_panel_is_refused_with_those_there_are(
    settings: Settings, api: httpx2.Client
) -> None:
    write_panel(settings, "mine", '[[voter]]\nname = "a"')
    reply = api.post("/jobs", files={"file": problem_file(1)}, data={"panel": "mime"})
    assert reply.status_code == 422
    assert reply.json()["detail"] == "panel: there is no panel 'mime'; there are: mine"


def test_a_panel_larger_than_the_samples_is_refused(settings: Settings, api: httpx2.Client) -> None:
    names = "".join(f'[[voter]]\nname = "v{i}"\n' for i in range(5))
    write_panel(settings, "five", names)
    reply = api.post("/jobs", files={"file": problem_file(1)}, data={"panel": "five"})
    assert reply.status_code == 422
    assert "3 samples leave out v3, v4; set samples=5 or more" in reply.json()["detail"]
    reply = api.post(
        "/jobs", files={"file": problem_file(1)}, data={"panel": "five", "samples": "5"}
    )
    assert reply.status_code == 202


def test_panels_are_listed_also_those_that_cannot_be_used(
    settings: Settings, api: httpx2.Client
) -> None:
    write_panel(settings, "a", '[[voter]]\nname = "one"\naccuracy = [41, 60]')
    write_panel(settings, "b", "[[voter]]\n")
    good, bad = api.get("/panels").json()["data"]
    assert (good["name"], good["source"], good["weights"]) == ("a", "file", "uniform")
    assert good["voters"][0]["accuracy"] == {"right": 41, "total": 60}
    assert Accuracy.model_validate(good["voters"][0]["accuracy"]) == Accuracy(right=41, total=60)
    assert (bad["name"], bad["voters"]) == ("b", [])
    assert "voter.0.name: Field required" in bad["fault"]


def test_the_key_of_a_voters_address_is_its_own(
    bench: Bench, server: StubServer, far: StubServer
) -> None:
    keyed = TWO.format(url=far.url) + 'key = "far"\n'
    write_panel(bench.settings, "two", keyed)
    bench.settings = bench.settings.model_copy(
        update={"panel_api_keys": {"far": "sk-far"}, "inference_api_key": "sk-own"}
    )
    server.reply = far.reply = lambda prompt, seed: "A"
    job = bench.post(problem_file(1), JobSettings(panel="two"))
    bench.start_worker()
    bench.wait(job)
    assert set(far.keys) == {"Bearer sk-far"}
    assert set(server.keys) == {"Bearer sk-own"}
    for path in bench.store.directory(job.id).rglob("*.json"):
        assert "sk-far" not in path.read_text()
    assert json.loads(bench.read(job, "panel.json"))["voters"][1]["key"] == "far"
