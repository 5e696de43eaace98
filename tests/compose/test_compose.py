"""The compose stack on a CPU, really built, run, killed and stopped. Needs a Docker engine.

QUORUM_REAL_FILE may name a problem file; its first 20 problems are then answered instead of the
demo's. The tests share one stack, in order from its start to its end.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contract import LABELS, Problem, parse_problems

pytestmark = pytest.mark.compose

API_PORT = "18080"
PROJECT, ELSEWHERE = "quorum-test", "quorum-test-elsewhere"
GPU = ("-f", "docker-compose.yml")
CPU = ("-f", "docker-compose.yml", "-f", "compose.cpu.yml")
IMAGES = ("quorum-orchestrator", "quorum-redis", "quorum-trainer-cpu", "quorum-inference-cpu")
PASSWORD = "a-password-that-only-this-test-knows"
HEALTH = ("docker", "inspect", "-f", "{{json .State.Health.Log}}")
GRACE_S = {"trainer": 120, "inference": 120, "worker": 60, "api": 10, "redis": 10}


# Compiles a shared object into HOME and each cache folder that a variable names, and loads it.
LOAD = r"""
import ctypes, os, pathlib, re, subprocess
folders = "CACHE|HOME$|EXTENSIONS"
names = [n for n, v in os.environ.items() if v.startswith("/") and re.search(folders, n)]
for name in sorted(names):
    folder = pathlib.Path(os.environ[name])
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"loaded-{os.getpid()}.so"
    compiler = ["gcc", "-shared", "-x", "c", "-", "-o", str(library)]
    subprocess.run(compiler, input=b"int one(void) { return 1; }", check=True)
    assert ctypes.CDLL(str(library)).one() == 1, name
    library.unlink()
print(*names)
"""


class Stack:
    def __init__(self, root: Path, env: Path) -> None:
        self.root, self.env, self.project = root, env, PROJECT
        self.at_first: dict[str, str] = {}
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{API_PORT}", timeout=60)

    def compose(
        self,
        *arguments: str,
        files: tuple[str, ...] = CPU,
        profiles: str = "train,serve",
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "API_PORT": API_PORT, "INFERENCE_PORT": "18000"}
        environment |= {"COMPOSE_PROFILES": profiles, "COMPOSE_ANSI": "never", **variables}
        argv = ["docker", "compose", "-p", self.project, "--env-file", str(self.env), *files]
        return subprocess.run(
            [*argv, *arguments], cwd=self.root, env=environment, capture_output=True, text=True
        )

    def do(self, *arguments: str, **options: Any) -> str:
        done = self.compose(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def told(self) -> str:
        """What the containers do and say, for the message of a failed test."""
        return self.do("ps", "-a") + self.do("logs", "--tail", "40")

    def containers(self, service: str) -> list[str]:
        return self.do("ps", "-aq", service).split()

    def post(self, data: bytes, **form: object) -> str:
        fields = {key: str(value) for key, value in form.items()}
        reply = self.api.post("/jobs", files={"file": ("problems.jsonl", data)}, data=fields)
        assert reply.status_code == 202, reply.text
        job_id: str = reply.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as the API shows it. Waits if the API is away."""
        found: dict[str, Any] = {}

        def asked() -> bool:
            try:
                found.update(self.api.get(f"/jobs/{job_id}").json())
            except httpx2.TransportError:
                return False
            return True

        until(asked, 60)
        return found

    def done(self, job_id: str) -> int:
        counts = self.job(job_id)["request_counts"]
        return int(counts["completed"] + counts["failed"])

    def goes_on(self, job_id: str) -> None:
        """Wait until more questions are done. The job must not have ended by then."""
        before = self.done(job_id)
        until(lambda: self.done(job_id) > before, 300)
        assert self.job(job_id)["status"] == "in_progress", "the job was over too soon"

    def completed(self, job_id: str, timeout_s: float = 900) -> None:
        def ended() -> bool:
            job = self.job(job_id)
            assert job["status"] in ("in_progress", "finalizing", "completed"), job
            return bool(job["status"] == "completed")

        until(ended, timeout_s)

    def submission(self, job_id: str) -> list[dict[str, Any]]:
        rows = self.api.get(f"/jobs/{job_id}/submission").text.splitlines()
        return [json.loads(row) for row in rows]

    def answers(self, job_id: str) -> list[dict[str, Any]]:
        rows = self.api.get(f"/jobs/{job_id}/answers").text.splitlines()
        return [json.loads(row) for row in rows]


