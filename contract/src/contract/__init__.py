"""The parts that trainer, server and orchestrator share: problem files, prompts, labels, the
contract.

No torch, no Redis. Each function is pure or reads one file. The exception is `addresses.open_url`,
which makes one HTTP call.
"""

from contract.contract import (
    CONTRACT_FILE,
    Contract,
    ContractError,
    HeldLine,
    Lengths,
    PromptFormat,
    Provenance,
    Sampling,
)
from contract.files.jsonl import iter_problems, parse_problems
from contract.label_sets import extract_labels, labels_place
from contract.labels import extract_label, label_place
from contract.multiple import asking_for_all, label_sets
from contract.options import LABELS, own_texts
from contract.permuting import options_may_move
from contract.probe import Message, Probe
from contract.problems import FileFault, Problem, ProblemFileError, Question
from contract.reasoning import split_reasoning
from contract.sentences import CodedMessage, Sentence, coded
from contract.stacks import Stack, stack_fault
from contract.strict_json import StrictJsonError, finite, read_json, write_json

__all__ = [
    "CONTRACT_FILE",
    "LABELS",
    "CodedMessage",
    "Contract",
    "ContractError",
    "FileFault",
    "HeldLine",
    "Lengths",
    "Message",
    "Probe",
    "Problem",
    "ProblemFileError",
    "PromptFormat",
    "Provenance",
    "Question",
    "Sampling",
    "Sentence",
    "Stack",
    "StrictJsonError",
    "asking_for_all",
    "coded",
    "extract_label",
    "extract_labels",
    "finite",
    "iter_problems",
    "label_place",
    "label_sets",
    "labels_place",
    "options_may_move",
    "own_texts",
    "parse_problems",
    "read_json",
    "split_reasoning",
    "stack_fault",
    "write_json",
]
