"""Who gets in, what is given out, and what is written where."""

from __future__ import annotations

import json
import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from aumer.errors import UsageError
from aumer.results import SpotResult
from aumer.results.annotations import AnnotationFile, marked, of_result
from aumer.results.exchange import Timed, read_annotations
from aumer.results.subtitles import WebVtt
from aumer.types import ActingUnit, Scores, VideoInfo
from aumer.video import open_video
from aumer.view.shown import gather
from tests.view import film
from tests.view.conftest import COUNT, Serve, Served, result_of

PATHS = (
    *("/", "/assets/main.js", "/api/session", "/api/0/data", "/api/0/frame/3.png", "/api/0/film"),
    *("/api/0/track?layer=r0&first=0&after=9", "/api/0/face/3.png?at=0&size=64"),
    "/api/0/agreement?a=r0&b=r0",
)


def entry(id: str = "x1", **changes: Any) -> dict[str, Any]:
    usual = {
        "id": id,
        "kind": "micro",
        "onset": 10,
        "apex": 14,
        "offset": 19,
        "label": None,
        "score": None,
        "comment": "",
        "confirmed": True,
    }
    return {**usual, **changes}


def asked(*entries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    usual = {"coder": "Anna", "base": "", "revision": None, "replace": False}
    return {**usual, "expressions": list(entries), **changes}


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_in_without_the_token(
    films: Path, serve: Serve, motion: Any, path: str
) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        right = served.cookie.partition("=")[2]
        name = served.cookie.partition("=")[0]
        assert served.get(path)[0] == 200
        for cookie in ("", f"{name}={right[:-1]}", f"{name}=", f"other={right}", f"{name}=\xe9"):
            assert served.get(path, cookie=False, Cookie=cookie)[0] == 403
        for token in ("", right[:-1], "x"):
            joint = "&" if "?" in path else "?"
            assert served.get(f"{path}{joint}token={token}", cookie=False)[0] == 403
        # The token in the address is for the page alone.
        if path != "/":
            assert served.get(f"{path}?token={right}", cookie=False)[0] == 403
        # A name that somebody's DNS leads here.
        assert served.get(path, Host=f"evil.example:{served.site.port}")[0] == 403


def test_the_address_gives_a_cookie_and_loses_the_token(films: Path, serve: Serve) -> None:
    with serve(films / "constant.mp4") as served:
        status, headers, _ = served.get(f"/?token={served.site.token}", cookie=False)
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert f"aumer-view-{served.site.port}" in cookie
        assert (
            served.site.address == f"http://127.0.0.1:{served.site.port}/?token={served.site.token}"
        )
        assert served.site._socket.getsockname()[0] == "127.0.0.1"


def test_what_a_browser_is_started_with_opens_once(films: Path, serve: Serve) -> None:
    """Every user of the machine sees it among the processes; what was printed stays good."""
    with serve(films / "constant.mp4") as served:
        once = served.site.opening.removeprefix(served.url(""))
        assert once != served.site.address.removeprefix(served.url(""))
        status, headers, _ = served.get(once, cookie=False)
        assert status == 303
        cookie = headers["set-cookie"].partition(";")[0]
        assert served.get("/api/session", cookie=False, Cookie=cookie)[0] == 200
        assert served.get(once, cookie=False)[0] == 403
        name, _, _ = cookie.partition("=")
        stolen = f"{name}={once.partition('=')[2]}"
        assert served.get("/api/session", cookie=False, Cookie=stolen)[0] == 403
        assert served.get("/?token=", cookie=False)[0] == 403
        assert served.get(f"/?token={served.site.token}", cookie=False)[0] == 303


def test_two_servers_have_other_ports_and_tokens() -> None:
    pytest.importorskip("starlette", reason="the extra `view` is not installed")
    from aumer.view.server import Site

    one, other = Site([]), Site([])
    assert one.port != other.port and one.token != other.token
    assert len(one.token) >= 43
    one._socket.close()
    other._socket.close()


def test_what_other_pages_may_do(films: Path, serve: Serve) -> None:
    with serve(films / "constant.mp4") as served:
        for path in ("/", "/assets/main.js", "/api/session", "/api/0/film", "/none"):
            _, headers, _ = served.get(path, Origin="http://evil.example")
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; ") and "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers
        body = asked(entry())
        for origin in ("http://evil.example", "http://127.0.0.1:1", "null", ""):
            assert served.post("/api/0/save", body, Origin=origin)[0] == 403
        # What a form of another page can send without being asked.
        assert served.post("/api/0/save", body, Content_Type="text/plain")[0] == 403
        assert not list(served.shown[0].path.parent.glob("*.annotations"))


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/%2e%2e/server.py",
        "/assets//etc/passwd",
        "/assets/..%5cserver.py",
        "/../../etc/passwd",
        "/api/1/film",
        "/api/-1/film",
        "/api/0/../../etc/passwd",
        "/api/0/film/../../../etc/passwd",
        "/api/99999999999999999999/film",
    ],
)
def test_nothing_but_its_files_is_read(films: Path, serve: Serve, path: str) -> None:
    with serve(films / "constant.mp4") as served:
        status, _, body = served.get(path)
        assert status == 404
        assert b"root:" not in body and b"import" not in body


