"""Protocols: files, refusals, and who is tested by a model of whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from bench.conftest import small

from aumer import registry
from aumer.bench import models, protocol, published
from aumer.bench.protocol import Protocol
from aumer.bench.result import published_table
from aumer.bench.split import plan
from aumer.errors import AumerError, ConfigError, UsageError
from aumer.strict import preset, read_toml


def videos_of(dataset: str, subjects: Iterable[str]) -> list[tuple[str, str]]:
    """Two videos of each subject."""
    return [(dataset, s) for s in subjects for _ in (1, 2)]


@pytest.mark.parametrize("name", protocol.names())
def test_shipped_protocols_say_everything(name: str) -> None:
    """A file with its models; none leaves a rule of spotting to a default."""
    found = protocol.load(name)
    assert found.name == name and protocol.load(found) is found
    raw = read_toml(preset("bench", name))
    assert set(raw) >= {"split", "seeds", "selection"}
    if found.kind != "recognition":
        assert set(raw) >= {"prior", "matching"}
        for model in found.models:
            models.find(model, found)
        if found.split != "unseen":
            assert set(raw["scoring"]) >= {
                "iou",
                "comparison",
                "ends",
                "missing_offset",
                "videos_without_truth",
            }


@pytest.mark.parametrize("name", protocol.names())
def test_a_heading_says_the_split_in_force(name: str) -> None:
    """Whatever split a title says, as titles did."""
    found = protocol.load(name)
    assert "leave one subject out" not in found.title
    assert found.heading == f"{found.title}, {found.split_in_words}"
    changed = {"title": f"{found.title}, leave one subject out", "train_datasets": ()}
    groups = replace(found, **changed, split="k-fold", folds=3)
    assert groups.heading == f"{found.title}, 3 groups of subjects left out in turn"


def test_a_protocol_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    good = 'title = "x"\nkind = "spotting"\ndatasets = ["casme-sq"]\nsplit = "loso"\n'
    path.write_text(good)
    assert protocol.load(path).name == "mine"
    for bad, said in (
        ("splitt = 3", "split"),
        ("seeds = []", "seeds"),
        ("seeds = [1, 1]", "different"),
        ("folds = 1", "folds"),
        ("[scoring]\niou = 2.0", "iou"),
        ('[scoring]\nmissing_offset = "apexx"', "apex"),
        ("[models.a]\npreset = 3", "preset"),
        ('train_datasets = ["samm-lv"]', "train_datasets"),
    ):
        path.write_text(good + bad)
        with pytest.raises(ConfigError, match=said):
            protocol.load(path)
    with pytest.raises(ConfigError, match=r"Did you mean 'casme-sq'"):
        protocol.load("casmesq")


def test_changes_reach_into_tables() -> None:
    changed = small(**{"scoring.ends": "open"})
    assert changed.scoring.ends == "open" and changed.scoring.iou == 0.5
    with pytest.raises(ConfigError, match="ends"):
        small(**{"scoring.end": "open"})


def test_loso_tests_every_subject_once_by_a_model_of_the_others() -> None:
    made = videos_of("sim-casme-sq", "abcd")
    folds = plan(small(), made)
    assert [f.name for f in folds] == list("abcd")
    for fold in folds:
        assert {made[k][1] for k in fold.tested} == {fold.name}
        assert set(fold.tested) | set(fold.trained) == set(range(len(made)))
        assert not {made[k][1] for k in fold.trained} & {fold.name}


def test_groups_are_disjoint_and_the_same_for_every_seed() -> None:
    made = videos_of("sim-casme-sq", "abcdefg")
    three = small(split="k-fold", folds=3)
    folds = plan(three, made)
    assert folds == plan(three.changed({"seeds": [5]}), made)
    tested = [{made[k][1] for k in f.tested} for f in folds]
    assert sorted(s for group in tested for s in group) == list("abcdefg")
    assert sorted(map(len, tested)) == [2, 2, 3]
    for fold, group in zip(folds, tested, strict=True):
        assert not group & {made[k][1] for k in fold.trained}
    with pytest.raises(UsageError, match="too few"):
        plan(three.changed({"folds": 8}), made)


def test_fewer_training_subjects_are_among_more() -> None:
    made = videos_of("sim-casme-sq", "abcdefg")
    seen: list[set[str]] = []
    for n in (2, 4, 6):
        fold = plan(small(train_subjects=n), made)[0]
        seen.append({made[k][1] for k in fold.trained})
        assert len(seen[-1]) == n and fold.name not in seen[-1]
        assert len(fold.trained) == 2 * n  # all videos of each
    assert seen[0] < seen[1] < seen[2]
    with pytest.raises(UsageError, match="at most the number of subjects to train on, 6 in fold"):
        plan(small(train_subjects=7), made)


def test_across_data_sets_nothing_of_the_tested_one_is_seen() -> None:
    made = videos_of("sim-casme-sq", "ab") + videos_of("sim-samm-lv", "cd")
    folds = plan(protocol.load("sim-cross-data-set"), made)
    assert [(f.dataset, f.tested, f.trained) for f in folds] == [
        ("sim-casme-sq", (0, 1, 2, 3), (4, 5, 6, 7)),
        ("sim-samm-lv", (4, 5, 6, 7), (0, 1, 2, 3)),
    ]


def test_unseen_videos_are_tested_by_a_model_of_others() -> None:
    made = (
        videos_of("megc-unseen", ["SAMM"]) + videos_of("casme-sq", "ab") + videos_of("samm-lv", "c")
    )
    (fold,) = plan(protocol.load("megc-unseen"), made)
    assert fold.tested == (0, 1) and fold.trained == (2, 3, 4, 5, 6, 7)


def test_models_that_cannot_be_are_refused() -> None:
    found = small()
    for name, more, said in (
        ("aumr", {}, r"Did you mean 'aumer'"),
        ("rules", {"overrides": {"epochs": 3}}, "no setting is called 'epochs'"),
        ("rules", {"decoder": "casme-sq"}, "--decoder"),
        ("aumer", {"overrides": {"epoch": 3}}, "epochs"),
        ("aumer", {"overrides": {"epochs.x": 3}}, "whole number"),
        ("aumer", {"decoder": "casme"}, "casme-sq"),
        ("aumer", {"decoder": "samm-lv"}, "25 a second"),
        ("nowhere.safetensors", {}, "no weights"),
    ):
        with pytest.raises(AumerError, match=said):
            models.find(name, found, **more)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="oracle"):
        models.find("rules", found.changed({"selection": "oracle"}))
    with pytest.raises(UsageError, match="set members = 1"):
        models.find("aumer", found.changed({"selection": "oracle"}), overrides={"members": 2})
    with pytest.raises(UsageError, match="graph"):
        models.find("aumer", found.changed({"prior": "no-such-graph"}))


def test_overrides_reach_the_network() -> None:
    changes = {"net_overrides.layer": "none", "net_overrides.residual_edges": False, "epochs": 7}
    model = models.find("aumer", small(), overrides=changes)
    assert isinstance(model, models.Trainable)
    assert model.settings.net_config().layer == "none" and model.settings.epochs == 7
    # Beside what the protocol itself overrides, which stays.
    samm = models.find("published", protocol.load("sim-samm-lv"), overrides=changes)
    assert samm.rate == 25.0


def test_inner_selection_keeps_subjects_out() -> None:
    model = models.find("published", small(selection="inner"))
    assert isinstance(model, models.Trainable)
    assert model.settings.inner_share > 0 and model.settings.patience > 0


def test_published_rows_say_how_they_were_chosen() -> None:
    for benchmark, method, figure, value in (
        ("casme-sq", "AUW-GCN 2023", "overall", 0.3834),
        ("samm-lv", "AUW-GCN 2023", "micro", 0.1984),
        ("megc2019", "CausalNet", "UAR", 0.902),
    ):
        (row,) = [r for r in published.rows_for(benchmark) if r.method == method]
        assert row.figures[figure] == value
        assert row.selection == "test subject"
    assert all(r.selection for r in published.every_row())
    shown = {found.published for n in protocol.names() if (found := protocol.load(n)).published}
    assert shown <= {r.benchmark for r in published.every_row()}


def test_tables_of_the_publications_are_whole() -> None:
    """Each system's own rows and its ablations, none twice, each with what chose its epoch."""
    rows = {(r.benchmark, r.method): r for r in published.every_row()}
    assert len(rows) == len(published.every_row())
    three = "CNN-LSTM, three modalities: "
    for method, figures in {
        "ResNet34 + LSTM, without MFEM and MFFM": {"UF1": 0.718, "UAR": 0.703, "accuracy": 0.73171},
        "ResNet34 + LSTM + MFEM": {"UF1": 0.761, "UAR": 0.755, "accuracy": 0.78455},
        "ResNet34 + LSTM + MFFM": {"UF1": 0.75, "UAR": 0.741, "accuracy": 0.78455},
        three + "CNN alone": {"accuracy": 0.712, "F1": 0.698},
        three + "no class weights": {"accuracy": 0.798, "F1": 0.754},
        "SE-ResNeXt-50 on the rise": {"UF1": 0.5013, "accuracy": 0.5756},
    }.items():
        assert rows["casme2-5class", method].figures == figures
    ours = [r for r in rows.values() if r.method.startswith("CNN-LSTM, three modalities")]
    assert len(ours) == 1 + 6 + 6 + 5 + 4
    assert {r.selection for r in ours} == {"windows of the test clips"}


