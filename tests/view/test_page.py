"""The page in a real browser: the frame shown is the frame meant, and what is edited is saved.

``AUMER_VIEW_SEEKS=200`` seeks and steps more often than CI does.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aumer.results.annotations import AnnotationFile, marked, of_result, path_for
from aumer.results.drawing import GROUP_COLORS
from aumer.results.eaf import Eaf
from aumer.results.exchange import Timed
from aumer.types import ActingUnit
from tests.view import film
from tests.view.conftest import COUNT, Serve, Served, result_of

SEEKS = int(os.environ.get("AUMER_VIEW_SEEKS", "60"))


class Page:
    """The page, as a person at a keyboard and a mouse has it."""

    def __init__(self, browser: Any, served: Served) -> None:
        self.browser, self.served = browser, served

    def open(self, size: tuple[int, int] = (1280, 800)) -> None:
        width, height = size
        how = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)
        self.browser.get(self.served.site.address)
        self.until(
            lambda: self.drawn() >= 0 or self.run("return !!document.querySelector('dialog[open]')")
        )

    def run(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def until(self, true: Callable[[], Any], patience: float = 15.0) -> Any:
        end = time.monotonic() + patience
        while not (found := true()):
            assert time.monotonic() < end, f"waited in vain; the page says {self.notice()!r}"
            time.sleep(0.01)
        return found

    def notice(self) -> str:
        return str(self.run("return document.getElementById('notice').textContent"))

    def status(self) -> str:
        return str(self.run("return document.getElementById('status').textContent"))

    def drawn(self) -> int:
        """The frame that the canvas says it shows."""
        return int(self.run("return document.getElementById('frame').dataset.frame ?? -1"))

    def number(self) -> int:
        """The number in the picture itself."""
        return int(self.run(film.READ))

    def keys(self, *keys: str, on: str = "body") -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        chain = ActionChains(self.browser, duration=0)
        for key in keys:
            *held, last = key.split("+") if len(key) > 1 and key != "+" else [key]
            for name in held:
                chain.key_down(getattr(Keys, name.upper()))
            chain.send_keys(getattr(Keys, last.upper(), last) if len(last) > 1 else last)
            for name in held:
                chain.key_up(getattr(Keys, name.upper()))
        chain.perform()

    def write(self, id: str, text: str) -> None:
        box = self.browser.find_element("id", id)
        box.clear()
        box.send_keys(text)

    def click(self, id: str) -> None:
        self.browser.find_element("id", id).click()

    def choose(self, id: str, value: str) -> None:
        self.run(
            "const b = document.getElementById(arguments[0]); b.value = arguments[1];"
            "b.dispatchEvent(new Event('change'));", id, value,
        )  # fmt: skip

    def go(self, frame: int) -> None:
        self.choose("number", str(frame))
        self.until(lambda: self.drawn() == frame)

    def rows(self) -> list[list[int]]:
        """Of each expression in the list the fields of the editor, once it is chosen."""
        count = self.run("return document.querySelectorAll('[role=option]').length")
        found = []
        for k in range(count):
            self.run("document.querySelectorAll('[role=option]')[arguments[0]].click()", k)
            found.append([int(self.value(part)) for part in ("onset", "apex", "offset")])
        return found

    def timeline(self) -> list[float]:
        """Left, top, width and height of what is drawn in it."""
        found: list[float] = self.run(
            "const c = document.getElementById('timeline'), b = c.getBoundingClientRect();"
            "const left = Number(c.dataset.left);"
            "return [b.left + c.clientLeft + left, b.top + c.clientTop, c.clientWidth - left,"
            "  c.clientHeight];"
        )
        return found

    def value(self, id: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).value", id))

    def log(self) -> list[str]:
        """What the browser complains of, but for what the tests ask for: a conflict, a server that
        ends, pixels read back."""
        said = [e["message"] for e in self.browser.get_log("browser")]
        usual = ("409", "ERR_CONNECTION_REFUSED", "willReadFrequently")
        return [line for line in said if not any(word in line for word in usual)]


@pytest.fixture
def page(browser: Any) -> Iterator[Callable[[Served], Page]]:
    pages = []

    def made(served: Served) -> Page:
        pages.append(Page(browser, served))
        return pages[-1]

    yield made
    # Else it would ask whether what was edited shall be lost.
    browser.execute_script("window.onbeforeunload = null;")
    browser.get("about:blank")
    assert [line for one in pages for line in one.log()] == []


@pytest.mark.parametrize("name", ["constant.mp4", "variable.mp4"])
def test_the_frame_shown_is_the_frame_meant(
    films: Path, serve: Serve, page: Any, name: str
) -> None:
    """By seeks and steps, each frame's number read back from its pixels."""
    with serve(films / name) as served:
        p = page(served)
        p.open()
        rng = np.random.default_rng(2)
        now = p.drawn()
        wrong = []
        for k in range(SEEKS):
            if k % 3 == 0:  # a click on a frame in the timeline
                left, top, width, height = p.timeline()
                x = int(rng.integers(left + 8, left + width - 8))
                times = served.shown[0].frames.times
                now = int(np.searchsorted(times, _time(times, (x - left) / width), "right")) - 1
                _click(p, x, top + height - 20)
            elif k % 3 == 1:
                now = int(rng.integers(COUNT))
                p.choose("number", str(now))
            else:
                key, by = [("ARROW_RIGHT", 1), ("ARROW_LEFT", -1), ("SHIFT+ARROW_RIGHT", 10)][
                    int(rng.integers(3))
                ]
                now = min(max(now + by, 0), COUNT - 1)
                p.keys(key)
            p.until(lambda now=now: p.drawn() == now)
            if p.number() != now:
                wrong.append((now, p.number()))
        assert wrong == []