def test_a_part_of_the_film(films: Path, serve: Serve) -> None:
    with serve(films / "constant.mp4") as served:
        whole = (films / "constant.mp4").read_bytes()
        status, headers, body = served.get("/api/0/film", Range="bytes=100-199")
        assert (status, body) == (206, whole[100:200])
        assert headers["content-range"] == f"bytes 100-199/{len(whole)}"
        assert served.get("/api/0/film")[2] == whole


@pytest.mark.parametrize("name", ["constant.mp4", "variable.mp4", "lossless.avi"])
def test_a_frame_is_the_decoders_to_the_bit(films: Path, serve: Serve, name: str) -> None:
    with open_video(films / name) as video:
        wanted = [frame.image for frame in video]
    with serve(films / name) as served:
        for k in (0, 77, 12, len(wanted) - 1):
            status, _, body = served.get(f"/api/0/frame/{k}.png")
            assert status == 200
            image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert np.array_equal(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), wanted[k])
        assert served.get("/api/0/frame/7.jpg")[1]["content-type"] == "image/jpeg"
        for path in (f"/api/0/frame/{len(wanted)}.png", "/api/0/frame/3.gif", "/api/0/frame/x.png"):
            assert served.get(path)[0] in (400, 404)


def test_times_and_curves(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    result = result_of(video, motion)
    with serve(video, result=result) as served:
        body = served.get("/api/0/data")[2]
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + length])
    start = 4 + length
    assert start % 8 == 0

    def array(where: dict[str, int], kind: str) -> Any:
        return np.frombuffer(body, kind, where["count"], start + where["at"])

    np.testing.assert_allclose(array(head["times"], "<f8"), np.arange(COUNT) / 25, atol=1e-6)
    titles = [g["title"] for g in head["groups"]]
    assert titles == ["displacement", "displacement by ROI", "scores"]
    assert [len(g["curves"]) for g in head["groups"]] == [3, 12, len(result.scores.channels)]
    last = head["groups"][2]
    np.testing.assert_array_equal(array(last["times"], "<f8"), result.scores.times)
    for curve in last["curves"]:
        wanted = result.scores.channel(curve["name"])
        np.testing.assert_array_equal(array(curve["values"], "<f4"), wanted)


