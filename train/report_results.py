"""What a report is made from: one frozen dataclass for each thing that it shows.

In: what training, evaluation and the monitors found; `train.report_rows` makes rows of arrays.
Out: `Results`, which `train.report_files` writes and reads as plain JSON; the names of the fields
are the keys of that file, and a field with a default may be left out of it.
"""

from dataclasses import dataclass, field
from typing import Final

SOURCE_ONLY: Final = "source_only"
ORACLE: Final = "oracle"
"""The method that was trained on target labels: a yardstick, never a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number: one trained network, one domain, one metric."""

    name: str
    """Of the run."""
    method: str
    seed: int
    domain: str
    metric: str
    """With its unit, as in `MPJPE mm`; the lower the better but for `higher_is_better`."""
    value: float
    interval: tuple[float, float] | None
    samples: int
    """People measured."""
    seen_target_test: bool
    """Whether any stage saw this domain's test pictures, without labels or with."""
    group_sums: tuple[float, ...] = ()
    """Sum of the single errors of each group that is redrawn as one (a person, a clip)."""
    group_counts: tuple[int, ...] = ()
    """Number of them; groups stand in the same order in every row of a domain and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the forgetting meter read after one stage of one run; stages stand in their order."""

    run: str
    stage: str
    metric: str
    errors: dict[str, float]
    """By domain."""
    forgotten: dict[str, float] = field(default_factory=dict)
    """Error minus the least of earlier stages, for domains that have an earlier one."""
    watched: dict[str, float] = field(default_factory=dict)
    """Drift of the attention and the like, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Numbers about the latents of one network on one set of pictures."""

    network: str
    pictures: str
    values: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Scores of one range with the share that turned out right."""

    count: int
    mean_score: float
    share_right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """Reliability of one network's scores on one domain."""

    name: str
    expected_error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a stage took."""

    stage: str
    device: str
    seconds: float
    images: int
    matrix_rate_share: float | None = None
    """Share of the device's bf16 matrix rate, where it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Pictures that were used."""

    name: str
    role: str
    """Such as: labelled source, unlabelled target, test of the target."""
    licence: str
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How to get the same again."""

    commit: str
    commands: tuple[str, ...]
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG or JPEG to show, its path relative to the file that names it."""

    title: str
    caption: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A rule: a method must be so much better than source-only."""

    method: str
    domain: str
    metric: str
    least_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetting:
    """A rule: no domain of a run may end more than so much worse than after an earlier stage."""

    run: str
    metric: str
    most: float
    """In the unit of the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the user asks of a network before it goes to the line."""

    improvements: tuple[Improvement, ...] = ()
    forgetting: tuple[Forgetting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that a report shows."""

    title: str = ""
    rows: tuple[Row, ...] = ()
    higher_is_better: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()
    representation: tuple[Network, ...] = ()
    reliability: tuple[Honesty, ...] = ()
    costs: tuple[Cost, ...] = ()
    data: tuple[DataSet, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    pictures: tuple[Picture, ...] = ()
    rules: Rules = field(default_factory=Rules)
