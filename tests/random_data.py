"""Data as readers bring them, drawn at random: units, types, names, sizes, boundaries, formulas."""

import numpy as np
import pandas as pd

NAMES = ["x", "age", "Treatment", "my x", "class", "a.b", "scale", "C", "if", "Größe", "I", "log"]
GROUPS = ["g", "school", "site id", "Subject", "group", "n", "lambda"]
#: What a predictor is measured in: a function of a random stream and the number of rows.
UNITS = {
    "standard": lambda stream, n: stream.normal(size=n),
    "age": lambda stream, n: stream.integers(18, 81, n),
    "score": lambda stream, n: np.round(stream.uniform(0, 100, n), 1),
    "year": lambda stream, n: stream.integers(1990, 2025, n),
    "income": lambda stream, n: np.round(np.exp(stream.normal(10.5, 0.5, n)), 2),
    "seconds since 1970": lambda stream, n: 1_600_000_000 + stream.integers(0, 10_000_000, n),
    "hertz": lambda stream, n: stream.uniform(20, 20_000, n),
    "metres, microns": lambda stream, n: 1e-6 * stream.uniform(1, 50, n),
    "two values": lambda stream, n: stream.integers(0, 2, n),
    "YYYYMMDD": lambda stream, n: (
        20_240_000 + 100 * stream.integers(1, 13, n) + stream.integers(1, 29, n)
    ),
}
#: Formulas; those of "moved" stay the same model when a constant is added to x.
MOVED = [
    "y ~ {x} + (1 | {g})",
    "y ~ {x} + ({x} | {g})",
    "y ~ {x} + f + ({x} | {g})",
    "y ~ {x} * f + (1 | {g})",
    "y ~ {x} + ({x} | {g}) + (1 | {g}:h)",
]
FIXED = [
    "y ~ {x} + ({x} || {g})",
    "y ~ {x} + (1 | {g}) + (0 + {x} | {g})",
    "y ~ {x} + (0 + {x} | {g})",
    "y ~ f + (0 + f | {g})",
    "y ~ f + (f | {g})",
    "y ~ f + (f || {g})",
    "y ~ {x} + (1 | {g}/h)",
    "y ~ {x} + (1 | {g}) + (1 | {g}:h)",
    "y ~ {x} + (1 | h:{g}) + (1 | {g})",
    "y ~ {x} + (1 | {g}) + (1 | unique)",
    "y ~ {x} + (1 | unique) + (1 | {g})",
    "y ~ 0 + (1 | {g})",
    "y ~ 1 + ({x} | {g})",
    "y ~ scale({x}) + (scale({x}) | {g})",
    "y ~ poly({x}, 2) + (1 | {g})",
    "y ~ I({x}^2) + (1 | {g})",
    "y ~ np.log({x}) + (np.log({x}) | {g})",
    "y ~ {x} + I({x}^2) + (1 | {g})",
    "y ~ b + (b | {g})",
    "y ~ 0 + f + (1 | {g})",
    "y ~ (f + b)^2 + (1 | {g})",
    "y ~ {x} + (1 | {g}) + (0 + scale({x}) | {g})",
]


def quoted(name):
    return name if name.isidentifier() and name not in ("class", "if", "lambda") else f"`{name}`"


def draw(seed):
    """Draw a data set.

    Returns formula, data, REML or ML, and what the unit of its predictor is; x and g are in
    data.attrs under the names they have here.
    """
    stream = np.random.default_rng([2026, seed])
    formula = str(stream.choice(MOVED + FIXED))
    x, g = str(stream.choice(NAMES)), str(stream.choice(GROUPS))
    unit = str(stream.choice(list(UNITS)))
    if ("log" in formula or "^2" in formula or "poly" in formula) and unit in (
        "two values",
        "standard",
    ):
        unit = "age"
    n_clusters = int(stream.integers(6, 41))
    sizes = _sizes(stream, n_clusters)
    clusters = np.repeat(np.arange(n_clusters), sizes)
    n = len(clusters)
    values = UNITS[unit](stream, n)
    within = np.concatenate([np.arange(size) for size in sizes])
    f = within % int(stream.integers(2, 4))
    h = within % int(stream.integers(2, 5))
    b = stream.integers(0, 2, n).astype(bool)
    z = (values - values.mean()) / values.std()
    sds = stream.choice([0, 0.1, 0.5, 1, 3], 4)
    y = 0.5 * z + 0.3 * f + sds[0] * stream.normal(size=n_clusters)[clusters]
    y = y + sds[1] * stream.normal(size=n_clusters)[clusters] * z
    y = y + sds[2] * stream.normal(size=(n_clusters, 5))[clusters, h]
    y = y + sds[3] * stream.normal(size=(n_clusters, 3))[clusters, f]
    y = (y + stream.normal(size=n)) * 10.0 ** stream.integers(-3, 6) + stream.choice([0, 100])
    data = pd.DataFrame({"y": y, x: values, g: _ids(stream, clusters)})
    data["f"] = _levels(stream, f)
    data["h"] = np.array(list("pqrst"))[h] if stream.random() < 0.5 else h + 1
    data["b"] = b if stream.random() < 0.5 else pd.array(b, dtype="boolean")
    data["unique"] = 10 * clusters + h + 1000
    if stream.random() < 0.3:
        data = data.assign(np=1, Q=2, Intercept=3)
    if stream.random() < 0.3:
        data = data.convert_dtypes()
    data = data.sample(frac=1, random_state=seed)
    text = formula.format(x=quoted(x), g=quoted(g))
    data.attrs = {"x": x, "g": g, "moved": formula in MOVED}
    return text, data, bool(stream.random() < 0.7), unit


def _sizes(stream, n_clusters):
    kind = stream.integers(0, 3)
    if kind == 0:
        return np.full(n_clusters, stream.integers(6, 13))
    if kind == 1:
        return stream.integers(3, 16, n_clusters)
    # Some clusters of a single row.
    return np.where(stream.random(n_clusters) < 0.3, 1, stream.integers(6, 20, n_clusters))


def _ids(stream, clusters):
    kind = stream.integers(0, 4)
    if kind == 0:
        return clusters + 1
    if kind == 1:
        return np.array([f"id {number}" for number in clusters])
    return pd.Categorical(clusters) if kind == 2 else clusters * 1.0


def _levels(stream, f):
    names = np.array(["low", "mid", "high"])[f]
    if stream.random() < 0.5:
        return names
    return pd.Categorical(names, ["low", "mid", "high", "never"], ordered=True)