def test_the_face(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        track = json.loads(served.get("/api/0/track?layer=r0&first=30&after=40")[2])
        assert track["frames"] and all(30 <= k < 40 for k in track["frames"])
        assert track["boxes"][0] == [40, 10, 120, 90]
        assert len(track["landmarks"][0]) == 136
        plain, again, magnified = (
            served.get(f"/api/0/face/{k}.png?at=20&size=64&alpha={alpha}")[2]
            for k, alpha in ((26, 0), (26, 0), (26, 10))
        )
        assert plain == again != magnified
        # The frame that magnification starts from stays as it is.
        same = [served.get(f"/api/0/face/20.png?at=20&size=64&alpha={a}")[2] for a in (0, 10)]
        assert same[0] == same[1]
        for wrong in (
            "at=x&size=64",
            "at=0&size=64&alpha=1000",
            "at=0&size=64&alpha=nan",
            "size=64",
        ):
            assert served.get(f"/api/0/face/26.png?{wrong}")[0] == 400
        assert served.get("/api/0/track?layer=none&first=0&after=9")[0] == 400


# -- saving ---------------------------------------------------------------------------------------


def saved(served: Served, body: dict[str, Any]) -> Any:
    status, answer = served.post("/api/0/save", body)
    assert status == 200, answer
    return answer


def test_saved_beside_the_video_and_never_over_the_result(
    films: Path, serve: Serve, motion: Any, tmp_path: Path
) -> None:
    result = result_of(films / "constant.mp4", motion)
    assert result.expressions
    result.save(tmp_path / "constant.json")
    before = (tmp_path / "constant.json").read_bytes()
    with serve(films / "constant.mp4") as served:
        (layer,) = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        assert (layer["source"], layer["changed"]) == ("result", False)
        first, *rest = layer["expressions"]
        given = [entry(), {**first, "onset": first["onset"] + 1, "comment": "so"}, *rest]
        answer = saved(served, asked(*given, base="r0"))
        path = tmp_path / "constant.mp4.anna.annotations"
        assert answer["file"] == path.name
        file = AnnotationFile.load(path)
        assert (file.coder, file.video, file.source) == ("Anna", "constant.mp4", "constant.json")
        assert (file.content, file.frames) == (served.shown[0].frames.content, COUNT)
        # Of expressions that are as they were nothing is said.
        assert {(c.who, c.what, c.id) for c in file.history} == {
            ("Anna", "add", "x1"),
            ("Anna", "onset_s,comment,onset", first["id"]),
        }
        # Again, now from the coder's own file.
        again = saved(served, asked(entry(), base=answer["id"], revision=answer["revision"]))
        assert again["id"] == answer["id"] and again["history"] == 2 + len(layer["expressions"])
        assert [e.onset_s for e in read_annotations(path)] == [10 / 25]
    assert (tmp_path / "constant.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("constant.json", "constant.mp4", "constant.mp4.anna.annotations"),
    ]
    with serve(films / "constant.mp4") as served:  # started again: both are there
        layers = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        assert [one["source"] for one in layers] == ["result", "annotations"]
        assert [e["id"] for e in layers[1]["expressions"]] == ["x1"]


def test_what_another_has_saved_is_not_written_over(
    films: Path, serve: Serve, tmp_path: Path
) -> None:
    with serve(films / "constant.mp4") as served:
        mine = saved(served, asked(entry()))
        path = tmp_path / "constant.mp4.anna.annotations"
        theirs = AnnotationFile.load(path).changed([], "Anna")
        theirs.save(path, overwrite=True)
        body = asked(entry(onset=9), base=mine["id"], revision=mine["revision"])
        status, answer = served.post("/api/0/save", body)
        assert status == 409 and "changed since" in answer["conflict"]
        assert AnnotationFile.load(path) == theirs
        answer = saved(served, {**body, "replace": True})
        file = AnnotationFile.load(path)
        assert [e.onset for e in file.expressions] == [9]
        assert [c.what for c in file.history][:2] == ["add", "delete"]  # what was done stays told


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (asked(entry(onset=-1)), "expressions[0].onset must be a frame from 0 to 249"),
        (asked(entry(offset=COUNT)), "expressions[0].offset must be a frame from 0 to 249"),
        (asked(entry(onset=15)), "apex"),
        (asked(entry(kind="mikro")), "micro, macro"),
        (asked(entry(), entry()), "every expression needs an id"),
        (asked(entry(confirmed=1)), "expressions[0].confirmed must be true or false"),
        (asked(entry(), coder=" "), "coder's name"),
        (asked(entry(), coder=7), "coder must be a string"),
        (asked(entry(), base="nobody"), "no set of intervals"),
        ({}, "coder is missing"),
        ([], "must be an object"),
    ],
)
def test_what_cannot_be_saved(
    films: Path, serve: Serve, tmp_path: Path, body: Any, message: str
) -> None:
    with serve(films / "constant.mp4") as served:
        status, answer = served.post("/api/0/save", body)
        assert status == 400 and message in answer["error"]
        assert (
            served.get(
                "/api/0/save", data=b"{", Origin=served.url(""), Content_Type="application/json"
            )[0]
            == 400
        )
        assert served.post("/api/0/nothing", {})[0] == 404
    assert not list(tmp_path.glob("*.annotations"))