def _time(times: Any, share: float) -> float:
    """The time at a share of the timeline's width, while it shows the whole video."""
    length = float(times[-1] - times[0])
    return float(times[0]) + (1.02 * share - 0.01) * length


def _click(p: Page, x: float, y: float) -> None:
    for kind in ("mousePressed", "mouseReleased"):
        p.browser.execute_cdp_cmd(
            "Input.dispatchMouseEvent",
            {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1},
        )


def _drag(p: Page, x0: float, x1: float, y: float) -> None:
    def event(kind: str, x: float) -> None:
        how = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        p.browser.execute_cdp_cmd("Input.dispatchMouseEvent", how)

    event("mousePressed", x0)
    for share in (0.3, 0.7, 1.0):
        event("mouseMoved", x0 + share * (x1 - x0))
    event("mouseReleased", x1)


@pytest.mark.parametrize("name", ["constant.mp4", "variable.mp4", "lossless.avi", "turned.mp4"])
def test_while_it_plays_too(films: Path, serve: Serve, page: Any, name: str) -> None:
    """What the page says is shown is what is in the picture, whoever decodes it."""
    with serve(films / name) as served:
        p = page(served)
        p.open()
        said = "return document.getElementById('source').textContent"
        if name == "lossless.avi":
            p.until(lambda: "frames come from the server" in p.run(said))
        else:
            p.until(lambda: p.run(said) == "")
        p.choose("speed", "0.5")
        p.go(20)
        p.run(
            "window.seen = []; const c = document.getElementById('frame');"
            f"const read = () => {{ {film.READ} }};"
            "new MutationObserver(() => seen.push([Number(c.dataset.frame), read()]))"
            ".observe(c, { attributes: true, attributeFilter: ['data-frame'] });"
        )
        p.keys(" ")
        p.until(lambda: p.run("return seen.length") > 12)
        p.keys(" ")
        p.until(lambda: p.run("return document.getElementById('play').ariaPressed") == "false")
        time.sleep(0.2)
        seen = p.run("return seen")
        assert [one for one in seen if one[0] != one[1]] == []
        assert [one[0] for one in seen] == sorted(one[0] for one in seen)
        assert p.number() == p.drawn() == seen[-1][0]


def test_a_player_that_stops_is_left(films: Path, serve: Serve, page: Any) -> None:
    """Some films Chromium opens, and then gives no frame of them after a seek."""
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        said = "return document.getElementById('source').textContent"
        p.until(lambda: p.run(said) == "")
        p.run("HTMLVideoElement.prototype.requestVideoFrameCallback = () => 0;")
        p.go(20)
        p.keys(" ")
        p.until(lambda: "the browser stops in this film" in p.run(said))
        p.until(lambda: p.drawn() > 25)
        p.keys(" ")
        time.sleep(0.3)
        assert p.number() == p.drawn()


