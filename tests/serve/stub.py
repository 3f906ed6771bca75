"""Takes the place of `aumer.spot` in a job's process, where the service is what is tested."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aumer.errors import NoFaceError, VideoError
from aumer.serve.worker import WorkerTask

#: What a file begins with that the service takes for a video.
HEAD = b"\x00\x00\x00\x18ftypisom"


def film(word: str, size: int = 2000) -> bytes:
    """A file whose job does as the word says."""
    return HEAD + word.encode().ljust(size - len(HEAD), b" ")


def analyze(task: WorkerTask) -> Sequence[Mapping[str, Any]]:
    """Do as the file says: ``echo X``, ``wait``, ``crash``, ``crash once``, ``memory``, ..."""
    word = task.source.read_bytes()[len(HEAD) :].decode().strip()
    tries = task.cache / "tries"
    task.cache.mkdir(exist_ok=True)
    before = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (before + 1))
    task.progress(1, 2)  # whoever tests waits for this
    if word == "crash" or (word == "crash once" and not before):
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "memory":
        bytearray(1 << 40)
    if word == "face":
        raise NoFaceError("no face")
    if word == "video":
        raise VideoError(f"{task.source}: no video")
    if word == "bug":
        raise RuntimeError("a bug")
    if word == "frames":
        task.progress(1 << 40, None)
    if word.startswith("wait"):
        # Whoever tests says when it may go on: a file named after `wait`.
        go = Path(word.partition(" ")[2] or os.devnull + "/none")
        while not go.exists():
            time.sleep(0.02)
    for suffix in task.options.formats:
        text = json.dumps({"word": word, "name": task.source.name, "tries": before + 1})
        (task.made / f"1.{suffix}").write_text(text)
    return [{"face": None, "micro": 0, "macro": 1}]