def test_a_coders_name_leads_nowhere_else(films: Path, serve: Serve, tmp_path: Path) -> None:
    with serve(films / "constant.mp4") as served:
        saved(served, asked(entry(), coder="../../../tmp/x"))
    (path,) = tmp_path.glob("*.annotations")
    assert path.name == "constant.mp4.---------tmp-x.annotations"
    assert AnnotationFile.load(path).coder == "../../../tmp/x"


def test_exports(films: Path, serve: Serve, tmp_path: Path) -> None:
    with serve(films / "constant.mp4") as served:
        suffixes = json.loads(served.get("/api/session")[2])["exports"]
        assert {".eaf", ".textgrid", ".vtt", ".srt", ".rttm"} <= set(suffixes)
        for suffix in suffixes:
            body = {"suffix": suffix, "expressions": [entry(label="joy")]}
            status, text = served.post("/api/0/export", body)
            assert status == 200
            path = tmp_path / f"constant{suffix}"
            path.write_text(text, encoding="utf-8")
            (e,) = read_annotations(path)
            assert e.onset_s == pytest.approx(10 / 25, abs=0.0011)
            assert (e.kind, e.label) == ("micro", "joy")
        status, answer = served.post("/api/0/export", {"suffix": ".json", "expressions": []})
        assert status == 400 and "must be one of" in answer["error"]


# -- another sensitivity, and two coders ----------------------------------------------------------


def test_spotted_again_with_another_sensitivity(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        (layer,) = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        least, now, most = layer["alarms"]
        assert (least, round(now, 1), most) == (0.45, 6.7, 29.0)
        found = {}
        for rate in (least, now, most):
            status, answer = served.post("/api/0/again", {"layer": "r0", "sensitivity": rate})
            assert status == 200
            assert answer["alarms"][1] == pytest.approx(rate, rel=1e-3)
            found[rate] = answer["expressions"]
        assert len(found[least]) < len(found[most])
        for rate, few in ((0.1, "0.45 to 29"), (30.0, "0.45 to 29")):
            status, answer = served.post("/api/0/again", {"layer": "r0", "sensitivity": rate})
            assert status == 400 and few in answer["error"]
        # What it says are the library's own.
        import aumer

        usual = aumer.spot(motion, model="rules", sensitivity=most)
        assert len(usual.expressions) == len(found[most])


def test_without_motion_there_is_no_dial(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion, features=None, track=None)) as served:
        (layer,) = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        assert (layer["alarms"], layer["track"]) == (None, False)
        status, answer = served.post("/api/0/again", {"layer": "r0", "sensitivity": 1.0})
        assert status == 400 and "motion is not in the cache" in answer["error"]


def test_another_spotters_result_is_not_turned_at(films: Path, serve: Serve, motion: Any) -> None:
    """Else the slider would show what another network finds, as if it were a sensitivity."""
    import aumer

    video = films / "constant.mp4"
    graph = "samm-lv-facs"
    for given, dial in ((None, True), (graph, False)):
        found = aumer.spot(motion, graph=given)
        like = result_of(video, motion)
        result = replace(
            like,
            spotter=found.spotter,
            settings=found.settings,
            digests={**found.digests, "content": like.digests["content"]},
        )
        with serve(video, result=result) as served:
            (layer,) = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
            assert (layer["alarms"] is not None) == dial


def test_two_coders(films: Path, serve: Serve) -> None:
    with serve(films / "constant.mp4") as served:
        saved(served, asked(entry()))
        saved(served, asked(entry(onset=12), coder="Bob"))
        layers = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        a, b = (one["id"] for one in layers)
        found = json.loads(served.get(f"/api/0/agreement?a={a}&b={b}")[2])
        assert found["micro"]["f1"] == 1 and found["micro"]["onset_s"]["mean"] == pytest.approx(
            0.08
        )
        assert 0.8 < found["micro"]["kappa"] < 1


# -- which files belong together ------------------------------------------------------------------


def test_a_changed_video_is_told(films: Path, serve: Serve, motion: Any, tmp_path: Path) -> None:
    result = result_of(films / "constant.mp4", motion)
    other = replace(of_result(result), content="0" * 64)
    other.changed(other.expressions, "Ann").save(tmp_path / "constant.mp4.ann.annotations")
    replace(result, digests={"content": "0" * 64}).save(tmp_path / "constant.json")
    with serve(films / "constant.mp4") as served:
        layers = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        assert [one["changed"] for one in layers] == [True, True]