def test_a_loop_stays_within_its_interval(
    films: Path, serve: Serve, page: Any, motion: Any
) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        e = served.shown[0].layers[0].file.expressions[0]
        p = page(served)
        p.open()
        p.until(lambda: p.run("return document.getElementById('source').textContent") == "")
        p.choose("speed", "2")
        p.run(
            "window.seen = []; const c = document.getElementById('frame');"
            "new MutationObserver(() => seen.push(Number(c.dataset.frame)))"
            ".observe(c, { attributes: true, attributeFilter: ['data-frame'] });"
        )
        p.keys("l", " ")
        assert e.onset is not None and e.offset is not None
        p.until(lambda: sum(b < a for a, b in itertools.pairwise(p.run("return seen"))) >= 2)
        p.keys(" ")
        seen = p.run("return seen")
        assert min(seen) >= e.onset and max(seen) <= e.offset


# -- correcting -----------------------------------------------------------------------------------


def test_by_keys_alone(films: Path, serve: Serve, page: Any, tmp_path: Path) -> None:
    """Add, move, relabel, comment, confirm, undo, save, load again, export: no mouse."""
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        assert p.rows() == []
        p.go(40)
        p.keys("m")
        assert p.rows() == [[40, 43, 47]]  # .3 s from here
        p.keys("ARROW_RIGHT", "ARROW_RIGHT", "i")
        p.until(lambda: p.rows() == [[42, 43, 47]])
        p.go(46)
        p.keys("a")
        p.go(55)
        p.keys("o", "k", "c")
        p.until(lambda: p.rows() == [[42, 46, 55]])
        assert p.value("kind") == "macro"
        p.keys("r")
        p.keys(*"joy", "ENTER")
        p.keys("t")
        p.keys(*"so so", "ENTER")
        # What else the keys do when a field has them: nothing.
        assert (p.value("label"), p.value("comment")) == ("joy", "so so")
        p.go(100)
        p.keys("M")
        assert len(p.rows()) == 2
        p.keys("CONTROL+z")
        assert len(p.rows()) == 1
        p.keys("CONTROL+SHIFT+z")
        assert len(p.rows()) == 2
        p.keys("DELETE")
        assert len(p.rows()) == 1
        for _ in range(12):
            p.keys("CONTROL+z")
        assert p.rows() == []  # everything undone
        for _ in range(12):
            p.keys("CONTROL+y")
        assert p.rows() == [[42, 46, 55]]
        p.keys("CONTROL+s")
        assert "coder" in p.notice().lower()  # nobody has said who they are; the field has the keys
        p.keys(*"anna", "CONTROL+s")
        p.until(lambda: "saved constant.mp4.anna.annotations" in p.status())
        (e,) = AnnotationFile.load(tmp_path / "constant.mp4.anna.annotations").expressions
        assert (e.kind, e.onset, e.apex, e.offset) == ("macro", 42, 46, 55)
        assert (e.label, e.comment, e.confirmed) == ("joy", "so so", True)
        assert (e.onset_s, e.offset_s) == (42 / 25, 55 / 25)

        p.open()  # loaded again
        assert p.rows() == [[42, 46, 55]]
        assert p.value("coder") == "anna"
        # What goes out is what stands on the page.
        text = p.browser.execute_async_script(
            "const done = arguments[0]; const make = URL.createObjectURL;"
            "URL.createObjectURL = (blob) => { blob.text().then(done); return make(blob); };"
            "HTMLAnchorElement.prototype.click = function () { window.named = this.download; };"
            "const b = document.getElementById('export'); b.value = '.eaf';"
            "b.dispatchEvent(new Event('change'));"
        )
        assert p.run("return window.named") == "constant.eaf"
        (out,) = Eaf().parse(text)
        assert (out.kind, out.label) == ("macro", "joy")
        assert out.onset_s == pytest.approx(42 / 25, abs=0.001)