def until(
    holds: Callable[[], bool], timeout_s: float, seen: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to that: {seen()}"
        time.sleep(0.3)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def settings(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's settings, as `make env` writes them, with a password for the test."""
    folder = tmp_path_factory.mktemp("env")
    password = folder / "password"
    password.write_text(PASSWORD)
    env = folder / "env"
    lines = (root / ".env.example").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("REDIS_PASSWORD_FILE=")]
    # small shards and few questions at once, so that jobs last and every worker gets shards
    lines += [f"REDIS_PASSWORD_FILE={password}", "SHARD_QUESTIONS=6", "CONCURRENCY=4"]
    env.write_text("\n".join(lines))
    return env


@pytest.fixture(scope="module")
def idle(root: Path, settings: Path) -> Stack:
    """A stack that is not running, to see what compose makes of its files."""
    return Stack(root, settings)


@pytest.fixture(scope="module")
def stack(root: Path, settings: Path) -> Iterator[Stack]:
    """A running stack, built from nothing."""
    stack = Stack(root, settings)
    try:
        stack.do("build")
        stack.do("up", "-d")
        stack.at_first = while_it_trains(stack)
        up = stack.compose("up", "-d", "--wait", "--wait-timeout", "900")
        assert up.returncode == 0, up.stdout + up.stderr + stack.told()
        yield stack
    finally:
        for stack.project in (PROJECT, ELSEWHERE):
            stack.compose("down", "-v", "--remove-orphans")


def while_it_trains(stack: Stack) -> dict[str, str]:
    """The state of the stack after `up -d` has returned and training has started."""
    (inference,) = stack.containers("inference")
    (trainer,) = stack.containers("trainer")
    ask = [*HEALTH, inference]
    until(lambda: "a trainer is at work" in run(*ask), 300, lambda: run(*ask) + stack.told())
    until(lambda: answers(stack), 300, stack.told)
    job_id = stack.post((stack.root / "examples/demo/problems.jsonl").read_bytes())
    until(lambda: "a trainer" in (stack.job(job_id)["note"] or ""), 300)
    found = {"health": run(*ask), "note": stack.job(job_id)["note"]}
    found["trainer"] = run("docker", "inspect", "-f", "{{.State.Status}}", trainer).strip()
    stack.api.post(f"/jobs/{job_id}/cancel")
    return found


def answers(stack: Stack) -> bool:
    try:
        return stack.api.get("/healthz").status_code == 200
    except httpx2.TransportError:  # Docker accepts the connection before the API listens
        return False


@pytest.fixture(scope="module")
def problems(root: Path) -> list[Problem]:
    source = Path(os.environ.get("QUORUM_REAL_FILE", root / "examples/demo/problems.jsonl"))
    return parse_problems(b"\n".join(source.read_bytes().splitlines()[:20]))


def data_of(problems: list[Problem]) -> bytes:
    return "\n".join(json.dumps(problem.row) for problem in problems).encode()


def check_complete(stack: Stack, job_id: str, problems: list[Problem]) -> None:
    stack.completed(job_id)
    answered = stack.submission(job_id)
    assert [row["id"] for row in answered] == [problem.row["id"] for problem in problems]
    for row, problem in zip(answered, problems, strict=True):
        for question, asked in zip(row["questions"], problem.questions, strict=True):
            assert question["answer"] in LABELS[: len(asked.options)]
    keys = [(answer["id"], answer["index"]) for answer in stack.answers(job_id)]
    assert len(keys) == len(set(keys)) == sum(len(problem.questions) for problem in problems)


# ---- what compose makes of the files ------------------------------------------------------------


@pytest.mark.parametrize("files", [GPU, CPU])
def test_both_stacks_are_accepted_with_the_example_settings(
    idle: Stack, files: tuple[str, ...]
) -> None:
    idle.do("config", "-q", files=files)


@pytest.mark.parametrize("missing", ["STACK", "RECIPE", "MODEL_NAME", "REDIS_PASSWORD_FILE"])
def test_a_missing_setting_says_what_to_set(root: Path, tmp_path: Path, missing: str) -> None:
    lines = (root / ".env.example").read_text().splitlines()
    env = tmp_path / "env"
    env.write_text("\n".join(line for line in lines if not line.startswith(f"{missing}=")))
    done = Stack(root, env).compose("config", "-q", files=GPU)
    assert done.returncode != 0
    assert f"set {missing} in .env" in done.stderr


def services(
    stack: Stack, files: tuple[str, ...], profiles: str, **variables: str
) -> dict[str, Any]:
    options: dict[str, Any] = {"files": files, "profiles": profiles, **variables}
    config = json.loads(stack.do("config", "--format", "json", **options))
    found: dict[str, Any] = config["services"]
    return found


def test_the_gpu_stack_reserves_gpus_and_publishes_on_loopback(idle: Stack) -> None:
    config = services(idle, GPU, "train,serve")
    for name in ("trainer", "inference"):
        devices = config[name]["deploy"]["resources"]["reservations"]["devices"]
        assert devices[0]["driver"] == "nvidia"
    assert "ports" not in config["redis"]
    ports = [port for service in config.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    cpu = services(idle, CPU, "train,serve")
    assert all("devices" not in json.dumps(service) for service in cpu.values())


ALL = "train,serve,monitoring"


def test_up_waits_for_redis_alone(idle: Stack) -> None:
    for name, service in services(idle, GPU, ALL).items():
        for other, how in service.get("depends_on", {}).items():
            assert (how["condition"] == "service_started") != (other == "redis"), (name, other)


def test_every_service_rotates_its_log_and_knows_the_host(idle: Stack) -> None:
    for name, service in services(idle, GPU, ALL).items():
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert service["extra_hosts"] == ["host.docker.internal=host-gateway"], name


def test_only_services_that_call_the_internet_get_proxies(idle: Stack) -> None:
    proxy = {"HTTP_PROXY": "http://p:1", "https_proxy": "http://p:2", "NO_PROXY": "mirror.example"}
    proxy["no_proxy"] = "other.example"
    found = services(idle, GPU, ALL, **proxy)
    for name, service in found.items():
        environment = service["environment"]
        assert environment["NO_PROXY"] == environment["no_proxy"]
        direct = environment["NO_PROXY"].split(",")
        assert {*found, "localhost", "127.0.0.1", "::1", "mirror.example", "other.example"} <= set(
            direct
        ), name
        calls = name in ("trainer", "api", "worker")
        assert (environment.get("HTTP_PROXY"), environment.get("https_proxy")) == (
            ("http://p:1", "http://p:2") if calls else (None, None)
        ), name
        if name in ("trainer", "inference", "api", "worker"):
            assert service["build"]["args"]["HTTP_PROXY"] == "http://p:1"
    unset = services(idle, GPU, ALL)["trainer"]["environment"]
    assert unset["HTTP_PROXY"] is None  # not empty: an empty one would hide Docker's own


def test_settings_for_downloads_reach_the_trainer(idle: Stack) -> None:
    wanted = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "MODELSCOPE_DOMAIN": "m.example"}
    environment = services(idle, GPU, "train", **wanted)["trainer"]["environment"]
    assert wanted.items() <= environment.items()


def test_the_settings_of_the_cpu_stack_name_both_files(root: Path, tmp_path: Path) -> None:
    """Messages advise docker compose commands without -f; they must act on the same stack."""
    (tmp_path / ".env.example").write_text((root / ".env.example").read_text())
    subprocess.run(
        ["make", "-f", str(root / "Makefile"), "env", "STACK=cpu"], cwd=tmp_path, check=True
    )
    (tmp_path / "env").write_text((tmp_path / ".env").read_text())
    found = services(Stack(root, tmp_path / "env"), (), "train,serve")
    assert found["trainer"]["image"] == "quorum-trainer-cpu"
    assert "devices" not in json.dumps(found)
    for name in ("inference", "api", "worker"):
        assert found[name]["environment"]["MODEL_NAME"] == "quorum-demo"


@pytest.mark.parametrize(
    ("profile", "running"),
    [
        ("train", {"trainer"}),
        ("serve", {"redis", "inference", "api", "worker"}),
        ("remote", {"redis", "api", "worker"}),
        ("train,serve", {"trainer", "redis", "inference", "api", "worker"}),
        (
            "serve,monitoring",
            {"redis", "inference", "api", "worker", "prometheus", "grafana"},
        ),
    ],
)
def test_a_profile_selects_the_services_that_run(
    idle: Stack, profile: str, running: set[str]
) -> None:
    assert set(services(idle, GPU, profile)) == running


def test_a_stop_gives_every_service_the_time_that_it_needs(idle: Stack) -> None:
    for name, service in services(idle, GPU, "train,serve").items():
        grace = service.get("stop_grace_period", "10s")
        minutes, _, seconds = grace.rstrip("s").rpartition("m")
        assert 60 * int(minutes or 0) + int(seconds or 0) == GRACE_S[name]


# ---- a running stack ----------------------------------------------------------------------------


def test_the_server_waits_for_the_trainer_and_says_so(stack: Stack) -> None:
    """`up -d` has returned by then, so nothing depends on the running command."""
    assert stack.at_first["trainer"] == "running"
    assert "waiting for a published model" in stack.at_first["health"]
    assert "a trainer is at work" in stack.at_first["note"]


@pytest.mark.parametrize("service", ["trainer", "inference"])
def test_compiled_code_can_be_loaded_from_every_cache_folder(stack: Stack, service: str) -> None:
    command = ("run", "--rm", "--no-deps", "-T", service, "python", "-c", LOAD)
    assert {"HOME", "TRITON_CACHE_DIR", "XDG_CACHE_HOME"} <= set(stack.do(*command).split())


def test_no_other_container_compiles_anything(stack: Stack) -> None:
    for service in ("redis", "api", "worker"):
        for container in stack.containers(service):
            gcc = ("docker", "exec", container, "gcc", "--version")
            assert subprocess.run(gcc, capture_output=True).returncode != 0, service


def test_twenty_problems_come_back_complete(stack: Stack, problems: list[Problem]) -> None:
    check_complete(stack, stack.post(data_of(problems)), problems)


def test_the_server_logs_its_decisions_and_passed_checks(stack: Stack) -> None:
    log = stack.do("logs", "--no-log-prefix", "inference")
    assert "room for a prompt of 4096 tokens" in log
    assert "is served as it was trained; 3 recorded replies were compared" in log


def test_the_page_and_its_files_are_in_the_image(stack: Stack) -> None:
    page = stack.api.get("/")
    assert "Content-Security-Policy" in page.headers
    for path in re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text):
        assert stack.api.get(path).status_code == 200, path
    assert "quorum_workers 2.0" in stack.api.get("/metrics").text