def test_what_belongs_to_a_video(films: Path, motion: Any, tmp_path: Path) -> None:
    video = tmp_path / "constant.mp4"
    video.write_bytes((films / "constant.mp4").read_bytes())
    result = result_of(video, motion)
    result.save(tmp_path / "found.json")
    (tmp_path / "constant.vtt").write_text(WebVtt().text("x", read_annotations_of(result)))
    for given in (["found.json"], ["constant.mp4", "found.json"]):
        (shown,) = gather([tmp_path / name for name in given], fps=None, cache=None)
        assert (shown.path, [one.name for one in shown.layers]) == (video, ["found.json"])
        shown.frames.close()
    (shown,) = gather([tmp_path / "constant.vtt"], fps=None, cache=None)
    assert [one.name for one in shown.layers] == ["constant.vtt"]
    assert shown.layers[0].file.expressions[0].onset == result.expressions[0].onset
    shown.frames.close()
    (shown,) = gather([video], fps=None, cache=None)  # found.json is not of its name
    assert shown.layers == []
    shown.frames.close()
    # A film that got another name is the one that is given.
    renamed = video.rename(tmp_path / "renamed.mp4")
    (shown,) = gather([renamed, tmp_path / "found.json"], fps=None, cache=None)
    assert (shown.path, [one.changed for one in shown.layers]) == (renamed, [False])
    shown.frames.close()
    result.save(tmp_path / "constant.png")
    for given, message in (
        ("constant.png", "cannot be shown"),
        ("none.mp4", "no such file"),
    ):
        with pytest.raises(Exception, match=message):
            gather([tmp_path / given], fps=None, cache=None)
    (tmp_path / "elsewhere").mkdir()
    result.save(tmp_path / "elsewhere" / "found.json")
    with pytest.raises(UsageError, match=r"the video constant\.mp4 is not beside it"):
        gather([tmp_path / "elsewhere" / "found.json"], fps=None, cache=None)


def read_annotations_of(result: SpotResult) -> Any:
    return of_result(result).expressions