def test_by_mouse(films: Path, serve: Serve, page: Any, motion: Any, tmp_path: Path) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        p = page(served)
        p.open()
        before = p.rows()
        onset, apex, offset = before[1]
        p.run("document.querySelectorAll('[role=option]')[1].click()")
        length = (COUNT - 1) / 25

        def x(frame: float) -> float:
            left, _, width, _ = p.timeline()  # a second lane comes once something is changed
            return left + width * (frame / 25 + 0.01 * length) / (1.02 * length)

        y = p.timeline()[1] + 35
        _drag(p, x(onset), x(onset - 5), y)
        p.until(lambda: p.drawn() == onset - 5)  # the frame of what is dragged is shown
        p.until(lambda: p.rows()[1] == [onset - 5, apex, offset])
        _drag(p, x(offset + 1), x(offset + 9), y)
        p.until(lambda: p.rows()[1] == [onset - 5, apex, offset + 8])
        _drag(p, x(apex), x(apex + 2), y)
        p.until(lambda: p.rows()[1] == [onset - 5, apex + 2, offset + 8])
        middle = (onset - 5 + apex + 2) / 2
        _drag(p, x(middle), x(middle + 4), y)
        p.until(lambda: p.rows()[1] == [onset - 1, apex + 6, offset + 12])
        for _ in range(4):  # each drag is one step
            p.click("undo")
        assert p.rows() == before
        assert not p.run("return document.getElementById('save').classList.contains('due')")
        assert p.run("return document.getElementById('undo').disabled")


def test_what_another_saved_is_asked_about(
    films: Path, serve: Serve, page: Any, tmp_path: Path
) -> None:
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.go(10)
        p.keys("m")
        path = tmp_path / "constant.mp4.anna.annotations"
        AnnotationFile("constant.mp4").changed([], "Anna").save(path)
        p.write("coder", "Anna")
        p.click("save")
        p.until(lambda: p.run("return document.getElementById('ask').open"))
        assert "Save over it?" in p.run("return document.getElementById('asktext').textContent")
        assert p.run("return document.activeElement.id") == "no"  # what Enter would choose
        p.click("no")
        assert AnnotationFile.load(path).expressions == ()
        p.click("save")
        p.until(lambda: p.run("return document.getElementById('ask').open"))
        p.click("yes")
        p.until(lambda: "saved" in p.status())
        assert len(AnnotationFile.load(path).expressions) == 1


def test_a_key_held_down_saves_once(films: Path, serve: Serve, page: Any, tmp_path: Path) -> None:
    """And does not ask whether one's own file shall be written over."""
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.keys("m")
        p.write("coder", "Anna")
        p.keys("CONTROL+s", "CONTROL+s", "CONTROL+s", "CONTROL+s")
        p.until(lambda: "saved" in p.status())
        time.sleep(0.3)
        assert not p.run("return document.getElementById('ask').open")
        p.keys("CONTROL+z", "CONTROL+s")  # and undo after it is saved like any change
        p.until(lambda: not p.run("return document.getElementById('save').className"))
        p.until(lambda: p.status().startswith("saved"))
        file = AnnotationFile.load(tmp_path / "constant.mp4.anna.annotations")
        assert (file.expressions, [c.what for c in file.history]) == ((), ["add", "delete"])


def test_what_was_not_saved_is_there_again(
    films: Path, serve: Serve, page: Any, tmp_path: Path
) -> None:
    """The page is closed for good, and the program ends."""
    kept = tmp_path / "constant.mp4.annotations~"
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.go(50)
        p.keys("m")
        p.until(kept.is_file)
        p.go(60)
        p.keys("o")
        p.click("title")  # a browser asks nothing of a page that nobody touched
        asks = "return !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
        assert p.run(asks)
        p.browser.get("about:blank")  # a driver says yes
        p.until(lambda: [e.offset for e in AnnotationFile.load(kept).expressions] == [60])
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.until(lambda: "was not saved and is here again" in p.notice())
        assert p.rows() == [[50, 52, 60]]
        p.write("coder", "Anna")
        p.keys("CONTROL+s")
        p.until(lambda: "saved" in p.status())
        p.until(lambda: not kept.exists())
        p.go(100)
        p.keys("m")
        p.until(kept.is_file)
        p.keys("CONTROL+z")  # undone: nothing is left to keep
        p.until(lambda: not kept.exists())
        assert not p.run(asks)
        p.open()
        assert p.rows() == [[50, 52, 60]] and p.notice() == ""