def test_no_container_is_root_or_can_write_its_root_file_system(stack: Stack) -> None:
    for service in ("redis", "inference", "api", "worker"):
        for container in stack.containers(service):
            lines = run("docker", "top", container, "-eo", "pid,uid").splitlines()[1:]
            assert {line.split()[1] for line in lines} == {"10001"}, (service, lines)
            found = json.loads(run("docker", "inspect", container))[0]["HostConfig"]
            assert found["ReadonlyRootfs"]
            assert found["CapDrop"] == ["ALL"]
            assert found["SecurityOpt"] == ["no-new-privileges:true"]
            touch = ("docker", "exec", container, "touch", "/app-was-here")
            assert "Read-only" in subprocess.run(touch, capture_output=True, text=True).stderr


def test_images_hold_no_secret_and_name_themselves(stack: Stack) -> None:
    for image in IMAGES:
        config = json.loads(run("docker", "inspect", image))[0]["Config"]
        assert config["User"] == "10001:10001"
        assert config["Labels"]["org.opencontainers.image.title"].startswith("quorum-")
        history = run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
        assert PASSWORD not in history + json.dumps(config)
        find = "find / -xdev ( -name .env -o -name redis_password -o -name secrets -o -name .git )"
        found = run("docker", "run", "--rm", "--entrypoint", "sh", image, "-c", shell(find))
        assert [p for p in found.splitlines() if "site-packages" not in p] == []
    for container in stack.containers("redis") + stack.containers("api"):
        assert PASSWORD not in run("docker", "top", container, "-eo", "pid,args")


