"""The report: claims worked out by hand, strict reading, a page that needs nothing but itself."""

import argparse
import base64
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
import torch

from browser import chromium
from edge_pose.errors import ConfigError, SourceError
from train.confidence import reliability
from train.forgetting import DomainError, Drift, Reading
from train.report import add_arguments, main
from train.report_files import read_results, write_results
from train.report_html import breakable, element, page
from train.report_page import report, seen_sentence
from train.report_pictures import (
    attention_over,
    reconstructions,
    rollout_heat,
    save,
    strongest,
    unit_responses,
)
from train.report_results import (
    ORACLE,
    SOURCE_ONLY,
    Cost,
    DataSet,
    Forgetting,
    Improvement,
    Picture,
    Provenance,
    Results,
    Row,
    Rules,
)
from train.report_rows import honesty, measured, network, stages
from train.report_summary import summarise, tables
from train.report_table import what_each_step_gave
from train.report_verdicts import Outcome, verdicts
from train.representation import monitors, selectivity

METRIC = "MPJPE mm"
SITE = "other site"


def row(method: str, seed: int, value: float, *, domain: str = SITE, metric: str = METRIC) -> Row:
    """Make a row of which only the value is known."""
    return Row(
        name=f"{method}-{seed}",
        method=method,
        seed=seed,
        domain=domain,
        metric=metric,
        value=value,
        interval=None,
        samples=10,
        seen_target_test=False,
    )


def drawn_row(method: str, seed: int, errors: np.ndarray, *, seen: bool = False) -> Row:
    """Make a row of single errors."""
    return measured(
        name=f"{method}-{seed}",
        method=method,
        seed=seed,
        domain=SITE,
        metric=METRIC,
        errors=errors,
        groups=None,
        seen_target_test=seen,
    )


def noise(seed: int, people: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 15, (people, 4))


def three_seeds(method: str, mean_mm: float, *, apart: float = 2.0) -> list[Row]:
    people = noise(0)
    return [
        drawn_row(method, seed, mean_mm + people + 0.2 * noise(hash_of(method, seed)) + shift)
        for seed, shift in enumerate((-apart, 0.0, apart))
    ]


def hash_of(method: str, seed: int) -> int:
    return sum(map(ord, method)) * 10 + seed


@cache
def adapted() -> tuple[Row, ...]:
    means = {SOURCE_ONLY: 200.0, "attention": 140.0, ORACLE: 100.0}
    return tuple(one for method, mean in means.items() for one in three_seeds(method, mean))


def test_the_gap_closed_is_worked_out_by_hand() -> None:
    """Means 200, 140 and 100: 60 of 100 mm; the improvement is 30 % of 200 mm."""
    rows = [
        *(row(SOURCE_ONLY, seed, value) for seed, value in enumerate((190.0, 200.0, 210.0))),
        *(row("attention", seed, value) for seed, value in enumerate((130.0, 140.0, 150.0))),
        row(ORACLE, 0, 100.0),
        row("worse", 0, 220.0),
    ]
    table = summarise(rows)
    assert [summary.method for summary in table.methods] == [
        SOURCE_ONLY,
        "attention",
        "worse",
        ORACLE,
    ]
    attention, worse = table.methods[1], table.methods[2]
    assert attention.mean.value == pytest.approx(140)
    assert attention.gap_closed is not None
    assert attention.gap_closed.value == pytest.approx(0.6)
    assert attention.gap_closed.interval is None
    assert attention.minus_source is not None
    assert attention.minus_source.value == pytest.approx(-60)
    assert attention.improvement_percent is not None
    assert attention.improvement_percent.value == pytest.approx(30)
    assert worse.gap_closed is not None
    assert worse.gap_closed.value == pytest.approx(-0.2)


def test_where_higher_is_better_a_rise_is_an_improvement() -> None:
    rows = [row(SOURCE_ONLY, 0, 50.0), row("attention", 0, 65.0), row(ORACLE, 0, 75.0)]
    (table,) = tables(rows, [METRIC])
    attention = table.of("attention")
    assert attention is not None
    assert attention.improvement_percent is not None
    assert attention.improvement_percent.value == pytest.approx(30)
    assert attention.gap_closed is not None
    assert attention.gap_closed.value == pytest.approx(0.6)