def test_keys_of_another_alphabet(films: Path, serve: Serve, page: Any) -> None:
    """A Korean keyboard's key M writes another letter; an input method's Enter ends no field."""
    press = (
        "const [key, code, more] = arguments;"
        "(document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown',"
        "  { key, code, bubbles: true, cancelable: true, ...more }));"
    )
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.run(press, "ㅡ", "KeyM", {})
        p.run(press, "ㅡ", "KeyM", {"shiftKey": True})
        kinds = "return [...document.querySelectorAll('.kind')].map((e) => e.textContent)"
        assert sorted(p.run(kinds)) == ["macro", "micro"]
        p.run(press, "ㅋ", "KeyZ", {"ctrlKey": True})
        assert p.run(kinds) == ["micro"]
        p.keys("n", "r")  # it lies at frame 0, and was chosen by none
        p.run(press, "Enter", "Enter", {"isComposing": True})
        assert p.run("return document.activeElement.id") == "label"
        p.run(press, "Enter", "Enter", {})
        assert p.run("return document.activeElement.id") != "label"
        p.run(press, "+", "BracketRight", {})  # signs are what they are, wherever they stand
        assert p.run(kinds) == ["micro"]


def test_a_field_shows_what_is_taken_of_it(films: Path, serve: Serve, page: Any) -> None:
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.go(40)
        p.keys("m")
        for given, taken in (("-5", 0), ("99999", COUNT - 1), ("12.7", 13), ("", 13)):
            for id in ("onset", "number"):
                p.run("const e = document.getElementById(arguments[0]); e.focus(); e.select();", id)
                p.keys(*(given or ["BACKSPACE"]), "ENTER")
                if given or id == "onset":
                    p.until(lambda id=id, taken=taken: p.value(id) == str(taken))
        assert p.rows() == [[13, COUNT - 1, COUNT - 1]]
        p.run("apex.focus(); apex.select();")
        p.keys("BACKSPACE", "ENTER", "f", "2", "n")  # it may be missing, and the rest works on
        p.until(lambda: p.run("return document.getElementById('crop-apex').dataset.frame") == "")
        assert p.notice() == ""


def test_a_server_that_ended_is_said(films: Path, serve: Serve, page: Any) -> None:
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        p.keys("m")
        p.write("coder", "Anna")
        served.site.stop()
        time.sleep(1.5)
        p.click("save")
        p.until(lambda: "does not answer" in p.notice())
        assert p.run("return document.getElementById('save').className") == "due"


def test_nothing_of_a_file_is_taken_for_html(
    films: Path, serve: Serve, page: Any, tmp_path: Path
) -> None:
    """Labels, comments, coders, names of files and videos come from anybody."""
    bad = "<img src=x onerror='window.bad=1'>\"'&`${1}"
    video = Path(shutil.copy(films / "constant.mp4", tmp_path / "<b onclick=x>a%20#?'.mp4"))
    annotated = marked([Timed("micro", 1.0, 2.0, 1.52, bad, 0.5), Timed("macro", 0.0, 9.96, 0.0)])
    for coder in (bad, "Ben"):
        file = AnnotationFile(video.name).changed([], coder)
        file = replace(file, expressions=tuple(replace(e, comment=bad) for e in annotated))
        file.save(path_for(video, coder))
        annotated = file.expressions
    path_for(video, "<i>damaged").write_text(bad)
    with serve(video) as served:
        p = page(served)
        p.open()
        assert p.run("return document.title").startswith(video.name)
        assert "damaged" in p.notice()
        assert p.rows() == [[0, 0, 249], [25, 38, 50]]  # the first frame and the last among them
        assert (p.value("label"), p.value("comment")) == (bad, bad)
        p.click("tab-agreement")
        p.until(lambda: p.run("return document.querySelectorAll('#agreed tr').length") == 4)
        p.keys("1", "c")
        p.click("save")
        p.until(lambda: "saved" in p.status())
        p.keys("3")
        p.until(lambda: p.drawn() == 50)
        assert not p.run(
            "return window.bad || document.querySelectorAll('img, b, i:not(#legend i)').length"
        )


def test_names_for_who_cannot_see_them(films: Path, serve: Serve, page: Any) -> None:
    """As the browser tells them to a screen reader."""
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        for id in ("faces", "sensitivity", "agreement"):
            p.click(f"tab-{id}")
            assert p.browser.find_element("id", id).accessible_name == id.title()
        p.keys("?")
        assert p.browser.find_element("id", "keys").accessible_name == "Keys"
        p.keys("ESCAPE")
        known = {*(f"aria-{n}" for n in ARIA)}
        assert {n for n in p.run(NAMES) if n.startswith("aria-")} <= known


