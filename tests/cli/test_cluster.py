"""`aumer spot` and `aumer features` on a Dask cluster of two workers, one of which dies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aumer import workers
from aumer.cli import away
from aumer.cli.away import How, SpotJob, kept, outcome, spot_there, told
from aumer.cli.inputs import parse_input
from aumer.cli.outputs import Plan
from aumer.config import load_settings
from aumer.errors import AumerError, BackendUnavailable, UsageError

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as made:
        yield made


def kill_one_that_works(cluster: Any, killed: list[int]) -> None:
    """As soon as a worker has a video in hand."""
    deadline = time.monotonic() + 200
    with distributed.Client(cluster, set_as_default=False) as client:
        pids: dict[str, int] = client.run(os.getpid)
        while not killed and time.monotonic() < deadline:
            busy = [address for address, tasks in client.processing().items() if tasks]
            if busy:
                killed.append(pids[busy[0]])
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.01)


@pytest.mark.slow
def test_many_workers_of_which_one_dies_make_the_tables_of_one(
    run: Any, videos: Path, tmp_path: Path, cluster: Any
) -> None:
    rec = tmp_path / "rec"
    rec.mkdir()
    for name in ("still.avi", "smile.mp4"):
        shutil.copy(videos / name, rec)
    shutil.copy(videos / "text.mp4", rec / "bad.mp4")
    shutil.copy(videos / "half.avi", rec / "zhalf.avi")
    for folder in ("out-one", "out-two"):
        (tmp_path / folder).mkdir()
    words = "spot rec -o {0} -o {0}/all.csv --format json --format csv --format html"
    assert run(words.format("out-one")).code == 6  # bad.mp4
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_that_works, args=(cluster, killed))
    killer.start()
    address = f"--backend dask --scheduler {cluster.scheduler_address}"
    ran = run(f"{words.format('out-two')} {address}")
    killer.join()
    assert killed, "the run was over before a worker could be killed"
    assert ran.code == 6 and "bad.mp4" in ran.err
    shown = re.search(r"what the cluster does is shown at (http://\S+)", ran.err)
    assert shown is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    page = opener.open(shown[1], timeout=30).read()
    assert b"bokeh" in page and b"needs bokeh" not in page  # what Dask says where it has no page
    here, there = (
        {p.name: p.read_text("utf-8").replace(f, "@") for p in sorted((tmp_path / f).iterdir())}
        for f in ("out-one", "out-two")
    )
    assert here.keys() == there.keys() and "index.html" in here
    for name in here:
        assert here[name] == there[name], name
    # It goes on by content: nothing is sent that is there.
    (tmp_path / "out-two" / "smile.json").unlink()
    (tmp_path / "out-two" / "smile.csv").unlink()
    (tmp_path / "out-two" / "smile.html").unlink()
    again = run(f"{words.format('out-two')} --resume {address}")
    assert again.code == 6
    assert "still.avi: the result of an earlier run is kept" in again.err
    assert (tmp_path / "out-two" / "all.csv").read_text() == here["all.csv"]
    assert (tmp_path / "out-two" / "smile.json").read_text() == here["smile.json"]
    # And so do features, on stdout in the order of the videos.
    alone = run("features rec --no-cache")
    many = run(f"features rec -o {tmp_path}/m.csv -o - --no-cache {address}")
    assert (alone.code, many.code) == (6, 6)
    assert many.out == alone.out == (tmp_path / "m.csv").read_text("utf-8")


@pytest.mark.slow
def test_files_with_others_beside_them_need_no_json(
    run: Any, videos: Path, tmp_path: Path, cluster: Any
) -> None:
    (tmp_path / "out").mkdir()
    words = f"spot {videos}/smile.mp4 -o out --format eaf"
    ran = run(f"{words} --backend dask --scheduler {cluster.scheduler_address}")
    assert ran.code == 0, ran.err
    assert "smile.eaf has no place for" in ran.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"smile.eaf", "smile_curves.csv", "smile_tsconf.xml"}
    # What ELAN opens leads here, and not to where a worker has written it.
    out = tmp_path / "out"
    root = ET.parse(out / "smile.eaf").getroot()
    (media,), beside = root.iter("MEDIA_DESCRIPTOR"), [*root.iter("LINKED_FILE_DESCRIPTOR")]
    assert media.get("MEDIA_URL") == f"file://{videos}/smile.mp4"
    assert (out / media.attrib["RELATIVE_MEDIA_URL"]).samefile(videos / "smile.mp4")
    names.remove("smile.eaf")
    assert {one.get("LINK_URL") for one in beside} == {f"file://{out}/{name}" for name in names}
    assert {one.get("RELATIVE_LINK_URL") for one in beside} == {f"./{name}" for name in names}
    (source,) = ET.parse(out / "smile_tsconf.xml").getroot()
    assert source.get("source-url") == f"file://{out}/smile_curves.csv"


def job(video: str, **options: Any) -> SpotJob:
    how = How(load_settings(), (("model", "rules"),), cache=None, **options)
    plan = Plan(None, ((Path("x.csv"),),), (), False)
    return SpotJob(parse_input(video), how, plan, (("start", None),))


def test_what_is_wrong_with_a_video_is_no_reason_to_try_again(videos: Path) -> None:
    made = spot_there(job(str(videos / "text.mp4")))
    assert "it is text, not a video" in str(outcome(made))
    made = spot_there(job("/nowhere/x.mp4"))
    assert "sees no such file" in str(outcome(made)) and "s3://" in str(outcome(made))

    def lost(_: Any) -> Any:
        raise ConnectionError("the server went away")

    with pytest.raises(ConnectionError):  # which is tried again
        told(parse_input("x.mp4"), lost)


def test_workers_of_another_version_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AumerError, match="two versions must not be mixed"):
        kept(How(load_settings(), version="0.0.9"), lambda how: how)
    monkeypatch.setattr(away, "aumer_version", lambda: "0.0.9")
    assert kept(How(load_settings(), version="0.0.9"), str)


def test_a_worker_keeps_what_it_has_loaded() -> None:
    how = How(load_settings(), version="")
    made: list[How] = []

    def make(how: How) -> int:
        made.append(how)
        return len(made)

    assert [kept(how, make), kept(how, make)] == [1, 1]
    assert kept(How(load_settings(), (("model", "rules"),)), make) == 2


@pytest.mark.parametrize("command", ["spot", "features"])
def test_what_cannot_go_to_a_cluster_is_said_at_once(
    run: Any, videos: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(f"{command} {videos}/smile.mp4 --backend dask")
    assert ran.code == 2 and "the backend dask needs the address of a scheduler" in ran.err
    ran = run(f"{command} camera:0 --end 1 --backend dask --scheduler tcp://127.0.0.1:9")
    assert ran.code == 2 and "a camera is of this machine" in ran.err

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    ran = run(f"{command} {videos}/smile.mp4 --backend dask --scheduler tcp://127.0.0.1:9")
    assert ran.code == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in ran.err
    # Nothing is written then: the same command is not refused the second time.
    suffix = "csv" if command == "spot" else "npz"
    words = f"{command} {videos}/smile.mp4 -o {tmp_path}/all.{suffix} -o {tmp_path}"
    ran = run(f"{words} --backend dask --scheduler tcp://127.0.0.1:9")
    assert ran.code == 2 and not list(tmp_path.iterdir()), ran.err


@pytest.mark.slow
def test_a_scheduler_that_dies_is_named(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    made = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    )
    there = workers.Workers(backend="dask", scheduler=made.scheduler_address)
    threading.Timer(1.5, made.close).start()
    begin = time.monotonic()
    (found,) = [error for _, error in there.each(time.sleep, [4.0])]
    assert time.monotonic() - begin < 100
    assert f"the scheduler at {there.scheduler} lost the job or stopped" in str(found)
    assert "run the same again" in str(found) and "Traceback" not in capfd.readouterr().err


def test_only_a_cluster_takes_single_jobs() -> None:
    from aumer.workers import Workers

    with pytest.raises(UsageError, match="is for a cluster"):
        list(Workers().each(abs, [1]))


@pytest.mark.slow
def test_a_cluster_without_workers_is_said_while_it_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LOOK_S", 0.1)
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    ) as empty:
        there = workers.Workers(backend="dask", scheduler=empty.scheduler_address)
        threading.Timer(1.0, empty.scale, [1]).start()
        assert list(there.run(abs, [-3])) == [3]
    said = [r.getMessage() for r in caplog.records if "has no worker" in r.getMessage()]
    assert len(said) == 1 and f"`dask worker {empty.scheduler_address}`" in said[0]


def test_what_is_no_address_is_said_at_once_and_leaves_nothing(
    run: Any, videos: Path, tmp_path: Path
) -> None:
    """No folder is made before the cluster has answered."""
    for folder in ("rec/a", "rec/b", "out"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("a", "b"):
        shutil.copy(videos / "still.avi", tmp_path / "rec" / folder)
    begun = time.monotonic()
    for command in ("spot", "features"):
        ran = run(f"{command} rec --recursive -o out/ --backend dask --scheduler nonsense")
        assert ran.code == 2 and "no Dask scheduler answers at nonsense" in ran.err
        assert [*(tmp_path / "out").iterdir()] == []
    assert time.monotonic() - begun < 15  # a client that closes waits for 20 s


def test_a_lost_scheduler_is_no_fault_of_ours() -> None:
    """Nobody is asked to report it."""

    class Lost:
        status = "cancelled"

    error = workers._error_of(Lost(), "tcp://10.0.0.1:8786")
    assert isinstance(error, BackendUnavailable) and error.exit_code == 2
    assert "run the same again" in str(error)