def shell(find: str) -> str:
    quoted = find.replace("(", r"\(").replace(")", r"\)")
    return f"{quoted} -not -path '/proc/*' -not -path '/usr/lib/*' 2>/dev/null || true"


def test_the_orchestrators_image_is_small(stack: Stack) -> None:
    """Under 290 MB in all, of which its published base is 125 MB, and DuckDB, which reads Parquet,
    is 67 MB; it holds no torch.
    """
    sizes = [
        int(run("docker", "inspect", "-f", "{{.Size}}", image))
        for image in ("quorum-orchestrator", "python:3.11-slim-bookworm")
    ]
    assert sizes[0] - sizes[1] < 165e6
    packages = run(
        "docker",
        "run",
        "--rm",
        "quorum-orchestrator",
        "ls",
        "/opt/quorum/lib/python3.11/site-packages",
    )
    assert "fastapi" in packages
    assert "torch" not in packages


def test_redis_asks_for_the_password(stack: Stack) -> None:
    (redis,) = stack.containers("redis")
    assert "NOAUTH" in run("docker", "exec", redis, "redis-cli", "dbsize")


def test_a_trainer_started_again_has_nothing_to_do(stack: Stack) -> None:
    assert "nothing to do" in stack.do("run", "--rm", "-T", "trainer")