def test_a_folder_of_images(tmp_path: Path, serve: Serve) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(5):
        cv2.imwrite(str(folder / f"{k}.png"), film.numbered(k))
    (shown,) = gather([folder], fps=10.0, cache=None)
    assert len(shown.frames) == 5 and not shown.about()["playable"]
    shown.save(asked(entry(onset=1, apex=2, offset=3)))
    assert (tmp_path / "images.anna.annotations").is_file()
    shown.frames.close()
    # A result knows the rate that it was made with.
    empty = Scores(np.empty((0, 0), np.float32), *(np.empty(0, t) for t in (float, int, bool)), ())
    info = VideoInfo("images", "folder", film.WIDTH, film.HEIGHT, 10.0, 5)
    known = {"content": shown.frames.content}
    made = {"settings": {"input": {"fps": 10.0}}, "digests": known}
    SpotResult(info, (), empty, 0.0, "rules", **made).save(tmp_path / "images.json")
    (again,) = gather([tmp_path / "images.json"], fps=None, cache=None)
    assert again.frames.times.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [one.changed for one in again.layers] == [False, False]
    again.frames.close()


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_stretch_without_a_face_has_no_track(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    with serve(video, result=result_of(video, motion)) as served:
        status, _, body = served.get(f"/api/0/track?layer=r0&first={COUNT}&after={COUNT + 99}")
        assert (status, json.loads(body)) == (200, {"frames": [], "boxes": [], "landmarks": []})


def test_half_a_letter_is_saved_as_its_code(films: Path, serve: Serve, tmp_path: Path) -> None:
    """A field of limited length may cut one in two; JSON can tell of that, UTF-8 cannot."""
    with serve(films / "constant.mp4") as served:
        given = entry(label="so\ud83d", comment="\ude00", id="\ud83d")
        answer = saved(served, asked(given))
        assert answer["expressions"][0]["label"] == "so\\ud83d"
        assert served.post("/api/0/export", {"suffix": ".eaf", "expressions": [given]})[0] == 200
        path = tmp_path / "constant.mp4.anna.annotations"
        # From elsewhere such a file may come as well.
        text = path.read_text("utf-8").replace("so\\\\ud83d", "so\\ud83d")
        path.with_name("constant.mp4.ben.annotations").write_text(text, "utf-8")
    with serve(films / "constant.mp4") as served:
        assert served.get("/api/session")[0] == 200


def test_a_name_that_the_disk_cannot_hold_is_said(films: Path, serve: Serve) -> None:
    with serve(films / "constant.mp4") as served:
        status, answer = served.post("/api/0/save", asked(entry(), coder="𓀀" * 64))
        assert status == 400 and "too long" in answer["error"]


def test_of_those_who_save_at_once_one_is_first(
    films: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = AnnotationFile.save

    def slowly(self: AnnotationFile, path: Any, *, overwrite: bool = False) -> None:
        time.sleep(0.1)
        save(self, path, overwrite=overwrite)

    monkeypatch.setattr(AnnotationFile, "save", slowly)
    with serve(films / "constant.mp4") as served, ThreadPoolExecutor(4) as pool:
        bodies = [asked(entry(f"x{k}")) for k in range(4)]
        found = list(pool.map(lambda body: served.post("/api/0/save", body), bodies))
        assert sorted(status for status, _ in found) == [200, 409, 409, 409]


def test_frames_of_another_edition_are_never_shown(
    films: Path, serve: Serve, tmp_path: Path
) -> None:
    """A video that is encoded anew, or copied over, while it is looked at."""
    with serve(films / "constant.mp4") as served:
        path = tmp_path / "constant.mp4"
        before = served.shown[0].frames.content
        path.touch()  # the same, with another time
        assert served.get("/api/0/frame/30.png")[0] == 200
        shutil.copy(films / "turned.mp4", path)
        status, _, body = served.get("/api/0/frame/200.png")
        assert status == 400 and "was changed after it was opened" in json.loads(body)["error"]
        # What was worked out so far is of the edition that was seen, and says so.
        saved(served, asked(entry()))
        file = AnnotationFile.load(tmp_path / "constant.mp4.anna.annotations")
        assert file.content == before
        path.unlink()
        status, _, body = served.get("/api/0/film")
        assert status == 404 and "not there any more" in json.loads(body)["error"]
    (shown,) = _gathered(shutil.copy(films / "turned.mp4", path))
    assert shown.layers[0].changed


def _gathered(*paths: Any) -> Any:
    shown = gather(paths, fps=None, cache=None)
    for one in shown:
        one.frames.close()
    return shown


def test_what_is_replaced_is_in_the_history(films: Path, serve: Serve, tmp_path: Path) -> None:
    """So that the history says how each file came from the one before it."""
    path = tmp_path / "constant.mp4.anna.annotations"
    with serve(films / "constant.mp4") as served:
        saved(served, asked(entry("theirs", comment="a day's work")))
        saved(served, asked(entry("mine"), replace=True))
    history = AnnotationFile.load(path).history
    assert [(c.what, c.id) for c in history] == [
        ("add", "theirs"),
        ("add", "mine"),
        ("delete", "theirs"),
    ]
    assert history[2].before["comment"] == "a day's work"


def test_the_result_beside_is_shown_with_coders_files(
    films: Path, motion: Any, tmp_path: Path
) -> None:
    video = shutil.copy(films / "constant.mp4", tmp_path)
    result_of(Path(video), motion).save(tmp_path / "constant.json")
    anna = tmp_path / "else.annotations"
    AnnotationFile("constant.mp4").changed([], "Anna").save(anna)
    (shown,) = _gathered(video, anna)
    assert [layer.name for layer in shown.layers] == ["constant.json", "Anna"]


def test_a_damaged_file_beside_a_video_hides_nothing(
    films: Path, serve: Serve, tmp_path: Path
) -> None:
    half = AnnotationFile("constant.mp4").changed([], "Ben").to_json()[:-9]
    path = tmp_path / "constant.mp4.ben.annotations"
    path.write_text(half)
    with serve(films / "constant.mp4") as served:
        (video,) = json.loads(served.get("/api/session")[2])["videos"]
        assert video["layers"] == [] and path.name in video["notes"][0]
        # Nor is it written over.
        status, answer = served.post("/api/0/save", asked(entry(), coder="Ben"))
        assert status == 400 and path.name in answer["error"]
        assert path.read_text() == half
    with pytest.raises(UsageError, match=path.name):  # who names it is told
        _gathered(tmp_path / "constant.mp4", path)


def test_two_coders_of_one_name_are_told_apart(films: Path, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for path in (tmp_path, tmp_path / "old"):
        AnnotationFile("constant.mp4").changed([], "Anna").save(
            path / "constant.mp4.anna.annotations"
        )
    shutil.copy(films / "constant.mp4", tmp_path)
    given = [tmp_path / "constant.mp4", tmp_path / "old" / "constant.mp4.anna.annotations"]
    (shown,) = _gathered(*given)
    names = [layer["name"] for layer in shown.about()["layers"]]
    assert len(set(names)) == 2 and all(name.startswith("Anna (") for name in names)


def test_times_beyond_the_video_are_of_another(films: Path, tmp_path: Path) -> None:
    """Where no digest says so, either; they are not pressed into its last frame unasked."""
    video = shutil.copy(films / "constant.mp4", tmp_path)
    for end, changed in ((9.9, False), (10.1, False), (60.0, True)):
        path = tmp_path / "x.vtt"
        path.write_text(f"WEBVTT\n\n00:00:01.000 --> 00:00:{end:06.3f}\nmicro\n")
        (shown,) = _gathered(video, path)
        assert [layer.changed for layer in shown.layers] == [changed]
    path = tmp_path / "x.annotations"
    AnnotationFile("constant.mp4", frames=COUNT - 1).save(path)
    (shown,) = _gathered(video, path)
    assert shown.layers[0].changed


@pytest.mark.parametrize("kind", ["input", "kind", "face"])
@pytest.mark.parametrize("value", [None, [3], "x"])
def test_a_result_whose_settings_are_damaged_is_shown_all_the_same(
    films: Path, motion: Any, tmp_path: Path, kind: str, value: Any
) -> None:
    video = shutil.copy(films / "constant.mp4", tmp_path)
    told = json.loads(result_of(Path(video), motion).to_json())
    told["settings"][kind] = value
    told["expressions"][0]["label"] = "half \ud83d"
    (tmp_path / "constant.json").write_text(json.dumps(told))
    (shown,) = gather([video], fps=None, cache=tmp_path)
    shown.frames.close()
    assert json.dumps(shown.about(), ensure_ascii=False).encode()
    assert shown.layers[0].file.expressions[0].label == "half \\ud83d"


def test_of_videos_of_one_name_the_one_beside_is_meant(films: Path, tmp_path: Path) -> None:
    for name in ("s01", "s02"):
        (tmp_path / name).mkdir()
        shutil.copy(films / "constant.mp4", tmp_path / name)
    anna = tmp_path / "s02" / "anna.annotations"
    AnnotationFile("constant.mp4").changed([], "Anna").save(anna)
    videos = [tmp_path / name / "constant.mp4" for name in ("s01", "s02")]
    first, second = _gathered(*videos, anna)
    assert (len(first.layers), len(second.layers)) == (0, 1)


def test_action_units_are_a_curve_and_a_word(films: Path, serve: Serve, motion: Any) -> None:
    video = films / "constant.mp4"
    result = result_of(video, motion)
    units = (ActingUnit(12, 0.9, True), ActingUnit(4, 0.2, False))
    e, *others = result.expressions
    result = replace(result, expressions=(replace(e, aus=units), *others))
    with serve(video, result=result) as served:
        (layer,) = json.loads(served.get("/api/session")[2])["videos"][0]["layers"]
        assert layer["expressions"][0]["aus"] == "12" and layer["expressions"][1]["aus"] is None
        body = served.get("/api/0/data")[2]
    (length,) = struct.unpack_from("<I", body)
    group = json.loads(body[4 : 4 + length])["groups"][-1]
    assert group["title"] == "AU probabilities"
    assert [curve["name"] for curve in group["curves"]] == ["AU4", "AU12"]
    where = group["curves"][1]["values"]
    values = np.frombuffer(body, "<f4", where["count"], 4 + length + where["at"])
    times = result.scores.times
    inside = (times >= e.onset_s - 1e-9) & (times <= e.offset_s + 1e-9)
    assert inside.any() and (values[inside] == np.float32(0.9)).all()
    assert np.isnan(values[~inside]).all()


def test_the_history_tells_every_state(films: Path, motion: Any, tmp_path: Path) -> None:
    """Played from what was begun with it gives what is saved: by two pages, one coder, in turns."""
    video = Path(shutil.copy(films / "constant.mp4", tmp_path))
    result_of(video, motion).save(tmp_path / "constant.json")
    pages = []
    for _ in range(2):
        (shown,) = gather([video], fps=None, cache=None)
        pages.append([shown, "r0", None])  # what each has in hand, and knows of the file
    begun = {e.id: vars(e) for e in pages[0][0].layers[0].file.expressions}
    rng = np.random.default_rng(7)
    path = tmp_path / "constant.mp4.anna.annotations"
    for turn in range(24):
        page = pages[int(rng.integers(2))]
        given = [
            entry(
                f"n{k}", onset=int(rng.integers(10)), apex=None, comment="x" * int(rng.integers(3))
            )
            for k in rng.permutation(4)[: int(rng.integers(5))]
        ]
        body = asked(*given, base=page[1], revision=page[2])
        answer = page[0].save(body)
        if "conflict" in answer:
            answer = page[0].save({**body, "replace": True})
        page[1:] = answer["id"], answer["revision"]
        file = AnnotationFile.load(path)
        state = dict(begun)
        for change in file.history:
            if change.what == "delete":
                assert state.pop(change.id) == dict(change.before)
            elif change.what == "add":
                assert change.id not in state
                state[change.id] = dict(change.after)
            else:
                assert change.before.items() <= state[change.id].items()
                state[change.id] = {**state[change.id], **change.after}
        assert state == {e.id: vars(e) for e in file.expressions}, turn
        assert file.source == "constant.json"
    for page in pages:
        page[0].frames.close()


def test_what_is_not_saved_is_kept_until_it_is(
    films: Path, serve: Serve, motion: Any, tmp_path: Path
) -> None:
    def drafted(served: Served) -> Any:
        return json.loads(served.get("/api/session")[2])["videos"][0]["draft"]

    film, kept = films / "constant.mp4", tmp_path / "constant.mp4.annotations~"
    result_of(film, motion).save(tmp_path / "constant.json")
    with serve(film) as served:
        assert drafted(served) is None
        body = asked(entry(comment="<b>ü", label="joy"), base="r0")
        assert served.post("/api/0/draft", body) == (200, {"kept": kept.name})
        assert served.post("/api/0/draft", {**body, "coder": ""})[0] == 200
        assert served.post("/api/0/draft", {**body, "base": "none"})[0] == 400
        assert served.post("/api/0/draft", asked(entry(onset=-1)))[0] == 400
    with serve(film) as served:  # another time, on another port
        found = drafted(served)
        assert (found["coder"], found["base"], found["changed"]) == ("", "r0", False)
        assert [e["comment"] for e in found["expressions"]] == ["<b>ü"]
        assert abs(found["when"] - time.time()) < 60
        # It is no coder's file: nothing trains on it, and it is no set of intervals.
        assert [one["source"] for one in served.shown[0].about()["layers"]] == ["result"]
        kept.write_text(kept.read_text()[:-9])  # a damaged file
        assert drafted(served) is None
        assert served.post("/api/0/draft", body)[0] == 200
        assert served.post("/api/0/draft", {**body, "expressions": None})[1] == {"kept": None}
        assert drafted(served) is None and not kept.exists()
        kept.mkdir()  # cannot be written: kept while this runs
        assert served.post("/api/0/draft", body) == (200, {"kept": None})
        assert drafted(served)["expressions"][0]["label"] == "joy"


def test_action_units_of_a_coders_file_outlive_a_correction(
    films: Path, serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "constant.mp4.anna.annotations"
    own = tuple(marked([Timed("micro", 0.4, 0.8, 0.6, aus="6+L12")]))
    AnnotationFile("constant.mp4", own, coder="Anna").save(path)
    with serve(films / "constant.mp4") as served:
        (layer,) = served.shown[0].about()["layers"]
        moved = {**layer["expressions"][0], "onset": 9}
        saved(served, asked(moved, base=layer["id"], revision=layer["revision"]))
    assert [(e.onset, e.aus) for e in AnnotationFile.load(path).expressions] == [(9, "6+L12")]