def test_the_audit_has_every_system_and_makes_f1_of_counts() -> None:
    systems = {one.name: one for one in published.every_system()}
    asked = "AUW-GCN SpotFormer LGSNet MULT SKD-TSTSAN MOL HTNet CausalNet GIM BoostingVRME ME-TST"
    assert {*asked.split(), "Ra-ICL"} <= set(systems)
    for one in systems.values():
        assert one.chosen and one.verdict and one.denominators and one.evaluator and one.code
    verdicts = {name: systems[name].verdict for name in ("MULT", "MOL", "ME-TST", "Ra-ICL")}
    assert verdicts == {"MULT": "test subject", "MOL": "honest", "ME-TST": "honest",
                        "Ra-ICL": "no code"}  # fmt: skip
    # Constants that nobody knows the choice of make nothing honest, trained or not.
    for one in systems.values():
        if "not at hand" in one.chosen:
            assert one.verdict in ("not at hand", "no code"), one.name
    rows = published.every_row()
    assert {r.system for r in rows} - {""} <= set(systems)
    counted = [r for r in rows if r.counts]
    assert len(counted) == 2
    for row in counted:
        for kind, f1 in row.f1_of_counts().items():
            assert f1 == pytest.approx(row.figures[kind], abs=6e-5)
    assert not rows[0].f1_of_counts()


