"""The members of a panel on their way to one published directory.

The first member's merged model is made in the folder that will be published. Of each later member
only the adapter is kept, with its records, in its run's folder. Each member's contract is written
last, under another name than a published one's: with it, the member is complete and is not trained
again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from contract import CONTRACT_FILE, Contract
from contract.panels import ADAPTER_FOLDER, PANEL_FILE, Accuracy, Panel, PanelVoter
from contract.published import CARD_FILE, METRICS_FILE, VERIFICATION_FILE, sync
from trainer.data.preparing import Prepared
from trainer.data.rendering import Rendered
from trainer.digests import tree_sha256
from trainer.errors import TrainerError
from trainer.members import Member
from trainer.publishing.model_card import panel_section
from trainer.publishing.publish import publish
from trainer.publishing.records import add_records
from trainer.publishing.verifying import Candidate, merge_and_verify
from trainer.run import Run

# not CONTRACT_FILE: a folder with that file counts as published
MEMBER_CONTRACT = "contract.member.json"
MEMBERS = "members"


class MemberRun(NamedTuple):
    """`place`: where the member's records and its contract end up before publication."""

    member: Member
    run: Run
    prepared: Prepared
    place: Path

    @property
    def is_first(self) -> bool:
        """True for the member whose merged weights are published."""
        return self.place != self.run.folder

    @property
    def is_made(self) -> bool:
        path = self.place / MEMBER_CONTRACT
        if not path.is_file():
            return False
        meant = Contract.model_validate_json(path.read_bytes()).provenance.adapter_sha256
        adapter = self.place / ADAPTER_FOLDER
        return adapter.is_dir() and tree_sha256(adapter) == meant


def finish_member(
    finished: list[Any], candidate: Candidate, rows: Rendered, held_out: Rendered, one: MemberRun
) -> None:
    """Verify a member and measure it with all held-out questions, which are the same for every
    member; keep what is needed of it.

    Raises:
        TrainerError: verification refused it.
    """
    report = merge_and_verify(finished, candidate, rows, held_out, one.prepared.held_out)
    if report["faults"]:
        shutil.rmtree(candidate.staged)
        raise _refused(one, report["faults"])
    contract = candidate.contract
    if one.is_first:
        contract = contract.model_copy(update={"digest": _panel_digest(one.place)})
        add_records(replace(candidate, contract=contract), contract, one.prepared.report, report)
    else:
        shutil.rmtree(candidate.staged)
        shutil.rmtree(one.run.checkpoints, ignore_errors=True)
    (one.place / MEMBER_CONTRACT).write_bytes(contract.dump())
    sync(one.place / MEMBER_CONTRACT)


def _panel_digest(staged: Path) -> str:
    return staged.name.removeprefix(".new-")


def _refused(one: MemberRun, faults: Sequence[str]) -> TrainerError:
    said = "".join(f"  {fault}\n" for fault in faults)
    return TrainerError(
        f"the saved model of the panel's member {one.member.name} differs from the trained one, "
        f"and the panel was not published:\n{said}"
        f"The whole comparison is in {one.run.folder / VERIFICATION_FILE}. The other members are "
        f"kept. Give {one.member.name} another seed or rank in its [[panel.member]], or leave it "
        "out; float16 may need a smaller lora.alpha"
    )


def publish_panel(name: str, made: Sequence[MemberRun]) -> Path:
    """Put all members into the first one's folder, publish it, and make it current."""
    staged = made[0].place
    first = _contract(made[0])
    voters = [PanelVoter(name="v1", served_as=first.served_name, accuracy=_accuracy(made[0]))]
    shutil.rmtree(staged / MEMBERS, ignore_errors=True)  # of an attempt that was cut short
    for one in made[1:]:
        folder = f"{MEMBERS}/{one.member.name}"
        own = _contract(one).model_copy(
            update={"model": f"{name}-{one.member.name}", "digest": first.digest}
        )
        _copy_member(one, own, staged / folder)
        voters.append(
            PanelVoter(
                name=one.member.name,
                served_as=own.served_name,
                folder=folder,
                accuracy=_accuracy(one),
            )
        )
    panel = Panel(name=name, voters=tuple(voters))
    (staged / PANEL_FILE).write_bytes(panel.dump())
    section = panel_section(panel, [one.member.traits for one in made])
    card = (staged / CARD_FILE).read_text(encoding="utf-8").partition(section)[0]
    (staged / CARD_FILE).write_text(card + section, encoding="utf-8")
    target = publish(staged, first)
    (target / MEMBER_CONTRACT).unlink()
    for one in made:
        shutil.rmtree(one.run.checkpoints, ignore_errors=True)
    return target


def _copy_member(one: MemberRun, contract: Contract, folder: Path) -> None:
    shutil.copytree(one.place / ADAPTER_FOLDER, folder / ADAPTER_FOLDER)
    for name in (VERIFICATION_FILE, METRICS_FILE):
        shutil.copyfile(one.place / name, folder / name)
    (folder / CONTRACT_FILE).write_bytes(contract.dump())


def _contract(one: MemberRun) -> Contract:
    return Contract.model_validate_json((one.place / MEMBER_CONTRACT).read_bytes())


def _accuracy(one: MemberRun) -> Accuracy | None:
    """As measured; None if no question was held out."""
    report = json.loads((one.place / VERIFICATION_FILE).read_bytes())
    return Accuracy.model_validate(report["accuracy"]) if "accuracy" in report else None
