"""Spot in all videos of a table, and total the expressions by condition.

    python batch_by_condition.py study.csv results

`study.csv` has the columns file, subject and condition; file is relative to the table. The folder
`results` gets one JSON a video and totals.csv. A video that fails is named, and the others go on.
(`aumer spot --manifest study.csv -o results/ -o all.csv` does the same in one line; start from here
where your study needs something else.)
"""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import aumer
from aumer.results.totals import VideoTally, totals, totals_csv, totals_table


def main(study: str, folder: str) -> None:
    table, out = Path(study), Path(folder)
    out.mkdir(exist_ok=True)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    tallies = []
    with aumer.Spotter(model="rules") as spotter:  # what is slow to make is made once
        for row in rows:
            video = table.parent / row["file"]
            try:
                result = spotter(video)
            except aumer.AumerError as error:
                print(f"{video} is left out: {error}", file=sys.stderr)
                continue
            result = replace(result, about=row)  # the row goes along into the JSON
            result.save(out / f"{video.stem}.json", overwrite=True)
            tallies.append(VideoTally.of(result))

    found = totals(tallies, by=["condition"])
    (out / "totals.csv").write_text(totals_csv(found), encoding="utf-8")
    print(totals_table(found), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