#: Those of WAI-ARIA 1.2 that the page uses.
ARIA = ("activedescendant", "controls", "haspopup", "hidden", "label", "labelledby", "live")
ARIA = (*ARIA, "pressed", "selected", "valuetext", "describedby")
NAMES = "return [...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())"


def test_a_changed_video_is_said_before_times_are_applied(
    films: Path, serve: Serve, page: Any, motion: Any, tmp_path: Path
) -> None:
    file = replace(of_result(result_of(films / "constant.mp4", motion)), content="0" * 64)
    file.changed(file.expressions, "Ann").save(tmp_path / "constant.mp4.ann.annotations")
    with serve(films / "constant.mp4") as served:
        p = page(served)
        for answer, count in (("no", 0), ("yes", len(file.expressions))):
            p.open()
            p.until(lambda: p.run("return document.getElementById('ask').open"))
            assert "another edition" in p.run(
                "return document.getElementById('asktext').textContent"
            )
            p.click(answer)
            p.until(lambda: p.drawn() >= 0)
            assert len(p.rows()) == count


def test_several_videos(films: Path, serve: Serve, page: Any) -> None:
    with serve(films / "constant.mp4", films / "variable.mp4") as served:
        p = page(served)
        p.open()
        p.go(31)
        p.keys("m")
        p.choose("video", "1")  # what is not saved is asked about
        p.until(lambda: p.run("return document.getElementById('ask').open"))
        p.click("yes")
        p.until(lambda: p.run("return document.title").startswith("variable.mp4"))
        p.until(lambda: p.drawn() == 0)
        p.go(99)
        assert p.number() == 99 and p.rows() == []
        said = p.run("return document.getElementById('clock').textContent")
        assert said.startswith(f"{served.shown[1].frames.times[99]:.3f} s of")


# -- what moves with it ---------------------------------------------------------------------------


def test_face_curves_and_crops_follow(films: Path, serve: Serve, page: Any, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        e = served.shown[0].layers[0].file.expressions[0]
        p = page(served)
        p.open()
        p.until(lambda: p.run("return document.getElementById('overlay').dataset.face") == "yes")
        shown = "return document.getElementById(arguments[0]).dataset.frame"
        for part in ("onset", "apex", "offset"):
            p.until(lambda part=part: p.run(shown, f"crop-{part}") == str(getattr(e, part)))
        names = "return [...document.querySelectorAll('#legend th')].map((e) => e.textContent)"
        assert p.run(names)[1:] == ["brow", "nose", "mouth"]  # the first is of the times
        colors = (
            "return [...document.querySelectorAll('#legend .u-marker')]"
            ".map((e) => getComputedStyle(e).borderTopColor)"
        )
        # As everywhere: whoever has the page of the result beside it reads one legend.
        wanted = [GROUP_COLORS[group] for group in ("brow", "mouth")]
        told = p.run(colors)
        assert [told[1], told[3]] == [f"rgb{rgb(color)}" for color in wanted]
        p.choose("alpha", "10")
        p.keys("f")  # now the onset is shown in the apex's place, and the apex again
        p.until(lambda: p.run(shown, "crop-apex") == str(e.onset))
        p.until(lambda: p.run(shown, "crop-apex") == str(e.apex))
        p.keys("f")
        p.keys("b")
        p.until(
            lambda: p.run(
                "const c = document.getElementById('overlay'), d = c.getContext('2d');"
                "return !d.getImageData(0, 0, c.width, c.height).data.some(Boolean)"
            )
        )
        p.keys("3")
        p.until(lambda: p.drawn() == e.offset)
        p.keys("n", "1")
        second = served.shown[0].layers[0].file.expressions[1]
        p.until(lambda: p.drawn() == second.onset)


def rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color[1:]))