def test_pairing_takes_out_what_pictures_have_in_common() -> None:
    """The method is 30 mm and the oracle 50 mm nearer in every picture: 60 %, without a doubt."""
    people = 150 + noise(1)
    rows = [
        drawn_row(SOURCE_ONLY, 0, people),
        drawn_row("attention", 0, people - 30),
        drawn_row(ORACLE, 0, people - 50),
    ]
    attention = summarise(rows).of("attention")
    assert attention is not None
    assert attention.mean.interval is not None
    assert attention.mean.interval[1] - attention.mean.interval[0] > 1
    assert attention.minus_source is not None
    assert attention.minus_source.interval == pytest.approx((-30, -30))
    assert attention.gap_closed is not None
    assert attention.gap_closed.interval == pytest.approx((0.6, 0.6))


def test_seeds_that_disagree_widen_the_interval_by_their_law() -> None:
    """Without noise of pictures only seeds are redrawn: -6, 0, 6 in 27 equally likely triples."""
    flat = np.full((50, 1), 100.0)
    rows = [drawn_row("attention", seed, flat + shift) for seed, shift in enumerate((-6, 0, 6))]
    (attention,) = summarise(rows).methods
    # all three alike at one end has 1/27 = 3.7 % on each side, more than 2.5 %
    assert attention.mean.interval == pytest.approx((94, 106))
    assert attention.by_seed == ((0, 94.0), (1, 100.0), (2, 106.0))


def test_a_gap_that_may_be_none_has_no_share() -> None:
    people = 150 + noise(1)
    rows = [
        drawn_row(SOURCE_ONLY, 0, people),
        drawn_row("attention", 0, people - 30),
        drawn_row(ORACLE, 0, people[::-1] - 0.1),
    ]
    attention = summarise(rows).of("attention")
    assert attention is not None
    assert attention.gap_closed is None
    backwards = [row(SOURCE_ONLY, 0, 100.0), row("attention", 0, 90.0), row(ORACLE, 0, 120.0)]
    worse = summarise(backwards).of("attention")
    assert worse is not None
    assert worse.gap_closed is None


def test_a_row_keeps_what_pairing_needs_also_of_groups_without_a_measurement() -> None:
    errors = np.array([[10.0, 20.0], [30.0, np.nan], [np.nan, np.nan]])
    made = measured(
        name="run",
        method="attention",
        seed=0,
        domain=SITE,
        metric=METRIC,
        errors=errors,
        groups=np.array([5, 5, 9]),
        seen_target_test=False,
    )
    assert made.value == pytest.approx(20)
    assert made.samples == 2
    assert made.group_sums == (60.0, 0.0)
    assert made.group_counts == (3, 0)


def rule(least_percent: float, method: str = "attention") -> Rules:
    return Rules(
        improvements=(
            Improvement(method=method, domain=SITE, metric=METRIC, least_percent=least_percent),
        )
    )


@pytest.mark.parametrize(
    ("least_percent", "outcome"),
    [(20.0, Outcome.MET), (29.5, Outcome.NOT_SHOWN), (35.0, Outcome.MISSED)],
)
def test_a_rule_is_met_only_when_the_whole_interval_is_beyond_it(
    least_percent: float, outcome: Outcome
) -> None:
    """The improvement is 30 % with about 1 % of doubt."""
    results = Results(rows=adapted(), rules=rule(least_percent))
    (verdict,) = verdicts(results, tables(results.rows))
    assert verdict.outcome is outcome
    assert re.match(r"30\.\d % \[2\d\.\d, 3\d\.\d\], 3 seeds", verdict.reason)


def test_one_seed_shows_nothing() -> None:
    rows = tuple(one for one in adapted() if one.method != "attention" or one.seed == 0)
    (verdict,) = verdicts(Results(rows=rows, rules=rule(20.0)), tables(rows))
    assert verdict.outcome is Outcome.NOT_SHOWN
    assert "1 seed of the 3 that a claim needs" in verdict.reason


READINGS = (
    Reading(
        stage="source",
        errors={
            "synthetic": DomainError(crop_percent=2.0, mm=80.0),
            "real": DomainError(crop_percent=3.0, mm=None),
        },
    ),
    Reading(
        stage="adapt",
        errors={
            "synthetic": DomainError(crop_percent=2.5, mm=87.0),
            "real": DomainError(crop_percent=2.5, mm=None),
        },
        forgotten_mm={"synthetic": 7.0},
        forgotten_crop_percent={"synthetic": 0.5, "real": -0.5},
        drift=Drift(
            row_divergence_nats=0.02,
            rollout_overlap=0.7,
            foreground_mass=None,
            foreground_mass_before=None,
        ),
        reconstruction=0.5,
    ),
)


