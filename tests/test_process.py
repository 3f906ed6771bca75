"""State of the whole process: changed for a moment by several at once, and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest

import aumer.errors
from aumer.process import Momentary, environment, unannounced
from tests.held import Held

ROOT = Path(aumer.errors.__file__).parent.parent


def run(script: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, whose descriptors and forks are nobody else's."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_the_last_of_several_undoes_the_change_and_nobody_else() -> None:
    done: list[str] = []

    def change() -> Callable[[], None]:
        done.append("change")
        return lambda: done.append("undo")

    moment = Momentary(change)
    with moment():
        with moment(), pytest.raises(KeyError), moment():
            raise KeyError
        assert done == ["change"]
    assert done == ["change", "undo"]
    with moment():
        assert done[2:] == ["change"]
    assert done == ["change", "undo"] * 2


def test_blocks_that_overlap_in_threads_restore_what_was_there() -> None:
    """One that begins inside another and ends after it: the second saved what the first had set."""
    name = "AUMER_TEST_OF_A_MOMENT"
    moment = environment(name, "changed")
    os.environ[name] = "as it was"
    began, ended = threading.Event(), threading.Event()

    def longer() -> None:
        with moment():
            began.set()
            assert ended.wait(60)
            assert os.environ[name] == "changed"

    try:
        thread = threading.Thread(target=longer)
        with moment():
            thread.start()
            assert began.wait(60)
        assert os.environ[name] == "changed"
        ended.set()
        thread.join()
        assert os.environ[name] == "as it was"
    finally:
        del os.environ[name]


def test_every_change_of_aumers_is_restored_after_many_threads() -> None:
    import torch

    from aumer.bench.folds import _one_thread
    from aumer.face.retinaface import _pytorch, _warnings_kept
    from aumer.video.capture import quiet

    def state() -> tuple[object, ...]:
        return (
            cv2.getLogLevel(),
            torch.get_num_threads(),
            dict(os.environ),
            list(warnings.filters),
            os.fstat(2).st_ino,
        )

    moments = [quiet, _one_thread, _pytorch, _warnings_kept, unannounced]

    def work(number: int) -> None:
        for k in range(20):
            with moments[(number + k) % 5](), moments[(number + k + 1) % 5]():
                assert cv2.getLogLevel() >= 0

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))  # what libraries open once, they open here
        before, held = state(), Held.now() if sys.platform == "linux" else None
        list(pool.map(work, range(12)))
    assert state() == before
    assert held is None or not Held.now().beyond(held)


def test_stderr_of_other_threads_comes_out_and_announcements_do_not() -> None:
    done = run(
        """
        import os, threading
        from aumer.process import unannounced

        def work(number):
            for k in range(20):
                with unannounced():
                    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
                    os.write(2, b"W0000 00:00:1.5 12 manager.cc:114] Feedback\\n")
                    # In one piece: `print` writes the end of a line by itself, and others between.
                    os.write(2, f"log {number} {k}\\n".encode())

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        raise SystemError("the traceback at the end")
        """
    )
    lines = done.stderr.splitlines()
    said = {f"log {n} {k}" for n in range(4) for k in range(20)}
    assert said <= set(lines)
    assert lines[-1] == "SystemError: the traceback at the end"
    assert not [line for line in lines if "Lite" in line or "Feedback" in line]


def test_without_stderr_nothing_is_silenced_and_nothing_breaks() -> None:
    done = run(
        """
        import os
        from aumer.process import unannounced
        os.close(2)
        with unannounced():
            pass
        print("done")
        """
    )
    assert done.stdout == "done\n"


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


#: A child that answers with the error that it meets, or says that it finished.
_FORKED = """
import os, sys, signal
import numpy as np
import aumer
from aumer.errors import UsageError
from aumer.types import Features

frames = np.zeros((4, 96, 96, 3), np.uint8)
grid = np.arange(60)
features = Features(
    np.zeros((60, 12, 2), np.float32), grid / 30, grid, np.ones(60, bool), {rois}, 30.0,
    eye_distance=80.0,
)

def use():
    try:
        {use}
    except aumer.errors.NoFaceError:
        pass

{before}
child = os.fork()
if not child:
    signal.alarm(90)  # a child that hangs is killed
    try:
        use()
    except UsageError as error:
        print(error, flush=True)
        os._exit(2)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_USES = {
    "spot": "aumer.spot(frames, fps=30)",
    "network": "aumer.spot(features, model='network')",
    "classify": "aumer.classify(frames, fps=30)",
    "measure": "aumer.features(frames, fps=30)",
}


def forked(use: str, before: str) -> subprocess.CompletedProcess[str]:
    from aumer.config import load_settings
    from aumer.graph.rois import roi_set

    rois = roi_set(load_settings().motion.rois).names
    return run(_FORKED.format(use=_USES[use], before=before, rois=rois))


@fork
@pytest.mark.parametrize("use", _USES)
def test_a_child_of_a_process_that_was_at_work_is_told_to_spawn(use: str) -> None:
    done = forked(use, "use()")
    told, code = done.stdout.splitlines()
    assert code == "2", done.stderr
    assert "forked" in told
    assert "spawn" in told


@fork
def test_a_child_of_a_process_that_has_only_imported_works() -> None:
    done = forked("spot", "pass")
    assert done.stdout.splitlines() == ["0"], done.stderr


def test_no_file_gets_the_number_of_a_stream_that_is_closed(tmp_path: Path) -> None:
    """What libraries print would go into it."""
    done = run(
        f"""
        import os
        from aumer.process import keep_streams
        os.close(0), os.close(2)
        keep_streams()
        keep_streams()
        file = open({str(tmp_path / "film")!r}, "w")
        print(file.fileno())
        os.write(2, b"lost")
        """
    )
    assert int(done.stdout) > 2
    assert (tmp_path / "film").read_text() == ""