def test_the_sensitivity_spots_at_once(films: Path, serve: Serve, page: Any, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        p = page(served)
        p.open()
        count = len(p.rows())
        p.click("tab-sensitivity")
        expected = "return document.getElementById('expected').textContent"
        assert p.run(expected) == "6.7"
        p.run(
            "const a = document.getElementById('alarms'); a.value = 0;"
            "a.dispatchEvent(new Event('input'));"
        )
        p.until(lambda: p.run(expected) == "0.45")
        found = p.run("return document.getElementById('found').textContent")
        fewer = sum(int(word) for word in found.replace(",", "").split() if word.isdigit())
        assert fewer < count == len(p.rows())  # only shown beside, until it is taken over
        p.click("take")
        assert len(p.rows()) == fewer
        p.keys("CONTROL+z")
        assert len(p.rows()) == count


def test_two_coders_in_the_page(films: Path, serve: Serve, page: Any, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        p = page(served)
        p.open()
        p.keys("DELETE")
        p.write("coder", "Bob")
        p.click("save")
        p.until(lambda: "saved" in p.status())
        p.click("tab-agreement")
        rows = p.until(
            lambda: p.run(
                "return [...document.querySelectorAll('#agreed tr')]"
                ".map((r) => [...r.cells].map((c) => c.textContent))"
            )
        )
        count = len(served.shown[0].layers[0].file.expressions)
        assert rows[0][1:3] == ["κ per frame", "F1"]
        assert rows[1][0] == "all" and rows[1][3:6] == [str(count - 1), "1", "0"]


def test_curves_go_with_the_frame_and_lose_no_peak(films: Path, serve: Serve, page: Any) -> None:
    """Of an hour in 700 columns the one frame that stands out is drawn; a gap is left empty."""
    with serve(films / "constant.mp4") as served:
        p = page(served)
        p.open()
        found = p.browser.execute_async_script(
            """
            const done = arguments[0];
            import("/assets/curves.js").then(({ Curves, NUMBERS }) => {
              const box = document.createElement("div"), legend = document.createElement("div");
              box.style.width = "700px";
              document.body.append(box, legend);
              const n = 108000, times = new Float64Array(n), values = new Float32Array(n);
              for (let i = 0; i < n; i++) {
                times[i] = i / 30;
                values[i] = i >= 50000 && i < 54000 ? NaN : 0.1;
              }
              values[77777] = 0.9;
              const curves = new Curves(box, legend);
              curves.show({ unit: "", times, curves: [{ name: "AU4", values }] });
              curves.look([0, 3600], 60);
              curves.at(times[77777]);
              requestAnimationFrame(() => requestAnimationFrame(() => {
                const { ctx, bbox } = curves.plot;
                const { data } = ctx.getImageData(bbox.left, bbox.top, bbox.width, bbox.height);
                const inked = (x, low, high) => {  // in a column, between two values
                  for (let y = Math.round((1 - high) * bbox.height);
                    y < (1 - low) * bbox.height; y++) {
                    const at = 4 * (y * bbox.width + x);
                    if (data[at + 3] > 60 && data[at + 1] > data[at] + 40) return true;  // green
                  }
                  return false;
                };
                const columns = [...Array(bbox.width).keys()];
                done([
                  bbox.left,
                  columns.filter((x) => inked(x, 0.6, 0.8)),
                  columns.map((x) => inked(x, 0.03, 0.2)),
                  legend.querySelectorAll(".u-value")[1].textContent,
                  Math.round(curves.plot.cursor.left),
                ]);
              }));
            });
            """
        )
        left, peak, drawn, value, cursor = found
        assert left == 60 and value == "0.90"
        width = len(drawn)
        at = 77777 / 30 / 3600 * width
        assert peak and all(abs(x - at) < 2 for x in peak)
        assert cursor == round(at)
        first, last = (round(k / 108000 * width) for k in (50000, 54000))
        assert not any(drawn[first + 2 : last - 2])
        assert all(drawn[2 : first - 2]) and all(drawn[last + 2 : -2])


# -- for everybody --------------------------------------------------------------------------------

#: In the browser: controls without a name, and texts whose contrast is below WCAG's 4.5.
AUDIT = """
const names = [], contrasts = [];
const visible = (e) => e.getClientRects().length && getComputedStyle(e).visibility !== "hidden";
const named = (e) => e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length ||
  e.getAttribute("aria-labelledby");
for (const e of document.querySelectorAll("button, input, select, [role=tab], canvas, dialog")) {
  if (e.getAttribute("aria-hidden") !== "true" && !(e.matches("input, select") ? e.labels.length
      || e.getAttribute("aria-label") : named(e))) names.push(e.id);
}
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const bright = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !visible(e) || e.disabled || e.closest(".sr")) continue;
  let under = e, ground = null;
  for (; under && !ground; under = under.parentElement) {
    const c = rgb(getComputedStyle(under).backgroundColor);
    if (c.length < 4 || c[3] > 0.99) ground = c;
  }
  const [a, b] = [bright(rgb(getComputedStyle(e).color)), bright(ground ?? [255, 255, 255])];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) contrasts.push([e.id || e.className || e.tagName, ratio]);
}
return { names, contrasts };
"""


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_labels_contrast_and_width(
    films: Path, serve: Serve, page: Any, motion: Any, size: tuple[int, int]
) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        p = page(served)
        p.open(size)
        for tab in ("faces", "sensitivity", "agreement"):
            p.click(f"tab-{tab}")
            assert p.run(AUDIT) == {"names": [], "contrasts": []}
        p.keys("?")
        assert p.run(AUDIT) == {"names": [], "contrasts": []}
        listed = p.run("return document.getElementById('keylist').textContent")
        for word in ("onset", "undo", "save", "loop", "confirm"):
            assert word in listed
        p.keys("ESCAPE")
        width = p.run("return document.documentElement.scrollWidth")
        assert width <= size[0]  # nothing is cut off, and nobody scrolls sideways
        if folder := os.environ.get("AUMER_VIEW_PICTURES"):
            p.click("tab-faces")
            time.sleep(1)
            p.browser.save_screenshot(f"{folder}/page-{size[0]}.png")


def test_long_names_widen_nothing(films: Path, serve: Serve, page: Any, tmp_path: Path) -> None:
    video = Path(shutil.copy(films / "constant.mp4", tmp_path / f"{'a long name ' * 9}.mp4"))
    for coder in ("Anna-Maria Bartholomäus von und zu Hohenstein-Waldenburg", "W" * 64):
        found = marked([Timed("micro", 1.0, 2.0, 1.52, "a label without an end " * 9, 0.5)])
        AnnotationFile(video.name).changed(found, coder).save(path_for(video, coder))
    with serve(video) as served:
        p = page(served)
        for size in ((1280, 800), (390, 844)):
            p.open(size)
            for tab in ("faces", "sensitivity", "agreement"):
                p.click(f"tab-{tab}")
                assert p.run("return document.documentElement.scrollWidth") <= size[0]
            score = p.run(
                "return document.querySelector('[role=option] :nth-child(4)').textContent"
            )
            assert score == "0.50"  # what is short is seen whatever is long


def test_every_control_is_reached_by_tab(films: Path, serve: Serve, page: Any, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        p = page(served)
        p.open()
        wanted = set(
            p.run(
                "return [...document.querySelectorAll('button, input, select')].filter((e) =>"
                "e.getClientRects().length && !e.disabled && e.tabIndex >= 0).map((e) => e.id)"
            )
        )
        assert {"save", "play", "onset", "timeline"} - wanted == {"timeline"}
        reached: set[str] = set()
        for _ in range(len(wanted) + 8):
            p.keys("TAB")
            reached.add(p.run("return document.activeElement.id"))
        assert wanted <= reached
        outline = p.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"


def test_a_videos_page_prints_whole(films: Path, browser: Any, motion: Any, tmp_path: Path) -> None:
    """On A4 no column is cut off, with all columns that there may be."""
    result = result_of(films / "constant.mp4", motion)
    units = tuple(ActingUnit(n, 0.9, True) for n in (1, 2, 5, 20, 25, 26))
    probs = {"surprise": 0.9}
    found = tuple(replace(e, aus=units, label="surprise", probs=probs) for e in result.expressions)
    result = replace(result, expressions=found)
    face = np.full((64, 64, 3), 128, np.uint8)
    frames = [f for e in found for f in (e.onset, e.apex, e.offset)]
    result.save(tmp_path / "page.html", thumbnails=dict.fromkeys(frames, face))
    how = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.get((tmp_path / "page.html").as_uri())
        table, room = browser.execute_script(
            "const t = document.querySelector('table'), b = t.getBoundingClientRect();"
            "return [b.right, document.querySelector('.wide').getBoundingClientRect().right];"
        )
        assert table <= room
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.get("about:blank")