@pytest.mark.parametrize(("most", "outcome"), [(7.0, Outcome.MET), (6.9, Outcome.MISSED)])
def test_forgetting_is_judged_after_the_last_stage_in_the_unit_of_the_rule(
    most: float, outcome: Outcome
) -> None:
    bound = Forgetting(run="attention-0", metric=METRIC, most=most)
    results = Results(stages=stages("attention-0", READINGS), rules=Rules(forgetting=(bound,)))
    (verdict,) = verdicts(results, ())
    assert verdict.outcome is outcome
    assert "most on synthetic: +7.0 after adapt" in verdict.reason


def test_readings_keep_millimetres_apart_from_what_is_measured_in_the_picture() -> None:
    found = stages("run", READINGS)
    assert [(stage.stage, stage.metric) for stage in found] == [
        ("source", METRIC),
        ("source", "2D error, % of crop"),
        ("adapt", METRIC),
        ("adapt", "2D error, % of crop"),
    ]
    assert found[2].errors == {"synthetic": 87.0}
    assert found[2].watched == {
        "row divergence nats": 0.02,
        "rollout overlap": 0.7,
        "reconstruction": 0.5,
    }
    assert found[3].forgotten == {"synthetic": 0.5, "real": -0.5}


def everything(folder: Path) -> Results:
    latents = np.random.default_rng(0).normal(size=(40, 6))
    scores = np.random.default_rng(1).random(500)
    cv2.imwrite(str(folder / "pixels.png"), np.full((8, 8, 3), 90, np.uint8))
    return Results(
        title="Line 7 <b>& others</b>",
        rows=adapted(),
        stages=stages("attention-0", READINGS),
        representation=(
            network(
                "ViT nano",
                "other site",
                monitors(latents),
                probes={},
                selective={"activity": selectivity(latents, np.arange(40) % 2)},
            ),
        ),
        reliability=(honesty("student", reliability(scores, scores > 0.5)),),
        costs=(Cost(stage="pretrain", device="2 CPU cores", seconds=3725.0, images=7450),),
        data=(DataSet(name="workers", role="unlabelled target", licence="CC0 1.0", pictures=7063),),
        provenance=(
            Provenance(commit="abc1234", commands=("train adapt --seed 0",), machine="2 cores"),
        ),
        pictures=(Picture(title="Grey", caption="All grey.", path="pixels.png"),),
        rules=rule(20.0),
    )


