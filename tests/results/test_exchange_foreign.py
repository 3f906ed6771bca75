"""Files as other people and their programs make them: read as far as they are of expressions, or
told; never read as nothing, and never a fault for what has nothing to do with expressions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aumer.cli import main
from aumer.errors import UsageError
from aumer.results.annotations import read_any
from aumer.results.exchange import Exchange, Timed, annotated_videos, convert, read_annotations
from aumer.results.formats import format_named
from tests.cost import cpu_seconds
from tests.results.conftest import expression, make
from tests.results.test_exchange import LABELS, timed

MICRO = Timed("micro", 1.0, 1.499)
JOY = replace(MICRO, label="joy")


def eaf(slots: dict[str, int | None], tiers: str, before: str = "") -> str:
    order = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{k}"' + ("/>" if v is None else f' TIME_VALUE="{v}"/>')
        for k, v in slots.items()
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{before}<ANNOTATION_DOCUMENT AUTHOR="" DATE=""'
        f' FORMAT="3.0" VERSION="3.0"><TIME_ORDER>{order}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>'
    )


def tier(name: str, *annotations: str, parent: str = "") -> str:
    of = f' PARENT_REF="{parent}"' if parent else ""
    inside = "".join(f"<ANNOTATION>{a}</ANNOTATION>" for a in annotations)
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="x"{of}>{inside}</TIER>'


def aligned(id: str, first: str, last: str, words: str) -> str:
    return (
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="{id}" TIME_SLOT_REF1="{first}" '
        f'TIME_SLOT_REF2="{last}"><ANNOTATION_VALUE>{words}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION>"
    )


def refers(id: str, to: str, words: str) -> str:
    return (
        f'<REF_ANNOTATION ANNOTATION_ID="{id}" ANNOTATION_REF="{to}"><ANNOTATION_VALUE>{words}'
        "</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


TWO: dict[str, int | None] = {"ts1": 1000, "ts2": 1500}
GRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n3\n<exists>\n2\n"IntervalTier"\n'
    '"micro"\n0\n3\n3\n0\n1\n"" ! silence until 1\n1\n1.5\n"jöy"\n1.5\n3\n""\n"TextTier"\n'
    '"Micro Apex"\n0\n3\n1\n1.2\n"x"\n'
)
JOEY = replace(MICRO, label="jöy", apex_s=1.2)


READ = [
        ("tags and speech.srt", "1\n00:00:01,000 --> 00:00:01,500\n<i>micro</i>\n\n2\n"
         "00:00:03,000 --> 00:00:04,000\nHello, world\n", [MICRO]),
        ("places.srt", "\ufeff1\r\n00:00:01,000 --> 00:00:01,500 X1:10 Y1:2\r\n{\\an8}Micro\r\n",
         [MICRO]),
        ("no blanks.srt", "1\n00:00:01.000-->00:00:01.500\nmicro/joy\n", [JOY]),
        ("of a mac.srt", "1\r00:00:01,000 --> 00:00:01,500\rmicro: joy\r", [JOY]),
        ("by hand.srt", "1\n00:00:01,000 --> 00:00:01,500\nmicro\nlabel: joy\nan odd one\nscore: ?",
         [replace(JOY, comment="an odd one\nscore: ?")]),
        ("no length.srt", "1\n00:00:01,000 --> 00:00:01,000\nmicro\n", [Timed("micro", 1.0, 1.0)]),
        ("no hours.vtt", "WEBVTT - a title\nKind: captions\n\nNOTE micro\n\nSTYLE\n::cue {}\n\nid\n"
         "00:01.000 --> 00:01.500 align:start\n<v Anna><i>micro</i>\nlabel: &lt;joy&gt;\n\n"
         "00:03.000 --> 00:04.000\n- Hello\n", [replace(MICRO, label="<joy>")]),
        ("many hours.vtt", "WEBVTT\n\n100:00:01.000 --> 100:00:01.500\nmicro\n",
         [Timed("micro", 360001.0, 360001.499)]),
        ("speakers.rttm", ";; note\nSPKR-INFO f 1 <NA> <NA> <NA> unknown micro <NA>\n"
         "SPEAKER f 1 1.0 .5 <NA> <NA> Micro:joy\nSPEAKER f 1 2 .5 <NA> <NA> spk1 <NA> <NA>\n",
         [JOY]),
        ("utf8.TextGrid", GRID, [JOEY]),
        ("utf16.TextGrid", GRID.encode("utf-16-be"), [JOEY]),
        ("latin1.TextGrid", GRID.encode("latin-1"), [JOEY]),
        ("crlf.TextGrid", GRID.replace("\n", "\r\n").encode("utf-16"), [JOEY]),
        ("ours of before.TextGrid", GRID.replace('"jöy"', '"micro\nlabel: ""jöy""\nscore: 0.5"'),
         [replace(JOEY, score=0.5)]),
        ("by hand.TextGrid", GRID.replace('"jöy"', '"micro\nlabel: jöy"'), [JOEY]),
        ("comma.csv", "file;type;onset_s;offset_s;emotion\na.mp4;me;1,0;1,499;joy\n", [JOY]),
        ("frames.csv", "\ufeffvideo,kind,onset,apex,offset,fps\r\na,micro,10,12,15,10\r\n",
         [Timed("micro", 1.0, 1.5, 1.2)]),
        ("none.csv", "video,kind,onset,offset\na.mp4,none,,\n", []),
        ("a reference.eaf", eaf(TWO, tier("expression", aligned("a1", "ts1", "ts2", "x"))
         + tier("kind", refers("a2", "a1", "?"), parent="expression")
         + tier("micro", refers("a3", "a2", "joy"), parent="kind")), [JOY]),
        ("not aligned.eaf", eaf({"ts1": 1000, "ts9": None, "ts2": 2000, "ts3": None}, tier("micro",
         aligned("a1", "ts1", "ts9", "micro"), aligned("a2", "ts9", "ts2", "joy"))
         + tier("words", aligned("a3", "ts2", "ts3", "well"))),
         [MICRO, Timed("micro", 1.5, 1.999, None, "joy")]),
        ("nothing.eaf", eaf({}, tier("micro") + tier("label@micro", parent="micro")), []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "found"), READ, ids=[one[0] for one in READ])
def test_it_is_read(tmp_path: Path, name: str, content: str | bytes, found: list[Timed]) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert list(read_annotations(path)) == found
    assert len(read_any(path).expressions) == len(found)


BOMB = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12))


TOLD = [
        ("speech.srt", "1\n00:00:01,000 --> 00:00:01,500\nHello\n", "begins with micro.*'Hello'"),
        ("times.vtt", "WEBVTT\n\n1 --> 2\nmicro\n", "line 3: .*does not say times"),
        ("back.vtt", "WEBVTT\n\n00:03.0 --> 00:02.5\nmicro\n", "line 3: .*before it begins"),
        ("other.vtt", "WEBVTTX\n", "first line is not WEBVTT"),
        ("speech.rttm", "SPEAKER f 1 1 .5 <NA> <NA> Ann <NA> <NA>\n", "no speaker .* 'Ann'"),
        ("text.rttm", "hello\n", "no line begins with SPEAKER"),
        ("short.rttm", "SPEAKER f 1 1 .5\n", "line 1: it has 5 fields"),
        ("binary.TextGrid", b"ooBinaryFile\x08TextGrid", "binary file; save it in Praat"),
        ("chronological.TextGrid", '"Praat chronological TextGrid text file"\n0 3\n',
         "chronological"),
        ("no tiers.TextGrid", GRID[: GRID.index("<exists>")] + "<absent>\n", "its tiers are none"),
        ("cut.TextGrid", GRID[:130], "ends too early"),
        ("back.TextGrid", GRID.replace("1\n1.5\n", "1\n0.5\n"), "tier 'micro', 1.0 s: .*before"),
        ("comma_events.tsv", "onset\tduration\ttrial_type\n1,5\t1\tmicro\n", "line 2: .*'1,5'"),
        ("apex_events.tsv", "onset\tduration\ttrial_type\tapex\n1.5\t1\tmicro\t9\n", "line 2: .*9"),
        ("apex-annot.txt", "# MNE-Annotations\n# onset, duration, description, apex\n1,.5,micro,9",
         "line 3: .*9"),
        ("frames.csv", "video,kind,onset,offset\na,micro,1,2\n", "line 2.*frame rate; add a col"),
        ("apex.csv", "video,kind,onset_s,apex_s,offset_s\na,micro,1,9,2\n", "line 2.*9"),
        ("score.rttm", "SPEAKER f 1 1.0 .5 <NA> <NA> micro 7 <NA>\n", "score must lie in"),
        ("cycle.eaf", eaf(TWO, tier("kind", refers("a1", "a2", "x")) + tier("micro",
         refers("a2", "a1", "x"))), "a2 refers to none that has times"),
        ("back.eaf", eaf({"ts1": 2000, "ts2": 1500}, tier("micro", aligned("a1", "ts1", "ts2",
         "x"))), "a1: .*before it begins"),
        ("bomb.eaf", eaf(TWO, tier("micro", aligned("a1", "ts1", "ts2", "&a11;")),
         f'<!DOCTYPE l [<!ENTITY a0 "lol">{BOMB}]>'), "amplification"),
        ("outside.eaf", eaf(TWO, tier("micro", aligned("a1", "ts1", "ts2", "&e;")),
         '<!DOCTYPE l [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), "undefined entity"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "why"), TOLD, ids=[one[0] for one in TOLD])
def test_it_is_told(tmp_path: Path, name: str, content: str | bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=why):
        read_any(path)


@pytest.mark.parametrize("name", ["many.csv", "many.rttm"])
def test_of_several_videos_one_is_said(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    made = format_named(name[-4:].strip("."))
    assert isinstance(made, Exchange)
    texts = [made.text(f"day 1/{v}.mp4", [replace(MICRO, label=v)]) for v in "ab"]
    header = name.endswith(".csv")
    path.write_text(texts[0] + (texts[1].partition("\n")[2] if header else texts[1]))
    assert annotated_videos(path) == ("day 1/a.mp4", "day 1/b.mp4")
    with pytest.raises(UsageError, match=r"2 videos: 'day 1/a.mp4', 'day 1/b.mp4'. Say of which"):
        read_annotations(path)
    assert [e.label for e in read_annotations(path, video="b")] == ["b"]
    with pytest.raises(UsageError, match="no expression of a video 'c'"):
        read_annotations(path, video="c")
    target = str(tmp_path / "b.eaf")
    assert main(["convert", str(path), target]) == 2
    assert "--video" in capsys.readouterr().err
    assert main(["convert", str(path), target, "--video", "b.mp4"]) == 0
    assert [e.label for e in read_annotations(target)] == ["b"]
    with pytest.raises(UsageError, match="does not name its video"):
        read_annotations(target, video="b")


@example(given_=[replace(MICRO, label="0\r0"), replace(MICRO, label="a\nb")])
@settings(max_examples=30, deadline=None)
@given(given_=st.lists(timed(), max_size=4))
def test_a_table_comes_back(given_: list[Timed]) -> None:
    made = format_named("csv")
    assert isinstance(made, Exchange)
    # A cell has no blanks around it, and one that is empty says nothing.
    plain = [replace(g, label=(g.label or "").strip() or None) for g in given_]
    plain = [replace(g, label=None) if (g.label or "").casefold() == "nan" else g for g in plain]
    assert list(made.parse(made.text("x.mp4", plain))) == plain


@pytest.mark.parametrize(
    "suffix", [".eaf", ".textgrid", "_events.tsv", "-annot.txt", ".vtt", ".srt", ".csv"]
)
@settings(max_examples=15, deadline=None)
@given(label=LABELS, comment=LABELS)
def test_a_comment_goes_with_it(suffix: str, label: str | None, comment: str | None) -> None:
    made = format_named(suffix[-3:].replace("rid", "textgrid"))
    assert isinstance(made, Exchange)
    words = " ".join(("".join(c for c in comment or "" if c.isprintable())).split())
    plain = "".join(c for c in label or "" if c.isprintable()).strip() or None
    if plain in ("n/a", "nan", "NaN", "NAN") or words == "n/a":
        return
    given_ = Timed("micro", 1.0, 1.5, 1.2, plain, 0.5, comment=words)
    (found,) = made.parse(made.text("x.mp4", [given_]))
    assert (found.label, found.comment, found.score) == (plain, words, 0.5)


def test_what_is_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = make(60, [replace(expression("micro", 3, 6, 9), label="n/a"),
                       expression("macro", 6, 20, 40)])  # fmt: skip
    result.save(tmp_path / "r.json")
    for target, lost in (
        ("r.rttm", "apexes (2), scores over time, settings and versions"),
        ("r_events.tsv", "labels (1), scores over time, settings and versions"),
        ("r.eaf", "settings and versions"),
    ):
        assert main(["convert", str(tmp_path / "r.json"), str(tmp_path / target)]) == 0
        assert f"{target} has no place for: {lost}. Keep" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "r.eaf"), str(tmp_path / "r.vtt")]) == 0
    assert "no place" not in capsys.readouterr().err
    result.save(tmp_path / "a.annotations")
    done = convert(tmp_path / "a.annotations", tmp_path / "a.rttm")
    assert done.lost == "apexes (2), the history of changes, the video's digest"


@pytest.mark.parametrize("suffix", ["eaf", "textgrid", "vtt", "rttm", "csv"])
def test_a_long_file_takes_no_longer_than_its_length(suffix: str) -> None:
    """Twice as many expressions took four times as long, where each looked through all apexes."""
    made = format_named(suffix)
    assert isinstance(made, Exchange)

    def cost(count: int) -> float:
        text = made.text("x", [Timed("micro", k, k + 0.4, k + 0.2) for k in range(count)])
        assert len(made.parse(text)) == count
        return cpu_seconds(lambda: made.parse(text))

    # Sixteen times as many take sixteen times as long; looking through all would take 256 times.
    assert cost(8000) < 80 * cost(500)


def test_a_textgrid_is_read_line_by_line(tmp_path: Path) -> None:
    """As other readers than Praat do: no text of ours reaches over a line."""
    made = format_named("textgrid")
    assert isinstance(made, Exchange)
    text = made.text("x", [replace(JOY, label='two\nlines "', score=0.5, comment="a\tb")])
    assert all(line.count('"') % 2 == 0 for line in text.split("\n"))
    (found,) = made.parse(text)
    assert (found.label, found.score, found.comment) == ('two\nlines "', 0.5, "a\tb")
