"""Make reading.csv, the untidy file of the page on your own data, and print its checksum.

Pupils of twenty schools; nobody's record. What makes it untidy is put in at the end.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import RRandom

SEED = 2069
SIZES = [1, 1, 3, 4, 5, 6, 8, 9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 38, 46]
TREES = (
    "Alder Apple Ash Aspen Beech Birch Cedar Cherry Elder Elm Fir Hazel Holly Larch Lime Maple "
    "Oak Pine Rowan Willow"
).split()
SPELLINGS = [str, str, str, str, str, str, str.lower, lambda name: name + " "]


def tidy_records(stream) -> pd.DataFrame:
    """One row per pupil: school, pupil, tested on, programme, hours, income, reading score."""
    schools = np.array(TREES)[stream.sample(20, 20) - 1]
    n, which = sum(SIZES), np.repeat(np.arange(20), SIZES)
    level, slope = stream.normal(20, sd=5), stream.normal(20, sd=1.2)
    usual = stream.normal(20, mean=4, sd=1.2)
    programme = np.arange(20) % 2 == 1
    hours = np.clip(usual[which] + stream.normal(n, sd=1.6), 0, None).round(1)
    income = np.exp(10.6 + 0.1 * usual[which] + stream.normal(n, sd=0.35)).round(-2)
    days = np.floor(300 * stream.uniform(n))
    within = hours - pd.Series(hours).groupby(which).transform("mean")
    score = (
        72
        + (2 + slope[which]) * within
        + 4 * usual[which]
        + 5 * programme[which]
        + 0.8 * days / 30.4
        + 0.1 * (income - 50_000) / 1000
        + level[which]
        + stream.normal(n, sd=8)
    )
    return pd.DataFrame(
        {
            "school": schools[which] + " School",
            "pupil": np.arange(1, n + 1),
            "tested on": pd.Timestamp("2023-09-04") + pd.to_timedelta(days, "D"),
            "programme": np.where(programme[which], "yes", "no"),
            "hours": hours,
            "income": income.astype(int),
            "reading score": score.round(1),
        }
    )


def untidy(data, stream) -> pd.DataFrame:
    """Put in what files from elsewhere have: spellings, codes, words among numbers, gaps."""
    n = len(data)
    spelling = np.floor(len(SPELLINGS) * stream.uniform(n)).astype(int)
    data = data.iloc[stream.sample(n, n) - 1]
    data = data.reset_index(drop=True)
    data["school"] = [
        SPELLINGS[at](name) for at, name in zip(spelling, data["school"], strict=True)
    ]
    data["tested on"] = data["tested on"].dt.strftime("%d.%m.%Y")
    data["hours"] = data["hours"].astype(str)
    places = stream.sample(n, 35) - 1
    data.loc[places[:6], "hours"] = "k.A."
    data.loc[places[6:15], "hours"] = np.nan
    data.loc[places[15:28], "income"] = -99
    data.loc[places[28:], "reading score"] = np.nan
    return pd.concat([data, data.iloc[[40, 200]]], ignore_index=True)


if __name__ == "__main__":
    stream = RRandom(SEED)
    path = Path(__file__).with_name("reading.csv")
    untidy(tidy_records(stream), stream).to_csv(path, index=False, lineterminator="\n")
    print(sha256(path.read_bytes()).hexdigest())
