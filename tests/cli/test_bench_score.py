"""`aumer bench score`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aumer.errors import EXIT_OK, EXIT_USAGE
from aumer.evaluation.legacy import EVALUATORS

TRUTH = """subject,video,kind,onset,offset,apex,label
a,a_1,macro,0,99,40,positive
a,a_1,micro,200,209,204,negative
b,b_1,macro,0,99,40,positive
b,b_1,micro,200,,204,positive
"""

#: a: the macro found twice, the micro found. b: nothing. c, of which the truth has nothing: one.
PREDICTIONS = """video,kind,onset,offset,score,label
a_1,macro,5,99,.9,
a_1,macro,0,90,.8,
a_1,micro,201,209,.7,negative
c_1,micro,5,9,.6,negative
"""


@pytest.fixture
def files(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(PREDICTIONS)
    (tmp_path / "t.csv").write_text(TRUTH)
    (tmp_path / "whole.csv").write_text(TRUTH.replace("200,,", "200,209,"))


pytestmark = pytest.mark.usefixtures("files")


def cells(out: str, name: str) -> list[str]:
    """The cells of the table row that begins with `name`."""
    (line,) = [row for row in out.splitlines() if row.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_our_score_stands_beside_its_rules(run: Any) -> None:
    done = run("bench score p.csv whole.csv")
    assert done.code == EXIT_OK
    assert "1 of the videos" in done.err and "('c_1' is of 'c')" in done.err
    assert run("bench score p.csv whole.csv -q").err == ""
    row = cells(done.out, "aumer")
    # Macro: 1 of 2 predictions, 1 of 2 truths. Micro: 1 of 2, 1 of 2.
    assert row[1:7] == ["1/1/1", "0.5000", "1/1/1", "0.5000", "2/2/2", "0.5000"]
    assert "one-to-one; IoU >= 0.5; closed ends; missing offset: refuse" in row[8]
    assert row[7] == "nothing"


def test_all_evaluators_side_by_side(run: Any) -> None:
    done = run("bench score p.csv whole.csv --evaluator all")
    assert done.code == EXIT_OK
    found = {name: cells(done.out, name)[1:6:2] for name in ("aumer", *EVALUATORS)}
    assert found["megc2020"] == ["1/1/1", "1/1/1", "2/2/2"]
    assert found["abpn"] == ["2/0/1", "1/1/1", "3/1/2"]  # both on one macro hit
    assert found["auwgcn-2023"] == ["2/0/0", "1/1/1", "3/1/1"]
    # c has no truth; b has no prediction, and so a false one of each kind
    assert found["softnet"] == found["mean"] == ["1/2/1", "1/1/1", "2/3/2"]
    assert "videos without predictions: one, [0, 0]" in cells(done.out, "softnet")[8]
    assert "intervals of one frame match nothing" in cells(done.out, "megc2020")[8]
    # FIND 1 + 1; N 3 + 1 + ..., M 4: macro 2 x 1 / (2 + 2), micro 2 x 1 / (2 + 2).
    assert "second block, 2 found / (predictions + truths): 0.5000 / 0.5000 / 0.5000" in done.out
    assert found["strs-official"] == ["1/1/0", "1/0/0", "2/1/0"]  # b is lost, and c has no truth
    # c's prediction; of the script all of subject b, which is silent, too
    assert cells(done.out, "mean")[7] == "1 predictions"
    assert cells(done.out, "strs-official")[7] == "2 truths, 1 predictions"
    assert cells(done.out, "abpn")[7] == "nothing"
    assert "missing offset: apex+20" in cells(done.out, "lgsnet")[8]


def test_one_published_evaluator(run: Any) -> None:
    done = run("bench score p.csv t.csv --evaluator abpn")
    assert done.code == EXIT_OK
    assert cells(done.out, "abpn")[3] == "1/1/1"
    assert "aumer" not in done.out


def test_a_missing_offset_is_refused_until_it_has_a_policy(run: Any) -> None:
    done = run("bench score p.csv t.csv")
    assert (done.code, done.out) == (EXIT_USAGE, "")
    assert "line 5" in done.err and "--missing-offset" in done.err and "mirror" in done.err
    done = run("bench score p.csv t.csv --missing-offset drop")
    assert cells(done.out, "aumer")[3] == "1/1/0"
    assert cells(done.out, "aumer")[7] == "1 truths"


def test_videos_without_truth_can_be_left_out(run: Any) -> None:
    done = run("bench score p.csv whole.csv --videos-without-truth drop")
    assert cells(done.out, "aumer")[3] == "1/0/1"
    assert cells(done.out, "aumer")[7] == "1 predictions"


def test_labels_for_training_are_truth(run: Any, tmp_path: Path) -> None:
    """Column file, a column au, frames as floats, kinds none and ignore, and seconds."""
    (tmp_path / "labels.csv").write_text(
        "file,kind,onset,apex,offset,au,rater\n"
        "in/a.mp4,macro,69.0,80,112.0,6+12,x\nin/b.mp4,none,,,,,x\nin/a.mp4,ignore,1,,2,,x\n"
    )
    (tmp_path / "spotted.csv").write_text(
        "video;kind;onset_s;offset_s\na.mp4;macro;2,3;3,733\nb.mp4;micro;1;1,2\n"
    )
    done = run("bench score spotted.csv labels.csv --fps 30")
    assert done.code == EXIT_OK, done.err
    assert cells(done.out, "aumer")[1:6:2] == ["1/0/0", "0/1/0", "1/1/0"]
    # b is known to have nothing: no word of guessed subjects, and one of what is left aside.
    assert "guessed" not in done.err
    assert done.err.count("1 column is left aside: 'rater'") == 1
    assert "1 row of kind 'ignore' left aside" in done.err
    done = run("bench score spotted.csv labels.csv")
    assert done.code == EXIT_USAGE and "seconds need the video's frame rate" in done.err


def test_json_holds_everything(run: Any) -> None:
    done = run(
        "bench score p.csv whole.csv --evaluator all --json --per-subject --bootstrap 50 --strs "
        "--fps 30"
    )
    told = json.loads(done.out)
    ours, *others = told["evaluators"]
    assert [e["evaluator"] for e in others] == list(EVALUATORS)
    assert ours["scores"]["overall"]["f1"] == 0.5
    assert ours["settings"]["ends"] == "closed"
    assert ours["sweep"]["overall"][0]["iou"] == 0.2
    assert ours["boundary_errors"]["micro"]["ms"]["onset"]["bias"] == pytest.approx(1000 / 30)
    assert [row["subject"] for row in told["per_subject"]] == ["a", "b", "c"]
    assert told["bootstrap"]["overall"]["replicates"] == 50
    # Micro: F1 1/2; the one that was spotted is recognized. The script loses b and c.
    assert told["strs"]["aumer"]["strs"] == 0.5
    assert told["strs"]["strs-official"]["spotting"]["f1"] == 1.0


def test_tables_about_our_score(run: Any) -> None:
    done = run(
        "bench score p.csv whole.csv --iou-sweep --per-subject --errors --bootstrap 50 --strs "
        "--against p.csv"
    )
    assert done.code == EXIT_OK
    assert "0.2 | " in done.out and "50 resamples of 3 subjects" in done.out
    assert cells(done.out, "c")[1] == "1"
    assert cells(done.out, "F1 minus that of p.csv")[1:] == ["value", "95 % from", "to", "p"]
    assert "0.0000 |    0.0000 | 0.0000 | 1.0000 |" in done.out
    assert cells(done.out, "strs-official")[2] == "1.0000"


def test_a_list_of_videos(run: Any, tmp_path: Path) -> None:
    listed = tmp_path / "v.csv"
    listed.write_text("video,subject\na_1,a\nb_1,b\nc_1,carol\nd_1,dora\n")
    done = run("bench score p.csv whole.csv --videos v.csv --per-subject")
    assert done.code == EXIT_OK
    assert cells(done.out, "carol")[-3:] == ["1", "0", "0.0000"]  # its false positive
    # Nothing to find and nothing predicted: no F1 of 0, as if all had been missed.
    assert cells(done.out, "dora")[1:] == ["1", *["0", "0", "0", "undefined"] * 3]
    told = json.loads(run("bench score p.csv whole.csv --videos v.csv --per-subject --json").out)
    assert told["per_subject"][-1]["overall_f1"] is None
    assert told["per_subject"][-2]["overall_f1"] == 0.0  # carol's false positive
    listed.write_text("video,subject\na_1,a\nb_1,b\n")
    done = run("bench score p.csv whole.csv --videos v.csv")
    assert done.code == EXIT_USAGE
    assert "'c_1'" in done.err and "line 5" in done.err


def test_kinds_in_files_of_their_own(run: Any, tmp_path: Path) -> None:
    for kind in ("macro", "micro"):
        for name in ("p", "whole"):
            header, *rows = (tmp_path / f"{name}.csv").read_text().splitlines()
            kept = [header, *(row for row in rows if f",{kind}," in row)]
            (tmp_path / f"{name}_{kind}.csv").write_text("\n".join(kept) + "\n")
    apart = run("bench score p_macro.csv whole_macro.csv --also p_micro.csv whole_micro.csv")
    assert apart.out == run("bench score p.csv whole.csv").out
    alone = cells(run("bench score p_macro.csv whole_macro.csv").out, "aumer")
    assert alone[3:5] == ["0/0/0", "undefined"]


def test_files_that_count_from_one(run: Any, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video,kind,onset,offset\na_1,micro,201,210\n")
    options = "bench score p.csv whole.csv --iou 1"
    assert cells(run(options).out, "aumer")[3] == "0/1/2"
    assert cells(run(f"{options} --predictions-first-frame 1").out, "aumer")[3] == "1/0/1"
    both = f"{options} --predictions-first-frame 1 --truth-first-frame 1"
    assert cells(run(both).out, "aumer")[3] == "0/1/2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--evaluator softnt", "Did you mean 'softnet'"),
        ("--evaluator softnet --ends open", "--ends applies to the evaluator aumer alone"),
        ("--evaluator softnet --iou-sweep", "--iou-sweep applies to the evaluator aumer alone"),
        ("--ends opne", "Did you mean 'open'"),
        ("--iou 0", "--iou: must be above 0 and at most 1"),
        ("--against p.csv", "give --bootstrap N"),
        ("--bootstrap 0", "--bootstrap: must be a whole number of 1 or more"),
        ("--fps 0", "--fps: must be a number above 0"),
        ("--expect-macro 300", "2 macro truths where 300 are expected"),
        ("--videos nowhere.csv", "cannot read a table from nowhere.csv"),
    ],
)
def test_what_is_refused(run: Any, options: str, message: str) -> None:
    done = run(f"bench score p.csv whole.csv {options}")
    assert (done.code, done.out) == (EXIT_USAGE, "")
    assert message in done.err


def test_an_evaluator_that_cannot_score_says_why_and_the_others_do(
    run: Any, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("video,kind,onset,offset\na_1,macro,0,\n")
    done = run("bench score p.csv t.csv --evaluator all --missing-offset drop")
    assert done.code == EXIT_OK
    assert "neither offset nor apex" in cells(done.out, "softnet")[8]
    assert cells(done.out, "abpn")[1] == "0/2/1"


def test_how_files_were_read_is_said(run: Any, tmp_path: Path) -> None:
    done = run("bench score p.csv whole.csv")
    assert "predictions: reader table; frames, the first is 0; offset included\n" in done.out
    assert "truth: reader table; frames, the first is 0; offset included\n" in done.out
    assert "all predictions have a place" in done.out
    rows = [line.split(",") for line in PREDICTIONS.splitlines()[1:]]
    # As LGSNet's, but by a program that counts from 1 and stops before the offset.
    text = "".join(f"{v}\t{int(a) + 1}\t{int(b) + 2}\t{k}\n" for v, k, a, b, *_ in rows)
    (tmp_path / "bare.txt").write_text(text)
    bare = run(
        "bench score bare.txt whole.csv --predictions-first-frame 1 --predictions-offset excluded"
    )
    assert bare.code == EXIT_OK, bare.err
    assert cells(bare.out, "aumer") == cells(done.out, "aumer")
    assert "predictions: reader headerless; frames, the first is 1; offset excluded\n" in bare.out
    assert "taken without a header, from what the cells hold: video, onset, offset" in bare.err
    named = run(
        "bench score bare.txt whole.csv --reader headerless --predictions-columns "
        "video,onset,offset,kind --predictions-first-frame 1 --predictions-offset excluded --json"
    )
    told = json.loads(named.out)
    assert told["read"]["predictions"][0]["reader"] == "headerless"
    assert told["read"]["predictions"][0]["rows"] == 4
    assert told["evaluators"][0]["scores"]["overall"]["tp"] == 2
    wrong = run("bench score bare.txt whole.csv --reader hedless")
    assert wrong.code == EXIT_USAGE and "Did you mean 'headerless'" in wrong.err


def test_masks_of_another_length_are_said(tmp_path: Path, run: Any) -> None:
    """A mask of the motion between frames is one short: its frames may be shifted."""
    import numpy as np

    truth, found = np.zeros(40, int), np.zeros(39, int)
    truth[10:20] = found[9:19] = 2
    np.savez(tmp_path / "t.npz", a_1=truth, b_1=truth)
    np.savez(tmp_path / "p.npz", a_1=found, b_1=truth)
    done = run("bench score p.npz t.npz")
    assert done.code == EXIT_OK, done.err
    line = "videos whose files disagree on the number of frames, so that frames may be shifted: 1"
    assert f"{line} (a_1 has 39 frames in p.npz, not 40)" in done.out and line in done.err
    told = json.loads(run("bench score p.npz t.npz --json").out)["placement"]
    assert told["other_lengths"] == ["a_1 has 39 frames in p.npz, not 40"]
    (tmp_path / "v.csv").write_text("video,subject,n_frames\na_1,a,40\nb_1,b,41\n")
    done = run("bench score p.npz t.npz --videos v.csv")
    assert f"{line[:-1]}3 (a_1 has 39" in done.out and "b_1 has 40 frames in t.npz" in done.out


def test_what_a_file_lacks_is_asked_for_by_its_options(tmp_path: Path, run: Any) -> None:
    (tmp_path / "p.csv").write_text("a_1,3,9\n")
    (tmp_path / "t.csv").write_text("a_1,3,9,micro\n")
    done = run("bench score p.csv t.csv")
    assert done.code == EXIT_USAGE and "--predictions-kind or --truth-kind" in done.err
    assert run("bench score p.csv t.csv --predictions-kind micro").code == EXIT_OK


def test_rows_without_a_place_are_counted_by_reason(run: Any, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("video,subject,n_frames\na_1,a,300\nb_1,b,300\n")
    (tmp_path / "odd.csv").write_text(
        PREDICTIONS + "a_1,macro,5,99,.1,\n"  # a duplicate
        "a_1,micro,400,410,.1,\n"  # outside
        "b_1,macro,290,310,.1,\n"  # partly
    )
    listed = "bench score odd.csv whole.csv --videos v.csv"
    done = run(listed)
    assert done.code == EXIT_USAGE and "'c_1'" in done.err  # as before: a typing error, perhaps
    done = run(f"{listed} --unplaced drop")
    assert done.code == EXIT_OK, done.err
    assert (
        "predictions without a clear place: 1 partly outside the video (kept), 1 unknown video "
        "(left out: no false positive here), 1 duplicate (left out: no false positive here), 1 "
        "outside the video (left out: no false positive here)"
    ) in done.out
    assert cells(done.out, "aumer")[1:6:2] == ["1/2/1", "1/0/1", "2/2/2"]
    (tmp_path / "odd.csv").write_text(PREDICTIONS + "a_1,macro,99,5,.1,\na_1,macro,5,99,.1,\n")
    done = run("bench score odd.csv whole.csv")
    assert done.code == EXIT_USAGE and "offset 5 lies before onset 99" in done.err
    told = json.loads(run("bench score odd.csv whole.csv --unplaced drop --json").out)
    assert told["placement"] == {
        "kept": {},
        "left_out": {"reversed": 1, "duplicate": 1},
        "other_lengths": [],
    }
    (tmp_path / "odd.csv").write_text(PREDICTIONS + "a_1,macro,5,99,.1,\n")
    done = run("bench score odd.csv whole.csv")
    assert "1 duplicate (kept)" in done.out and cells(done.out, "aumer")[1] == "1/2/1"
    done = run("bench score odd.csv whole.csv --unplaced dorp")
    assert done.code == EXIT_USAGE and "Did you mean 'drop'" in done.err


def test_readers_are_listed(run: Any) -> None:
    done = run("bench readers")
    assert done.code == EXIT_OK
    for name in ("table", "headerless", "json-lists", "mat", "npy", "per-video"):
        assert f"\n{name} " in f"\n{done.out}"


def test_a_published_row(run: Any, shared_data: Callable[[str], Path]) -> None:
    row = shared_data("evaluator/tsmsnet_casme_sq_macro_truth.csv").parent / "tsmsnet_casme_sq_"
    files = f"{row}macro_predictions.csv {row}macro_truth.csv"
    done = run(f"bench score {files} --evaluator all --expect-macro 300")
    assert cells(done.out, "aumer")[1:3] == ["76/288/224", "0.2289"]
    assert cells(done.out, "megc2020")[1:3] == ["81/283/219", "0.2440"]


def test_a_mean_over_nothing_is_no_number(run: Any, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("video,kind,onset,offset\nv,micro,1,9\n")
    (tmp_path / "t.csv").write_text("video,kind,onset,offset,subject\nv,micro,1,9,s1\n")
    found = json.loads(run("bench score p.csv t.csv --per-subject --json").out)
    text = json.dumps(found)
    assert '"mean_subject_f1": null' in text and '"mean_subject_f1": 1.0' in text