def test_an_open_api_without_a_key_is_unhealthy_and_says_why(stack: Stack) -> None:
    name = f"{PROJECT}-open"
    open_api = ("run", "-d", "--no-deps", "--name", name, "-e", "API_PUBLISHED_ON=0.0.0.0", "api")
    stack.do(*open_api)
    try:
        until(lambda: "set API_KEY to a secret" in run(*HEALTH, name), 60)
        assert '"ExitCode":0' not in run(*HEALTH, name)
        logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True)
        assert "set API_KEY to a secret" in logs.stderr
        run("docker", "stop", "-t", "10", name)
        code = run("docker", "inspect", "-f", "{{.State.ExitCode}}", name)
        assert int(code) == 2
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True)


LONG = {"samples": 21, "early_stop": False}


def test_every_service_may_be_killed_while_a_job_runs(
    stack: Stack, problems: list[Problem]
) -> None:
    job_id = stack.post(data_of(problems), **LONG)
    for service in ("redis", "api", "worker", "inference"):
        stack.goes_on(job_id)
        for container in stack.containers(service):
            run("docker", "kill", container)
        stack.do("start", service)
    check_complete(stack, job_id, problems)


def test_workers_come_and_go_while_a_job_runs(stack: Stack, problems: list[Problem]) -> None:
    scale = ("up", "-d", "--no-deps", "--no-recreate", "--scale")
    job_id = stack.post(data_of(problems), **LONG)
    for count in (4, 1, 2):
        stack.goes_on(job_id)
        stack.do(*scale, f"worker={count}", "worker")
        assert len(stack.containers("worker")) == count
    check_complete(stack, job_id, problems)


