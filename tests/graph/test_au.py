from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aumer._data import data_dir
from aumer.data import read_table
from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.graph.au import FACS, MAPS, PUBLISHED, ActionUnit, parse, read, read_annotations
from aumer.graph.rois import DEFAULT_ROIS
from aumer.simulate.anatomy import ACTION_UNITS, displacement
from aumer.types import Annotation

#: The workbooks and tables of the field, and the rows in each.
TABLES = [
    ("casme-sq", "casme_sq_coding.xlsx", 357),
    ("auwgcn-csv", "casme_sq_auwgcn.csv", 357),
    ("auwgcn-csv", "samm_lv_25fps_auwgcn.csv", 502),
    ("samm-lv", "samm_lv_coding.xlsx", 502),
    ("casme2", "casme2_coding.xlsx", 255),
    ("casme2", "casme2_coding_2019.xlsx", 255),
    ("samm", "samm_micro_facs_codes.xlsx", 159),
    ("casme3", "casme3_part_a.xlsx", 860),
    ("dfme", "dfme_train.xlsx", 1856),
]


def brief(text: object) -> list[str]:
    """Each code in short: number, l/r side, levels, and marks ? A T B ref, alternative."""
    return [
        f"{u.number}"
        + {"both": "", "left": "l", "right": "r"}[u.side]
        + u.intensity
        + ("?" if u.uncertain else "")
        + ("~" if u.asymmetric else "")
        + (f" {u.part}" if u.part else "")
        + (" ref" if u.reflected else "")
        + (f" #{u.alternative}" if u.alternative else "")
        for u in read(text).units  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("4+10+14", "4 10 14"),
        ("4(B/C)+7B", "4B/C 7B"),
        ("L12", "12l"),
        ("R14+17", "14r 17"),
        ("12?", "12?"),
        (" 4 + L10 ", "4 10l"),
        ("12.0", "12"),
        ("4.0+7.0", "4 7"),
        (12, "12"),
        (12.0, "12"),
        ("l12b", "12lB"),
        ("AU4 + AU12", "4 12"),
        ("12B ?", "12B?"),
        ("1D/E+2D/E", "1D/E 2D/E"),
        ("12(B/A)", "12B/A"),
        ("R2(C and then B)", "2rC/B"),
        ("A12", "12~"),
        ("A/L12", "12l?"),
        ("(L/A)4B", "4B?"),
        ("A(4B/C)+5B", "4B/C~ 5B"),
        ("4,7;12", "4 7 12"),
    ],
)
def test_as_coders_write(text: object, codes: str) -> None:
    assert brief(text) == codes.split()
    assert read(text).unread == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("T18+B23", ["18 top", "23 bottom"]),
        ("ref(10A)+A12B", ["10A ref", "12B~"]),
        ("6C/D+ref(7)12E", ["6C/D", "7 ref", "12E"]),
        ("9A ref (L12 or L10)", ["9A", "12l? ref", "10l? ref #1"]),
        ("12A or 14A", ["12A?", "14A? #1"]),
        ("17B+(23/24)", ["17B", "23?", "24? #1"]),
        ("24 or 31 or 80", ["24?", "31? #1", "80? #2"]),
        ("A4C+R(12or14)B+38", ["4C~", "12rB?", "14rB? #1", "38"]),
        ("26+((8+25)or(50))", ["26", "8?", "25?", "50? #1"]),
        ("7A/B+L10A/B)+12C", ["7A/B", "10lA/B", "12C"]),  # a bracket that nothing opened
    ],
)
def test_alternatives_parts_and_what_is_reflected(text: str, codes: list[str]) -> None:
    assert brief(text) == codes
    assert read(text).unread == ()


def test_of_alternatives_the_first_is_made_and_nothing_reflected_is() -> None:
    made = [u.number for u in parse("1+12 or 14+ref(4 or 5)+(17/24)") if u.made]
    assert made == [1, 12, 17]


@pytest.mark.parametrize("text", ["", "  ", None, "nan", "NULL", "None", float("nan")])
def test_an_empty_cell_holds_nothing(text: str | float | None) -> None:
    assert parse(text) == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("12+AD31+AD38", "AU AD AU"),  # 38 is an AU, whatever letters stand before it
        ("4+M58+62", "AU head eye"),
        ("26+ADR30", "AU AD"),
        ("43E+71+80", "AU visibility gross"),
    ],
)
def test_codes_have_facs_kinds(text: str, kinds: str) -> None:
    assert [u.kind for u in parse(text)] == kinds.split()


def test_side_after_the_letters_counts() -> None:
    assert [(u.number, u.side, u.text) for u in parse("ADR30")] == [(30, "right", "ADR30")]