class Outline(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    ALONE = frozenset({"meta", "img", "source", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.images: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what is open and what is fetched."""
        if tag not in self.ALONE:
            self.open.append(tag)
        assert tag not in {"script", "link", "iframe", "object"}
        for key, value in attrs:
            if key in {"src", "srcset"}:
                self.images.append(value or "")
            if key in {"href", "action", "data", "background"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, one space between them."""
        return " ".join(" ".join(self.words).split())


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_results(folder / "results.json", everything(folder))
    return report(read_results([folder / "results.json"]))


def test_the_page_is_well_formed_and_asks_nobody_for_anything(html: str) -> None:
    found = outline(html)
    assert found.addresses == []
    assert not re.search(r"url\(|@import|https?:", html)
    kinds = [image.partition(";")[0] for image in found.images]
    assert kinds.count("data:image/png") == 1
    assert kinds.count("data:image/svg+xml") == 2 * 4  # errors, two stage charts, reliability
    for image in found.images:
        content = base64.b64decode(image.partition("base64,")[2], validate=True)
        if image.startswith("data:image/svg"):
            references = [
                value
                for node in ET.fromstring(content).iter()  # noqa: S314 our own drawing
                for key, value in node.attrib.items()
                if key.endswith("href")
            ]
            assert all(reference.startswith("#") for reference in references)


def test_the_page_says_what_was_measured(html: str) -> None:
    text = outline(html).text
    assert "Line 7 <b>& others</b>" in text  # as words, not as an element
    for words in (
        "Go: the rule is met",
        "No network here saw a test picture",
        "60 %",
        "attention 3 seeds",
        "87.0 +7.0",
        "1 h 02 min",
        "2.0",  # images a second
        "workers unlabelled target CC0 1.0 7063",
        "Commit abc1234 on 2 cores",
        "train adapt --seed 0",
        "expected calibration error",
        "units selective for activity",
        "All grey.",
    ):
        assert words in text


def test_who_saw_test_pictures_is_named() -> None:
    rows = [*adapted(), drawn_row("pseudo_labels", 0, 150 + noise(3), seen=True)]
    assert "pseudo_labels on other site" in seen_sentence(rows)
    text = outline(report(Results(title="t", rows=tuple(rows)))).text
    assert "Test pictures of the target were seen in training by: pseudo_labels" in text
    assert "No verdict: no rules were set" in text


def test_writing_and_reading_gives_the_same_and_files_are_put_together(tmp_path: Path) -> None:
    whole = everything(tmp_path)
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write_results(first, replace(whole, rules=Rules()))
    write_results(second, Results(rules=whole.rules))
    expected = replace(
        whole, pictures=(replace(whole.pictures[0], path=str(tmp_path / "pixels.png")),)
    )
    assert read_results([first, second]) == expected


Table = dict[str, Any]


def misspell(table: Table) -> None:
    table["rows"][0]["sead"] = table["rows"][0].pop("seed")


def omit(table: Table) -> None:
    del table["rows"][0]["seed"]


def quote(table: Table) -> None:
    table["rows"][0]["seed"] = "0"


def shorten(table: Table) -> None:
    table["rows"][0]["interval"] = [1.0]


def repeat(table: Table) -> None:
    table["rows"].append(table["rows"][0])


def lie(table: Table) -> None:
    table["rows"][0] |= {"value": 120.0, "interval": [90.0, 150.0]}


def stray(table: Table) -> None:
    table["rows"][0]["value"] = 500.0


def add_a_group(table: Table) -> None:
    table["rows"][0]["group_sums"].append(7.0)


def misname_the_method(table: Table) -> None:
    table["rules"]["improvements"][0]["method"] = "atention"


def ask_the_oracle(table: Table) -> None:
    table["rules"]["improvements"][0]["method"] = ORACLE


def bound_nobody(table: Table) -> None:
    table["rules"]["forgetting"] = [{"run": "attention-7", "metric": METRIC, "most": 5.0}]


def put_nothing(table: Table) -> None:
    table["rows"][0]["value"] = float("nan")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (misspell, r"rows\[0\] has an unknown key 'sead'; did you mean 'seed'\?"),
        (omit, r"rows\[0\] lacks seed"),
        (quote, r"rows\[0\]: seed is '0', wanted int"),
        (shorten, r"rows\[0\]: interval has 1 entries, wanted 2"),
        (repeat, "attention with seed 0 on other site has 2 values of MPJPE mm"),
        (lie, "is 120.0, but its groups give 100"),
        (stray, "is 500.0, outside of its interval"),
        (add_a_group, "has 6 sums of groups and 5 counts"),
        (misname_the_method, "did you mean 'attention'"),
        (ask_the_oracle, "'oracle' to improve, which is a yardstick"),
        (bound_nobody, "run 'attention-7', which was not measured; known: none"),
        (put_nothing, "not JSON: NaN is no number"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(
    tmp_path: Path, change: Callable[[Table], None], complaint: str
) -> None:
    flat = np.full((5, 2), 100.0)
    table = asdict(Results(rows=(drawn_row("attention", 0, flat),), rules=rule(20.0)))
    table = json.loads(json.dumps(table))
    change(table)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=complaint):
        read_results([path])


def test_rows_of_other_pictures_cannot_be_paired(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(
        path,
        Results(rows=(drawn_row("a", 0, noise(0, 20) + 99), drawn_row("b", 0, noise(0, 21) + 99))),
    )
    with pytest.raises(ConfigError, match="21 groups of other site, a-0 on 20; measure both"):
        read_results([path])


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    shown = Picture(title="Units", caption="", path=str(tmp_path / "gone.png"))
    with pytest.raises(SourceError, match=r"Units.*cannot be read"):
        report(Results(title="t", pictures=(shown,)))
    (tmp_path / "gone.png").write_text("words")
    with pytest.raises(SourceError, match="neither PNG nor JPEG"):
        report(Results(title="t", pictures=(shown,)))


def test_words_never_become_elements() -> None:
    made = element("p", 'a < b & "c"', title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">a &lt; b &amp; &quot;c&quot;</p>'
    assert breakable("l2_sp+<b>") == "l2_<wbr>sp+<wbr>&lt;b&gt;"
    assert outline(page("<i>", element("p", "</p><p>"))).text == "<i> </p><p>"


def test_the_strongest_pictures_of_a_unit_are_found_with_their_place() -> None:
    responses = np.zeros((4, 2, 2, 3))
    responses[2, 0, 1, 2] = 9.0
    responses[0, 0, 0, 1] = 5.0
    responses[3, 1, 1, 0] = 4.0
    found = strongest(responses, 2)
    assert found.picture[0].tolist() == [2, 0]
    assert list(zip(found.row[0], found.column[0], strict=True)) == [(1, 2), (0, 1)]
    assert found.response[0].tolist() == [9.0, 5.0]
    assert (found.picture[1, 0], found.row[1, 0], found.column[1, 0]) == (3, 1, 0)


def test_the_heat_of_a_rollout_lies_where_everybody_looks() -> None:
    flow = torch.zeros(1, 16, 16)
    flow[0, :, 6] = 1.0
    heat = rollout_heat(flow)
    assert heat.shape == (1, 4, 4)
    assert heat[0, 1, 2] == 1
    assert heat.sum() == 1


def test_pictures_show_what_they_are_given(tmp_path: Path) -> None:
    """A red picture is drawn red, attention in one corner glows there, a unit's place is marked."""
    red = np.zeros((1, 3, 32, 32), np.float32)
    red[:, 0] = 1
    save(reconstructions(red, red, red), tmp_path / "rebuilt.png")
    drawn = cv2.imread(str(tmp_path / "rebuilt.png"))
    assert drawn is not None
    assert np.all(drawn == (0, 0, 255), axis=2).mean() > 0.3

    heat = np.zeros((1, 4, 4))
    heat[0, 0, 0] = 1
    save(attention_over(red, heat), tmp_path / "heat.png")
    glow = cv2.imread(str(tmp_path / "heat.png"))
    assert glow is not None
    lower = glow[glow.shape[0] // 2 :].astype(int)
    inside = np.argwhere(lower.min(axis=2) < 250)  # the plate is white
    (top, left), (bottom, right) = inside.min(axis=0) + 8, inside.max(axis=0) - 8
    left += (right - left) // 4  # past the label
    assert lower[top, left].sum() > lower[bottom, right].sum() + 100

    responses = np.zeros((1, 1, 4, 4))
    responses[0, 0, 3, 3] = 1
    save(unit_responses(red, responses, [0], top=1), tmp_path / "unit.png")
    marked = cv2.imread(str(tmp_path / "unit.png"))
    assert marked is not None
    orange = np.argwhere(np.abs(marked.astype(int) - (77, 184, 255)).max(axis=2) < 10)
    reds = np.argwhere(np.all(marked == (0, 0, 255), axis=2))
    assert orange.min(axis=0)[0] > reds.mean(axis=0)[0]
    assert orange.min(axis=0)[1] > reds.mean(axis=0)[1]


def test_the_table_of_text_says_means_seeds_and_the_share_of_the_gap() -> None:
    """Means 200, 140 and 100: 60 of 100 mm."""
    lines = what_each_step_gave(Results(rows=adapted())).splitlines()
    assert lines[0] == f"| variant | seeds | {SITE}: {METRIC} |"
    of = {line.split(" | ")[0].removeprefix("| "): line for line in lines[2:]}
    assert re.search(r"\| 3 \| 1(39|40)\.\d\d \[1[34]\d\..*\] \(60%\) \|", of["attention"])
    assert "%" not in of[SOURCE_ONLY] + of[ORACLE]


def test_the_command_writes_the_page_and_says_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, rules, out = tmp_path / "r.json", tmp_path / "rules.json", tmp_path / "new" / "r.html"
    write_results(results, Results(rows=adapted()))
    rules.write_text(
        json.dumps(
            {
                "rules": {
                    "improvements": [
                        {
                            "method": "attention",
                            "domain": SITE,
                            "metric": METRIC,
                            "least_percent": 35,
                        }
                    ]
                }
            }
        )
    )
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    main(parser.parse_args([str(results), str(rules), "--out", str(out)]))
    said = capsys.readouterr().out
    assert "No-go: 1 of 1 rules missed" in said
    assert said.startswith(f"| variant | seeds | {SITE}: {METRIC} |")
    assert "No-go: 1 of 1 rules missed" in outline(out.read_text()).text


@pytest.mark.slow  # starts a browser
def test_on_a_phone_only_tables_scroll_sideways(html: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(html)
    with chromium(tmp_path) as browser:
        browser.resize(375, 800, mobile=True)
        browser.open(path.as_uri())
        assert browser.run("return document.documentElement.scrollWidth") <= 375
        assert browser.run("return [...document.images].every(i => i.naturalWidth > 0)")
        assert browser.complaints() == []
