from pathlib import Path

from run_folder import case, write_run

from diagnosis_zero import licences as known
from diagnosis_zero import records
from diagnosis_zero.report.load import load_runs
from diagnosis_zero.report.provenance import licences, trained


def test_what_the_datas_manifest_states_wins_over_what_is_known_of_the_source(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=3)
    assert licences(load_runs([path])) == [known.CASES["rarearena"], known.NAMES]
    records.write_json(path / "data" / "manifest.json", {"licences": {"rarearena": "CC BY-SA 4.0"}})
    assert licences(load_runs([path])) == ["CC BY-SA 4.0", known.NAMES]


def test_cases_that_a_run_was_only_evaluated_on_are_noted_too(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=3)
    records.write_json(path / "data" / "manifest.json", {"licences": {"vignettes": known.CASES["vignettes"]}})
    assert licences(load_runs([path])) == [known.CASES["vignettes"], known.CASES["rarearena"], known.NAMES]


def test_a_source_that_nothing_is_known_of_says_so(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=3)
    records.write_jsonl(path / "evaluations" / "cases.jsonl", [case(0, source="ward 7")])
    assert licences(load_runs([path]))[0].startswith('Cases of "ward 7": no licence was stated')


def test_sizes_of_one_family_have_licences_of_their_own() -> None:
    assert known.of_model("Qwen/Qwen2.5-7B-Instruct") == "Apache-2.0"
    assert "non-commercial" in known.of_model("Qwen/Qwen2.5-3B-Instruct")
    assert known.of_model("someone/else").startswith("not known here")


def test_redacted_what_was_trained_names_no_folder(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=3)
    config = path / "config.toml"
    for model, shown in (
        ("Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct"),
        ("tiny", "tiny"),
        ("/home/ward7/weights", "a model of a local folder"),
        ("../weights", "a model of a local folder"),
        ("~/weights", "a model of a local folder"),
        ("C:\\\\ward7", "a model of a local folder"),
    ):
        config.write_text(f'[model]\nid = "{model}"\n[data]\nfolder = "ward7"\n')
        said = trained(load_runs([path])[0], redact=True)
        assert said.startswith(f"demo: {shown} trained by GRPO"), said
        assert "ward7" not in said