@pytest.mark.parametrize(
    ("text", "codes", "unread"),
    [
        ("4+glare", "4", "glare"),
        ("7D+all of the above", "7D", "all of the above"),
        ("subject do 2x  R2B", "2rB", "subject do 2x"),
        ("80 (big swallow)", "80", "big swallow"),
        ("twice - L1B+25", "1lB 25", "twice -"),
        ("3+25", "25", "3"),
        ("0", "", "0"),
        ("100", "", "100"),
        ("4.1", "", "4.1"),
        ("-4", "", "-4"),
        ("?", "", "?"),
        ("Chewing", "", "Chewing"),
        ("(1B+2A)or(loses AU4)", "1B? 2A?", "loses AU4"),
    ],
)
def test_what_is_no_code_is_told(text: str, codes: str, unread: str) -> None:
    assert brief(text) == codes.split()
    assert [piece for piece, _ in read(text).unread] == [unread]
    with pytest.raises(UsageError, match=re.escape(repr(unread))):
        parse(text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "L", "R", "A"]),
            st.sampled_from([1, 2, 4, 6, 9, 10, 12, 17, 24, 25, 38]),
            st.sampled_from(["", *"ABCDE"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["+", " + ", "+ "]),
)
def test_whatever_codes_are_joined_come_back(codes: list[tuple[str, int, str]], joint: str) -> None:
    found = parse(joint.join(f"{mark}{number}{level}" for mark, number, level in codes))
    sides = {"": "both", "A": "both", "L": "left", "R": "right"}
    assert [(u.side, u.number, u.intensity, u.asymmetric) for u in found] == [
        (sides[mark], number, level, mark == "A") for mark, number, level in codes
    ]
    assert [u.text for u in found] == ["".join(map(str, code)) for code in codes]


@given(st.text(alphabet="0123456789LRATBCDEor+()/?. refADUMxloses-", max_size=30))
def test_no_text_breaks_it_and_no_digit_is_lost(text: str) -> None:
    """Every digit is in a code or in what is told to be none."""
    found = read(text)
    kept = "".join([*(u.text for u in found.units), *(piece for piece, _ in found.unread)])
    missing = set(re.findall(r"\d", text)) - set(re.findall(r"\d", kept))
    assert not missing or text.strip().lower() in ("nan", "null", "none")


# Whole tables


def annotation(aus: str, row: int = 7) -> Annotation:
    return Annotation("s1", "v", "micro", 1, 2, 3, aus, row=row)


def test_a_table_is_read_or_refused_by_row_and_text() -> None:
    rows = [annotation("4+7", 2), annotation("4+glare", 3), annotation("?", 4), annotation("", 5)]
    coded, refused = read_annotations(rows)
    assert [(c.annotation.row, [u.number for u in c.units]) for c in coded] == [
        (2, [4, 7]),
        (3, [4]),
    ]
    assert [(r.row, r.text, r.piece) for r in refused] == [
        (3, "4+glare", "glare"),
        (4, "?", "?"),
        (5, "", ""),
    ]
    assert str(refused[0]) == "row 3 (s1/v): no code: 'glare' in '4+glare'"
    assert "no action unit is coded" in str(refused[2])


@pytest.mark.parametrize(("dataset", "file", "count"), TABLES)
def test_every_row_of_the_fields_tables_is_read_or_refused(
    dataset: str, file: str, count: int, shared_data: Callable[[str], Path]
) -> None:
    rows = read_table(dataset, shared_data(f"annotations/{file}"))
    coded, refused = read_annotations(rows)
    assert len(rows) == count
    read_rows, refused_rows = {c.annotation.row for c in coded}, {r.row for r in refused}
    assert read_rows | refused_rows == {a.row for a in rows}
    pieces = Counter(r.piece for r in refused)
    samm_lv = {
        "glare": 3,
        "all of the above": 1,
        "3": 1,
        "subject do 2x": 1,
        "big swallow": 1,
        "Chewing": 1,
        "reaction?": 1,
        "loses AU4": 1,
        "loses 1+2": 1,
        "twice -": 1,
        "double": 2,
        "soft focus": 1,
    }
    expected = {
        "samm_lv_coding.xlsx": samm_lv,
        "samm_lv_25fps_auwgcn.csv": samm_lv,
        "casme2_coding.xlsx": {"?": 5},
        "samm_micro_facs_codes.xlsx": {"soft focus": 1},
    }
    assert pieces == expected.get(file, {})


def test_counts_are_those_of_the_fields_statistics(shared_data: Callable[[str], Path]) -> None:
    import json

    expected = json.loads(shared_data("annotations/au_statistics.json").read_text())
    for key, dataset, file in (
        ("CASME_sq", "casme-sq", "casme_sq_coding.xlsx"),
        ("CASME2", "casme2", "casme2_coding_2019.xlsx"),
    ):
        coded, _ = read_annotations(read_table(dataset, shared_data(f"annotations/{file}")))
        found = Counter(str(n) for c in coded for n in {u.number for u in c.units})
        assert found == expected[key]["au"]


