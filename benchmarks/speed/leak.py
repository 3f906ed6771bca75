"""What a process holds after many videos: memory, threads, descriptors.

    python -m benchmarks.speed.leak [--clips 500] [--save]

One spotter spots in N copies of a short clip, one after the other, as a batch does; with
`--calls`, `aumer.spot` is called anew for each. Prints what the process holds at the tenth clip,
now and then, and at the last: goal 50 MB between the two, threads and descriptors as they were.
Linux alone says how much that is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import aumer
from aumer.pipeline import Spotter
from benchmarks.films import film_video
from benchmarks.memory import held
from benchmarks.report import Report, options

#: The clip from which on nothing should grow, what may (MB), and how often a line is printed.
FIRST, ALLOWED_MB, LINES = 10, 50.0, 10


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clips", type=int, default=500, help=f"more than {FIRST}")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of the clip")
    parser.add_argument("--calls", action="store_true", help="a call of aumer.spot for each clip")
    arguments = parser.parse_args()
    if arguments.clips <= FIRST:
        parser.error(f"--clips must be more than {FIRST}; found {arguments.clips}")
    report = Report(f"Leaks: {arguments.clips} clips of {arguments.seconds:g} s in one process")
    report.line(f"{'clip':>6} {'memory':>9} {'threads':>8} {'descriptors':>12}")
    every = max(1, arguments.clips // LINES)
    with tempfile.TemporaryDirectory() as folder, Spotter() as spotter:
        clip = Path(folder) / "clip.mp4"
        film_video(clip, arguments.seconds)
        first = last = held()
        for number in range(1, arguments.clips + 1):
            (aumer.spot if arguments.calls else spotter)(clip)
            if number not in (FIRST, arguments.clips) and number % every:
                continue
            last = held()
            first = last if number <= FIRST else first
            report.line(f"{number:6} {last[0]:6.0f} MB {last[1]:8} {last[2]:12}")
    grown = last[0] - first[0]
    report.line()
    report.line(
        f"from clip {FIRST} to {arguments.clips}: {grown:+.1f} MB ({ALLOWED_MB:g} allowed: "
        f"{'kept' if grown <= ALLOWED_MB else 'not kept'}), {last[1] - first[1]:+d} threads, "
        f"{last[2] - first[2]:+d} descriptors"
    )
    if arguments.save:
        report.save("leak.txt")


if __name__ == "__main__":
    main()
