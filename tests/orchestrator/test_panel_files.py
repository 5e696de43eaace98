"""A panel from its file, and what its voters weigh. No servers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import CONTRACT_FILE, parse_problems
from contract.formats import CHINESE, ENGLISH
from contract.panels import PANEL_FILE, Accuracy, Panel, PanelError, PanelVoter
from contract.published import make_current
from contracts import make_contract
from orchestrator.jobs.panels import by_accuracy, log_odds, scaled
from orchestrator.jobs.records import JobSettings
from orchestrator.jobs.vote import WEIGHT_STEP
from orchestrator.jobs.voter_records import ValidationRows
from orchestrator.model import ServedModel, find_model
from orchestrator.panels import PanelSpec, find_panel, panels
from orchestrator.settings import Settings
from orchestrator.worker.panels import resolved
from problem_files import problem_file

PROBLEMS = parse_problems(problem_file(2))
SHARES = st.integers(1, 500).flatmap(
    lambda total: st.builds(ValidationRows, right=st.integers(0, total), total=st.just(total))
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        models_dir=tmp_path / "models",
        model_name="m",
        panels_dir=tmp_path,
        panel_api_keys={"theirs": "sk"},
    )


@pytest.fixture
def five(settings: Settings) -> Path:
    """The directory of a published model with a panel of two, `v2` in another format."""
    directory = settings.models_dir / "m" / "d1"
    second = make_contract("d2").model_copy(update={"format": ENGLISH})
    for folder, contract in (("", make_contract("d1")), ("members/v2", second)):
        (directory / folder).mkdir(parents=True, exist_ok=True)
        (directory / folder / CONTRACT_FILE).write_bytes(contract.dump())
    voters = (
        PanelVoter(name="v1", served_as="m@d1", accuracy=Accuracy(right=41, total=60)),
        PanelVoter(
            name="v2",
            served_as="m-v2",
            folder="members/v2",
            accuracy=Accuracy(right=10, total=60),
        ),
    )
    (directory / PANEL_FILE).write_bytes(Panel(name="five", voters=voters).dump())
    make_current(directory)
    return directory


def write(settings: Settings, text: str, name: str = "mine") -> PanelSpec:
    (settings.panels_dir / f"{name}.toml").write_text(text)
    return find_panel(settings, name)


def fault_of(settings: Settings, text: str) -> str:
    with pytest.raises(PanelError) as refused:
        write(settings, text)
    assert str(settings.panels_dir / "mine.toml") in str(refused.value)
    return str(refused.value)


VOTER = '[[voter]]\nname = "a"\n'
FAULTS = [
    ("voter = 1", "voter: Input should be a valid list"),
    ("", "voter: Field required"),
    ("[[voter]]", "voter.0.name: Field required"),
    (VOTER + VOTER, "two voters have the name 'a'"),
    ("weights = 'heavy'\n" + VOTER, "weights: Input should be"),
    (VOTER + "weight = 2", "the voter a has a weight, which only weights"),
    ("weights = 'given'\n" + VOTER, "the voter a has no weight"),
    (VOTER + "weight = 0", "voter.0.weight: Input should be greater than 0"),
    (VOTER + "weight = inf", "voter.0.weight: Input should be a finite number"),
    ("weights = 'accuracy'\n" + VOTER, 'voter.0.accuracy: weights = "accuracy" needs it for a'),
    (VOTER + "accuracy = [3, 2]", "voter.0.accuracy: write [right, total]"),
    (VOTER + 'url = "there"', "voter.0.url: it is no address of a server"),
    (VOTER + 'url = "http://me:sk-secret@there/v1"', "voter.0.url: it may hold no user"),
    (VOTER + 'key = "theirs"', "key is for a voter with a url"),
    (VOTER + 'url = "http://there/v1"\nkey = "other"', "PANEL_API_KEYS has no key 'other'"),
    (VOTER + 'format = "nowhere.toml"', "voter.0.format: nowhere.toml cannot be read"),
    (VOTER + 'api_key = "sk-secret"', "voter.0.api_key: Extra inputs are not permitted"),
    ("voter = [", "the file: is not TOML in UTF-8"),
    ("#" * (1 << 20) + VOTER, "the file: is larger than 1 MiB"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_a_faulty_file_is_refused_with_its_place(settings: Settings, text: str, said: str) -> None:
    fault = fault_of(settings, text)
    assert said in fault
    assert "sk-secret" not in fault
    (listed,) = panels(settings)
    assert (listed.panel, str(listed.fault)) == (None, fault)


def test_the_example_can_be_used(settings: Settings) -> None:
    example = Path(__file__).parents[2] / "panels"
    spec = find_panel(settings.model_copy(update={"panels_dir": example}), "example")
    assert [voter.temperature for voter in spec.voters] == [0.3, 0.7, 1.0]


def test_a_name_cannot_leave_the_folder(settings: Settings) -> None:
    (settings.panels_dir.parent / "x.toml").write_text(VOTER)
    with pytest.raises(PanelError, match="there is no panel"):
        find_panel(settings, "../x")


def test_the_published_panel_goes_by_its_own_name(settings: Settings, five: Path) -> None:
    (listed,) = panels(settings)
    assert (listed.name, listed.source) == ("five", "published")
    own = ServedModel.from_contract(make_contract("d1"))
    panel = resolved(find_panel(settings, "five"), JobSettings(), own, "auto", PROBLEMS)
    first, second = panel.voters
    assert (first.model, first.digest, first.format) == ("m@d1", "d1", make_contract().format)
    assert (second.model, second.digest, second.format) == ("m-v2", "d2", ENGLISH)
    assert second.probe == make_contract("d2").probe
    assert second.sampling["max_tokens"] == 512
    assert [voter.weight for voter in panel.voters] == [1, 1]


def test_a_file_may_weigh_published_voters_by_their_accuracy(
    settings: Settings, five: Path
) -> None:
    """With two options, 10 of 60 are worse than chance."""
    text = 'weights = "accuracy"\n[[voter]]\nname = "one"\nmodel = "m@d1"\n'
    spec = write(settings, text + '[[voter]]\nname = "two"\nmodel = "m-v2"\n')
    own = ServedModel.from_contract(make_contract("d1"))
    panel = resolved(spec, JobSettings(), own, "auto", PROBLEMS)
    assert [voter.weight for voter in panel.voters] == [1, WEIGHT_STEP]
    assert [voter.note_message and voter.note_message.code for voter in panel.voters] == [
        None,
        "voter-at-chance",
    ]
    assert panel.voters[1].format == ENGLISH


def test_a_file_with_the_published_panels_name_is_refused(settings: Settings, five: Path) -> None:
    with pytest.raises(PanelError, match="two panels are named five"):
        write(settings, VOTER, "five")


def test_a_damaged_published_panel_is_listed_with_its_fault(settings: Settings, five: Path) -> None:
    (five / "members" / "v2" / CONTRACT_FILE).unlink()
    (listed,) = panels(settings)
    assert listed.panel is None
    assert listed.fault is not None
    assert "members/v2/contract.json does not exist" in listed.fault


def test_a_voter_takes_what_it_does_not_name_from_the_job(tmp_path: Path) -> None:
    settings = Settings(model_contract="default", model_name="own", panels_dir=tmp_path)
    spec = write(
        settings,
        VOTER
        + '[[voter]]\nname = "b"\nmodel = "adapter"\ntop_p = 0.5\n'
        + '[[voter]]\nname = "c"\nmodel = "far"\nurl = "http://far/v1/"\nmax_tokens = 9\n',
    )
    job = JobSettings(temperature=0.1, max_tokens=77)
    own = find_model(settings).asked_in(ENGLISH)
    a, b, c = resolved(spec, job, own, "auto", PROBLEMS).voters
    assert (a.model, a.format, a.sampling["temperature"]) == ("own", ENGLISH, 0.1)
    assert (b.model, b.format, b.url) == ("adapter", ENGLISH, None)
    assert (b.sampling["top_p"], b.sampling["max_tokens"]) == (0.5, 77)
    assert (c.url, c.sampling["max_tokens"]) == ("http://far/v1", 9)
    assert c.format == CHINESE  # the file's language, as for any endpoint


def test_given_weights_are_relative_to_the_largest() -> None:
    assert scaled([2, 1, 0.5]) == [1, 0.5, 0.25]
    assert scaled([1e-12, 1]) == [WEIGHT_STEP, 1]


@given(st.lists(SHARES, min_size=1, max_size=16), st.floats(0.05, 1))
def test_weights_by_accuracy_are_whole_steps_up_to_1(
    shares: list[ValidationRows], chance: float
) -> None:
    weights = by_accuracy(shares, chance)
    assert max(weights) == 1
    assert all(weight >= WEIGHT_STEP and (weight / WEIGHT_STEP).is_integer() for weight in weights)
    order = sorted(zip((log_odds(share, chance) for share in shares), weights, strict=True))
    assert [weight for _, weight in order] == sorted(weights)


def test_with_two_options_the_weight_is_the_log_odds() -> None:
    nine, seven = ValidationRows(right=8, total=8), ValidationRows(right=6, total=8)
    assert log_odds(nine, 0.5) == pytest.approx(2.1972, abs=1e-4)  # log 9
    assert log_odds(seven, 0.5) == pytest.approx(0.8473, abs=1e-4)  # log 7/3
    assert by_accuracy([nine, seven], 0.5) == [1, pytest.approx(0.38562, abs=1e-5)]


def test_with_four_options_a_voter_above_a_quarter_has_a_vote() -> None:
    rows = ValidationRows(right=39, total=98)
    assert log_odds(rows, 0.25) == pytest.approx(0.6931, abs=1e-4)  # 40 %: log(3 * 2/3)
    assert log_odds(rows, 0.5) < 0


def test_voters_that_are_all_at_chance_weigh_alike() -> None:
    assert by_accuracy([ValidationRows(right=1, total=8)] * 3, 0.5) == [1, 1, 1]
