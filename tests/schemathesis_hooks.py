"""Loaded by schemathesis: a job that the document calls valid also gets a valid problem file,
metadata that are JSON, and no fields for other files, another vote, a panel or a calibration. It
gets no Idempotency-Key, which is refused if it was used for another file.
"""

import schemathesis

from problem_files import problem_file


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, object]
) -> None:
    is_valid = case.meta is None or all(
        part.mode.is_positive for part in case.meta.components.values()
    )
    if case.operation.label == "POST /jobs" and is_valid and isinstance(case.body, dict):
        case.body["file"] = problem_file(2).decode()  # it takes bytes for no string
        if "metadata" in case.body:
            case.body["metadata"] = '{"subject": "law"}'
        for name in ("panel", "abstain_below", "answer_sets"):  # they need what is not there
            case.body.pop(name, None)
        for name in ("shape", "encoding", "columns", "index_base"):  # they must suit the file
            case.body.pop(name, None)
        if case.body.get("vote") != "confidence":
            case.body.pop("vote_temperature", None)
        case.headers.pop("idempotency-key", None)