def test_a_second_model_is_served_and_no_job_mixes_the_two(
    stack: Stack, problems: list[Problem]
) -> None:
    first = stack.api.get("/model").json()["digest"]
    job_id = stack.post(data_of(problems), **LONG)
    stack.goes_on(job_id)
    recipe = "sed -e 's#../../../#/app/#' -e 's/seed = 42/seed = 43/' -e 's/= 120/= 60/'"
    train = f"{recipe} services/trainer/recipes/demo.toml > /tmp/demo.toml"
    train += " && exec python -m trainer run --recipe /tmp/demo.toml"
    stack.do("run", "--rm", "-T", "trainer", "sh", "-c", train)
    second = stack.api.get("/model").json()["digest"]
    assert second != first
    later = stack.post(data_of(problems[:3]))
    check_complete(stack, job_id, problems)
    check_complete(stack, later, problems[:3])
    for job, digest in ((job_id, first), (later, second)):
        start = stack.api.get(f"/jobs/{job}/report").json()["provenance"]["start"]
        assert start["digest"] == digest
    for digest in (first, second):  # to the earlier model and back
        listed = stack.api.post(f"/models/{digest}/current").json()["data"]
        assert [model["digest"] for model in listed if model["current"]] == [digest]
        assert stack.api.get("/model").json()["digest"] == digest


def test_a_stopped_stack_ends_in_time_and_continues_later(
    stack: Stack, problems: list[Problem]
) -> None:
    job_id = stack.post(data_of(problems), **LONG)
    stack.goes_on(job_id)
    began = time.monotonic()
    stack.do("stop")
    assert time.monotonic() - began < max(GRACE_S.values())
    for service in ("redis", "inference", "api", "worker"):
        for container in stack.containers(service):
            code = int(run("docker", "inspect", "-f", "{{.State.ExitCode}}", container))
            assert code in (0, 143), (service, code)  # 137 would mean that it was killed
    stack.do("start")
    check_complete(stack, job_id, problems)


def test_a_stopped_trainer_keeps_its_checkpoint(stack: Stack) -> None:
    recipe = "sed -e 's#../../../#/app/#' -e 's/= 120/= 2000/' services/trainer/recipes/demo.toml"
    train = f"{recipe} > /tmp/demo.toml && exec python -m trainer run --recipe /tmp/demo.toml"
    argv = ("run", "-d", "--name", f"{PROJECT}-stopped", "trainer", "sh", "-c", train)
    stack.do(*argv)
    container = f"{PROJECT}-stopped"
    try:
        until(lambda: "step 5" in run("docker", "logs", container), 120)
        run("docker", "stop", "-t", str(GRACE_S["trainer"]), container)
        log = run("docker", "logs", container)
        assert "a checkpoint is in /runs/quorum-demo" in log
        run("docker", "start", container)
        until(lambda: "continuing from the checkpoint" in run("docker", "logs", container), 120)
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)


def test_a_job_moves_to_another_host_with_the_data_volume_alone(
    stack: Stack, problems: list[Problem]
) -> None:
    job_id = stack.post(data_of(problems), **LONG)
    stack.goes_on(job_id)
    stack.do("down")
    for volume in ("data", "models"):
        to = f"{ELSEWHERE}_{volume}"
        run("docker", "volume", "create", to)
        mounts = ("-v", f"{PROJECT}_{volume}:/from:ro", "-v", f"{to}:/to")
        copy = ("sh", "-c", "cp -a /from/. /to/")
        run("docker", "run", "--rm", "-u", "0", *mounts, "quorum-orchestrator", *copy)
    stack.project = ELSEWHERE
    try:
        stack.do("up", "-d", "--wait", "--wait-timeout", "600", profiles="serve")
        check_complete(stack, job_id, problems)
    finally:
        stack.compose("down", "-v")
        stack.project = PROJECT