def test_rare_classes_are_left_out_of_recognition_alone() -> None:
    assert protocol.load("casme2-5class").changed({"min_clips": 10}).min_clips == 10
    with pytest.raises(ConfigError, match='min_clips must be 0 if kind is not "recognition"'):
        protocol.load("casme-sq").changed({"min_clips": 10})


def test_a_benchmark_without_published_rows_is_said_to_have_none() -> None:
    assert published_table("") == ""
    assert published_table("casme-qs") == "\nconfigs/published.toml has no row of casme-qs.\n"
    assert "| AUW-GCN 2023 |" in published_table("casme-sq")


def test_variations_of_other_systems_do_not_stand_beside_a_run() -> None:
    """Each system once, and the ablations of the one that ran."""

    def shown(model: str | None) -> list[str]:
        return [row.method for row in published.rows_for("casme2-5class", model)]

    own = {
        "cnn-lstm": "CNN-LSTM, three modalities: GRU",
        "mfem-mffm": "ResNet34 + LSTM + MFEM",
        "se-resnext50": "ResNet-50 on the rise",
    }
    systems = {"CNN-LSTM, three modalities", "MFEM + MFFM", "SE-ResNeXt-50 on the apex frame"}
    for model in (*own, "graph"):
        assert systems | {"LBP-SIP", "STCLQP"} <= set(shown(model))
        assert {method in shown(model) for key, method in own.items() if key != model} == {False}
    assert all(method in shown(model) for model, method in own.items())
    left_out = len(shown(None)) - len(shown("graph"))
    assert f"\n{left_out} variations of other systems" in published_table("casme2-5class", "graph")
    assert "variations" not in published_table("casme-sq", "rules")
    models = {one.model for one in published.every_system()} - {""}
    assert models <= set(registry.names("recognizer"))


def test_published_overall_f1_lie_between_macro_and_micro() -> None:
    """Pooled counts: a figure outside was mistyped, or comes from other counts."""
    for row in published.every_row():
        f = row.figures
        if {"macro", "micro", "overall"} <= set(f) and "memory" not in row.note:
            assert min(f["macro"], f["micro"]) <= f["overall"] <= max(f["macro"], f["micro"])


def test_a_protocol_is_plain_and_comes_back() -> None:
    from aumer import strict

    found = small()
    assert strict.build(Protocol, found.to_dict(), "here") == found


def test_a_registered_protocol_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_parts", {k: dict(v) for k, v in registry._parts.items()})
    mine = registry.register("protocol", "mine")(protocol.load("casme-sq").changed({"folds": 7}))
    assert protocol.load("mine") is mine and "mine" in protocol.names()
    with pytest.raises(ConfigError, match="Did you mean 'mine'"):
        protocol.load("mien")
    registry.register("protocol", "odd")(len)
    with pytest.raises(UsageError, match="registered as 'odd' is not a Protocol"):
        protocol.load("odd")