def test_every_code_of_the_tables_is_in_the_facs_map_or_known_to_move_nothing(
    shared_data: Callable[[str], Path],
) -> None:
    for dataset, file, _ in TABLES:
        coded, _ = read_annotations(read_table(dataset, shared_data(f"annotations/{file}")))
        aus = {u.number for c in coded for u in c.units if u.kind == "AU"}
        assert aus <= set(FACS.moves) | set(FACS.still), file


# What moves what


def test_the_published_map_is_the_fields() -> None:
    nodes = {n: {DEFAULT_ROIS.names.index(r) for r in rois} for n, rois in PUBLISHED.moves.items()}
    assert nodes == {
        1: {0, 1, 4, 5},
        2: {2, 3},
        12: {8, 10},
        14: {8, 10},
        25: {9, 11},
        26: {9, 11},
    }


def test_facs_has_what_the_published_map_lacks() -> None:
    assert {4, 6, 7, 9, 10, 15, 17, 20, 23, 24} <= set(FACS.moves)
    assert all("inner" in roi for roi in FACS.moves[1])
    assert not any("inner" in roi for roi in FACS.moves[2])
    assert {roi for rois in FACS.moves.values() for roi in rois} == set(DEFAULT_ROIS.names)
    assert not set(FACS.moves) & set(FACS.still)


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_alike_on_both_sides(name: str) -> None:
    for number, rois in MAPS[name].moves.items():
        unit = ActionUnit(number)
        left, right = (MAPS[name].moved(replace(unit, side=s)) for s in ("left", "right"))  # type: ignore[arg-type]
        assert set(left) | set(right) == set(rois)
        assert {r.replace("_l", "_r") for r in left if not r.startswith("lip")} == {
            r for r in right if not r.startswith("lip")
        }
        assert set(left) & set(right) == {r for r in rois if not {"l", "r"} & set(r.split("_"))}


def test_one_sided_actions_move_one_side() -> None:
    assert FACS.moved(parse("L12")[0]) == ("mouth_l",)
    assert FACS.moved(parse("R4")[0]) == (
        "brow_r_mid_inner",
        "brow_r_mid",
        "brow_r_mid_outer",
        "nose_bridge",
    )
    assert FACS.moved(parse("A12")[0]) == ("mouth_r", "mouth_l")
    assert FACS.moved(parse("AD31")[0]) == FACS.moved(parse("62")[0]) == ()


#: What the simulator's smooth pushes do not show at an ROI's center; README.md of au_priors argues.
_BY_ANATOMY = {
    4: {"nose_bridge"},
    7: {"nose_bridge"},
    9: {"nose_bridge"},
    18: {"lip_upper", "lip_lower"},
    38: {"nose_tip"},
    39: {"nose_tip"},
}


@pytest.mark.parametrize("number", sorted(set(FACS.moves) & set(ACTION_UNITS)))
def test_the_simulator_moves_the_same_rois(number: int) -> None:
    places = MEAN_FACE[list(DEFAULT_ROIS.landmarks), :2]
    length = np.linalg.norm(displacement({(number, "both"): 1.0}, places), axis=1)
    moved = dict(zip(DEFAULT_ROIS.names, length / max(length.max(), 0.01), strict=True))
    mapped = set(FACS.moves[number])
    for roi, share in moved.items():
        if share >= 0.6:
            assert roi in mapped, f"AU{number} moves {roi} by {share:.0%} of what it moves most"
    still = {roi for roi in mapped if moved[roi] < 0.2}
    assert still == _BY_ANATOMY.get(number, set())


@pytest.mark.parametrize("number", sorted(set(FACS.still) & set(ACTION_UNITS)))
def test_what_moves_no_roi_moves_none_in_the_simulator(number: int) -> None:
    places = MEAN_FACE[list(DEFAULT_ROIS.landmarks), :2]
    length = np.linalg.norm(displacement({(number, "both"): 1.0}, places), axis=1)
    assert length.max() < 0.01  # .5 px of 64 between the eye corners


def test_the_readme_argues_every_line_of_the_map() -> None:
    text = (data_dir("au_priors") / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE)
    short = {
        "inner": "brow_*_mid_inner",
        "middle": "brow_*_mid",
        "outer": "brow_*_mid_outer",
        "corners": "mouth_*",
        "upper lip": "lip_upper",
        "lower lip": "lip_lower",
        "bridge": "nose_bridge",
        "tip": "nose_tip",
        "none": "",
    }
    found = {
        int(number): {
            short[word.strip()].replace("*", side) for word in rois.split(",") for side in "rl"
        }
        - {""}
        for number, rois in rows
    }
    assert found == {
        **{n: set(rois) for n, rois in FACS.moves.items()},
        **{n: set() for n in FACS.still},
    }
