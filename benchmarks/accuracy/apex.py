"""How far the ways to find an apex miss it, on simulated films whose apex is known.

    python -m benchmarks.accuracy.apex [--films N] [--save]

Films of 30 frames a second, 320 x 240, with sway, turns, blinks, changing light and noise, of
expressions with the durations and rises of the CASME II and SAMM tables (short) and of CAS(ME)^2's
macro-expressions (long); onset and offset are given. The apex is the instant at which the rise
ends; the intensity then holds and fades by a little, so that a later frame of the hold is hardly
wrong: "level" is the share of the full intensity that the chosen frame shows. Real clips know no
better than a coder's eye: there the midpoint misses by 8.3 frames of 200 a second (42 ms) on
CASME II and 10.3 (52 ms) on SAMM.
"""

from __future__ import annotations

import time

import numpy as np

from aumer.config import load_settings
from aumer.motion.analysis import analyse
from aumer.recognition.apex import flow_peak, midpoint, roi_difference
from aumer.recognition.frames import aligned_faces
from aumer.simulate.timeline import Event, Timeline
from aumer.simulate.video import Film, Nuisance
from aumer.simulate.warp import Face
from benchmarks.report import Report, options

ACTIONS = ((6, 12), (1, 2), (4,), (14,), (7, 10), (15, 17))
FPS, REST_S = 30, 0.4


def event(rng: np.random.Generator, number: int, kind: str) -> Event:
    """Medians of field.md, section 1: micro .36 s with a rise of .16, macro 1.17 with .40."""
    length, rise = (0.36, 0.16) if kind == "micro" else (1.17, 0.40)
    spread = np.exp(rng.normal(0, 0.25, 2))
    length, rise = length * spread[0], rise * spread[0] * spread[1]
    rise = float(np.clip(rise, 0.07, 0.8 * length))
    release = REST_S + rise + float(rng.uniform(0.1, 0.5)) * (length - rise)
    intensity = float(rng.uniform(0.1, 0.4) if kind == "micro" else rng.uniform(0.3, 1.0))
    actions = tuple((au, "both") for au in ACTIONS[number % len(ACTIONS)])
    return Event(
        "micro" if kind == "micro" else "macro",
        actions,
        REST_S,
        REST_S + rise,
        release,
        REST_S + length,
        intensity,
    )


def misses(kind: str, films: int, face: Face) -> dict[str, list[float]]:
    """Signed error (ms) of each way on each film; positive is late."""
    rng = np.random.default_rng(0)
    settings = load_settings()
    found: dict[str, list[float]] = {}
    for number in range(films):
        acted = event(rng, number, kind)
        timeline = Timeline(acted.offset_s + REST_S, (acted,))
        film = Film(timeline, nuisance=Nuisance(talking=0.0), seed=number, face=face)
        count = round(timeline.duration_s * FPS)
        frames = np.stack([film.frame(k / FPS, k) for k in range(count)])
        onset, offset = round(acted.onset_s * FPS), round(acted.offset_s * FPS)
        analysis = analyse(frames, settings, fps=FPS)
        faces = aligned_faces(
            frames, range(onset, offset + 1), analysis.track, settings.motion, fps=FPS
        )
        greys = np.stack([faces[k].grey for k in sorted(faces)])
        marks = faces[min(faces)].landmarks
        said = {
            "midpoint": midpoint(onset, offset),
            "flow-peak": flow_peak(analysis.features, onset, offset),
            "roi-difference, lag 1": onset + int(roi_difference(greys, marks, 1).argmax()),
            "roi-difference, lag 3": onset + int(roi_difference(greys, marks, 3).argmax()),
        }
        for way, frame in said.items():
            found.setdefault(way, []).append(1000 * (frame / FPS - acted.apex_s))
            # How much of the peak is shown in the frame chosen: what a flow map would miss.
            level = float(acted.level(np.array(frame / FPS))) / acted.intensity
            found.setdefault(f"{way} level", []).append(level)
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--films", type=int, default=24, help="of each kind")
    arguments = parser.parse_args()
    report = Report("Apex finding on simulated films")
    begun = time.perf_counter()
    face = Face(None, (320, 240))
    for kind in ("micro", "macro"):
        found = misses(kind, arguments.films, face)
        report.line(f"{kind}: {arguments.films} films")
        report.line(
            f"{'':24}{'mean |error|':>14}{'median':>9}{'late by':>9}{'frames':>8}{'level':>8}"
        )
        for way in [name for name in found if not name.endswith(" level")]:
            wrong, level = np.array(found[way]), np.array(found[f"{way} level"])
            report.line(
                f"{way:24}{abs(wrong).mean():11.0f} ms{np.median(abs(wrong)):6.0f} ms"
                f"{wrong.mean():6.0f} ms{abs(wrong).mean() * FPS / 1000:8.1f}{level.mean():8.2f}"
            )
        report.line()
    report.line(f"{time.perf_counter() - begun:.0f} s")
    if arguments.save:
        report.save("apex.txt")


if __name__ == "__main__":
    main()
