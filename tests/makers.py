"""How the servers of several makers refuse requests: stubs, in the structure of their real errors.

Each is written from public reports of the maker's errors, in words of our own where the words do
not matter. None of them is the maker's server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.responses import JSONResponse, Response

from contract import parse_problems
from orchestrator.coordination.metering import Meter
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.records import Answer, JobSettings
from orchestrator.model import find_model
from orchestrator.settings import Settings
from orchestrator.worker.asking import Server
from orchestrator.worker.connections import connections
from orchestrator.worker.learning import Learned
from orchestrator.worker.sampling import Sampler
from problem_files import problem_file

Body = dict[str, Any]

OPENAI = {
    "model",
    "messages",
    "n",
    "seed",
    "temperature",
    "top_p",
    "max_completion_tokens",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "response_format",
}
MISTRAL = {
    "model",
    "messages",
    "n",
    "random_seed",
    "temperature",
    "top_p",
    "max_tokens",
    "response_format",
}
GEMINI = {
    "model",
    "messages",
    "n",
    "temperature",
    "top_p",
    "max_tokens",
    "reasoning_effort",
    "response_format",
}


class Maker(NamedTuple):
    """`refuses` gives the refusal of a request, or None. `learned` is what is left out (None) or
    sent under another name, in the order in which it is found out.
    """

    refuses: Callable[[Body], Response | None]
    learned: Mapping[str, str | None]


def openai_error(
    message: str, param: str | None = None, code: str | None = None, status: int = 400
) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, status)


def has_system(body: Body) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


def openai_reasoning(body: Body) -> Response | None:
    if "max_tokens" in body:
        return openai_error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if unknown := sorted(body.keys() - OPENAI):
        names = ", ".join(unknown)
        return openai_error(f"Unrecognized request arguments supplied: {names}")
    if "logprobs" in body:
        return openai_error("You are not allowed to request logprobs from this model", status=403)
    for name in ("temperature", "top_p", "n"):
        if body.get(name, 1) != 1:
            return openai_error(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only "
                "the default (1) value is supported.",
                name,
                "unsupported_value",
            )
    if has_system(body):
        return openai_error(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        )
    return None


def mistral(body: Body) -> Response | None:
    unknown = [name for name in body if name not in MISTRAL]
    if unknown:
        detail = [
            {
                "type": "extra_forbidden",
                "loc": ["body", name],
                "msg": "Extra inputs are not permitted",
                "input": body[name],
            }
            for name in unknown
        ]
        error = {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}
        return JSONResponse({**error, "param": None, "code": None}, 422)
    if body["messages"][-1]["role"] == "assistant":
        words = "Expected last role User or Tool for serving but got assistant"
        return JSONResponse({"object": "error", "message": words, "code": 3230}, 400)
    return None


def gemini(body: Body) -> Response | None:
    unknown = [name for name in body if name not in GEMINI]
    told = [
        f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
        for name in unknown
    ]
    if told:
        details = [{"fieldViolations": [{"description": line} for line in told]}]
        error = {"code": 400, "message": "\n".join(told), "status": "INVALID_ARGUMENT"}
        return JSONResponse([{"error": {**error, "details": details}}], 400)
    if has_system(body):
        words = "Developer instruction is not enabled for models/gemma-3-27b-it"
        return JSONResponse([{"error": {"code": 400, "message": words}}], 400)
    return None


def anthropic(body: Body) -> Response | None:
    def refusal(words: str) -> Response:
        error = {"code": "invalid_request_error", "message": words, "param": None}
        return JSONResponse({"error": error}, 400)

    if body["n"] > 1:
        return refusal("n: must be exactly 1")
    if "temperature" in body and "top_p" in body:
        return refusal("`temperature` and `top_p` cannot both be specified; please use only one.")
    return None


def groq(body: Body) -> Response | None:
    for name in ("structured_outputs", "guided_choice", "continue_final_message"):
        if name in body:
            return openai_error(f"property '{name}' is unsupported")
    if "logprobs" in body:
        return openai_error("`logprobs` is not supported with this model")
    return openai_error("'n' : number must be at most 1") if body["n"] > 1 else None


def deepseek(body: Body) -> Response | None:
    if body["n"] > 1:
        return openai_error("Invalid n value (currently only n = 1 is supported)")
    return None


def tgi(body: Body) -> Response | None:
    """text-generation-inference takes neither end of top_p's range."""

    def refusal(words: str, kind: str) -> Response:
        return JSONResponse({"error": words, "error_type": kind}, 422)

    if body.get("top_p") == 1:
        return refusal("Input validation error: `top_p` must be > 0.0 and < 1.0", "validation")
    if has_system(body):
        return refusal("Template error: invalid operation: System role not supported", "template")
    return None


def vllm_gemma(body: Body) -> Response | None:
    if has_system(body):
        error = {"object": "error", "type": "BadRequestError", "param": None, "code": 400}
        return JSONResponse({**error, "message": "System role not supported"}, 400)
    return None


def llama_cpp(body: Body) -> Response | None:
    if body["n"] > 1:
        error = {"code": 500, "message": "Only one completion choice is allowed"}
        return JSONResponse({"error": {**error, "type": "server_error"}}, 500)
    return None


def through_a_gateway(body: Body) -> Response | None:
    """A gateway that passes on the maker's error as a text in its own."""
    refused = openai_reasoning(body)
    if refused is None:
        return None
    raw = bytes(refused.body).decode()
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}
    return JSONResponse({"error": error}, refused.status_code)


def ignoring(body: Body) -> Response | None:
    """Ollama and others: what they do not know is passed over."""
    for name in ("seed", "top_p", "logprobs"):
        body.pop(name, None)
    body["n"] = 1
    return None


SINGLE = {"n": "n"}
REASONING = {"max_tokens": "max_completion_tokens", "temperature": None, "system": None, **SINGLE}
MAKERS = {
    "OpenAI, reasoning": Maker(openai_reasoning, REASONING),
    "OpenAI through a gateway": Maker(through_a_gateway, REASONING),
    "Mistral": Maker(mistral, {"seed": "random_seed"}),
    "Gemini, Gemma": Maker(gemini, {"seed": None, "system": None}),
    "Anthropic": Maker(anthropic, {"top_p": None, **SINGLE}),
    "Groq": Maker(groq, SINGLE),
    "DeepSeek": Maker(deepseek, SINGLE),
    "text-generation-inference": Maker(tgi, {"top_p": None, "system": None}),
    "vLLM, Gemma": Maker(vllm_gemma, {"system": None}),
    "llama.cpp": Maker(llama_cpp, {}),  # an error 500 may pass: it is known to one shard alone
    "Ollama": Maker(ignoring, SINGLE),
}


def echoed(body: Body) -> bytes:
    """A refusal that quotes the whole request, as some proxies do."""
    return json.dumps({"detail": [{"msg": "not allowed", "input": body}]}).encode()


def ask(settings: Settings, known: Learned, count: int = 3, **chosen: Any) -> list[Answer]:
    """The answers to `count` questions, asked one after the other."""

    async def run() -> list[Answer]:
        async with connections(settings) as to_server:
            server = Server(to_server, find_model(settings), Meter(), learned=known)
            sampler = Sampler(server, JobSettings(**chosen))
            problems = parse_problems(problem_file(count, 1))
            return [await sampler.answer(Asked(problem, 0)) for problem in problems]

    return asyncio.run(run())
