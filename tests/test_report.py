import errno
import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from margincast.riskcore.errors import MargincastError
from margincast.training.report import ReportContent, report_html, write_report
from margincast.training.report_models import LOOKS

SECTIONS = ("headline", "skill", "reliability", "alerts", "accounts", "margin", "provenance")
HORIZONS = ("1h", "4h", "24h")
BASELINES = ("climatology", "touch_366d", "ewma_reflection", "fhs", "fhs_har")
EVIL = '<script>alert("x")</script>'


def made_up_evaluation():
    """Invented scores in the shape of `evaluate --json`; nothing here was measured."""
    rng = np.random.default_rng(0)
    worth = {"climatology": 0, "touch_366d": 0.05, "ewma_reflection": 0.2, "fhs": 0.3, "fhs_har": 0.32}
    worth |= {"fhs_learned": 0.345, "lightgbm": 0.335, "hybrid": 0.355}
    horizons = {}
    for place, horizon in enumerate(HORIZONS):
        models = {}
        for name, good in worth.items():
            versus = {}
            for base in BASELINES:
                value = (1 - (1 - good) / (1 - worth[base])) * (1 - 0.3 * place)
                half = 0.006 + 0.03 * abs(value) + 0.003 * place
                brier = value * 0.4
                versus[base] = {"value": brier, "low": brier - half, "high": brier + half}
                versus[base] |= {"log_loss_value": value, "log_loss_low": value - half, "log_loss_high": value + half}
            scores = {
                "brier": 0.03 * (1 - good / 2),
                "log_loss": 0.14 * (1 - good),
                "auc_within_strata": 0.6 + good / 3,
            }
            scores |= {"ece": 0.004 + 0.002 * rng.random(), "calibration_slope": 0.9 + 0.1 * good, "skill_vs": versus}
            models[name] = scores
        horizons[horizon] = {"n": 152_004 - 31 * place, "base_rate": 0.021 * (place + 1), "models": models}
    return {"horizons": horizons, "data": {"simulated": True, "accounts": 20_000, "start": "2024-01-01"}}


def made_up_reliability():
    predicted = np.geomspace(3e-4, 0.8, 10)
    out = {}
    for horizon in HORIZONS:
        rng = np.random.default_rng(len(horizon))
        out[horizon] = {}
        for place, name in enumerate(LOOKS):
            observed = predicted * np.exp(rng.normal(0.05 * place, 0.12, 10))
            observed[0] = 0.0 if place == 0 else observed[0]
            count = (60_000 * predicted ** (-0.4 - 0.05 * place) / 60).round()
            entry = {"predicted": predicted.tolist(), "observed": observed.clip(0, 1).tolist(), "count": count.tolist()}
            out[horizon][name] = entry
    return out


def made_up_economics():
    def row(budget, place):
        caught = 1 - math.exp(-budget / (9 + 2 * place))
        entry = {"budget_per_day": budget, "precision": 0.9 / (1 + budget / 22) - 0.03 * place}
        entry |= {"share_of_events_caught": 0.8 * caught, "share_of_shortfall_caught": 0.9 * caught}
        return entry | {"median_lead_hours": 2.0 + budget / 15, "p10_lead_hours": 0.4 + budget / 60}

    return {
        horizon: {name: [row(k, place) for k in (5, 10, 20, 50)] for place, name in enumerate(LOOKS)}
        for horizon in HORIZONS
    }


def made_up_accounts():
    stages = ("liquidation", "reduce_only", "warned", "healthy", "healthy", "healthy")
    names = ("sim-004213", EVIL, "sim-018811", 'desk "A" & sons', "sim-000007", "sim-011902")
    accounts = []
    for place, (name, stage) in enumerate(zip(names, stages, strict=True)):
        p = (1.0, 0.62, 0.31, 0.092, 0.0041, 0.00003)[place]
        chances = {"1h": p, "4h": min(1.0, p * 1.6), "24h": min(1.0, p * 2.9)}
        entry = {
            "account": name,
            "pool": "cross" if place % 2 else "BTC",
            "stage": stage,
            "equity": 1204.5 * (place + 1),
        }
        entry |= {"maintenance": 1210.0, "headroom": 1204.5 * (place + 1) - 1210.0, "probabilities": chances}
        entry |= {"structural": {h: v * 0.93 for h, v in chances.items()}}
        reasons = [("headroom is 1.3 sigmas of the next four hours", 2.31), (f"short {EVIL}", 0.84)]
        reasons += [("collateral is 82% in one coin", 0.4), ("funding is paid to this side", -0.22)]
        entry["reasons"] = [{"text": text, "effect": effect / (place + 1)} for text, effect in reasons]
        entry["advice"] = ["deposit 1,830.00 USDT", "or close 38% of BTC: P(24h) falls below 5%"] if place < 4 else []
        accounts.append(entry)
    return accounts


def made_up_proposal():
    rows = []
    for place, symbol in enumerate(("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LTC")):
        for side in ("long", "short"):
            now, then = 0.004 + 0.0012 * place, 0.0052 + 0.0021 * place + (0.001 if side == "long" else 0.0)
            row = {"symbol": symbol, "side": side, "current": now, "proposed": then, "change": then - now}
            row |= {
                "coverage": 0.9905 - 0.0011 * place,
                "kupiec_p": 0.61 / (1 + place**2),
                "violations": 83 + 9 * place,
            }
            rows.append(row | {"n": 8_760})
    return rows


def made_up_content(**changes):
    files = [{"file": f"{name}.parquet", "rows": 210_432, "sha256": f"{place:064x}"} for place, name in
             enumerate(("perp", "mark", "funding"), start=0xABCDEF)]  # fmt: skip
    provenance = {
        "market": {"simulated": True, "seed": 1, "range": "2022-01-01 to 2024-12-31", "files": files},
        "accounts": "20,000 simulated accounts, seed 1",
        "rule book": {"venue": "binance_usdm", "as of": "2025-03-01", "sources": ["exchange documentation", EVIL]},
        "tables": [{"table": "perp", "symbols": [{"symbol": "BTC", "gaps": 0}, {"symbol": "ETH", "gaps": 2}]}],
        "versions": {"margincast": "0.1.0", "lightgbm": "4.7.0"},
        "nothing": None,
    }
    content = {
        "title": "Liquidation risk and margin",
        "subtitle": "Simulated market, seed 1; accounts simulated",
        "summary": [
            ("Log-loss skill over FHS at 1 h", "+7.9% (90%: +6.8 to +8.9%)"),
            ("At 24 h", "+2.1% (90%: +0.4 to +3.8%)"),
            ("Accounts scored", "20,000"),
            ("Above 10% within 24 h", "312"),
            ("Margin to rise", "11 of 16 rates"),
        ],
        "evaluation": made_up_evaluation(),
        "reliability": made_up_reliability(),
        "alert_economics": made_up_economics(),
        "endangered": made_up_accounts(),
        "proposal": made_up_proposal(),
        "provenance": provenance,
        "warnings": ["XRP, DOGE: no tier table; margined by the generic schedule", f"odd name {EVIL}"],
    }
    return ReportContent(**{**content, **changes})


class Page(HTMLParser):
    """Attributes of every tag and the text of every section."""

    def __init__(self, html):
        super().__init__()
        self.links, self.ids, self.tags = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.links += [found[name] for name in ("src", "href", "srcset", "action", "data", "poster") if name in found]
        self.ids += [found["id"]] if "id" in found else []


@pytest.fixture(scope="module")
def html():
    return report_html(made_up_content())


def test_nothing_is_fetched_from_anywhere(html):
    page = Page(html)
    assert page.links and all(link.startswith("#") for link in page.links)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in html and "connect-src" not in html
    assert html.count("* plotly.js v") == 1


def test_every_section_is_there_and_says_what_it_was_measured_on(html):
    page = Page(html)
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)
    assert {link[1:] for link in page.links} == set(SECTIONS)
    parts = re.split(r"<section ", html)[1:]
    assert len(parts) == len(SECTIONS)
    assert all("Simulated market, seed 1; accounts simulated" in part for part in parts)
    assert "Absent:" not in html


def test_names_are_escaped(html):
    start = html.index("* plotly.js v")
    outside = html[:start] + html[html.index("</script>", start) :]
    assert EVIL not in outside and "alert(" in outside
    assert "desk &quot;A&quot; &amp; sons" in outside


def test_evil_names_stay_text_inside_figures():
    proposal = [{"symbol": EVIL, "side": EVIL, "current": 0.01, "proposed": 0.02, "change": 0.01}]
    evaluation = {"horizons": {EVIL: {"models": {EVIL: {"skill_vs": {"</script>": {"value": 0.1}}}}}}}
    html = report_html(made_up_content(proposal=proposal, evaluation=evaluation))
    assert Page(html).tags.count("script") == 3
    assert "\\u003c/script" in html or "&lt;/script" in html


def embedded_figures(html):
    text = re.search(r'id="figures">(.*?)</script>', html, re.S)[1]
    return json.loads(text)


def test_figures_are_valid_plotly(html):
    from plotly.graph_objects import Figure

    figures = embedded_figures(html)
    assert set(figures) == {"skill", "reliability", "alerts", "margin"}
    assert len(figures["skill"]) == 1 + len(BASELINES)
    for variants in figures.values():
        for figure in variants:
            tokens = json.dumps(figure)
            # Colours are style variables until the page resolves them.
            Figure(json.loads(re.sub(r'"--[a-z0-9-]+"', '"#123456"', tokens)))
            assert figure["data"]


def test_every_style_variable_a_figure_uses_is_defined(html):
    style = html[html.index("<style>") : html.index("</style>")]
    used = set(re.findall(r'"(--[a-z0-9-]+)"', json.dumps(embedded_figures(html))))
    assert len(used) > 10
    for name in used:
        assert style.count(f"{name}:") == 3, name  # light, dark and print


def test_skill_is_drawn_where_it_was_given(html):
    chief = embedded_figures(html)["skill"][0]
    given = made_up_evaluation()["horizons"]["1h"]["models"]["hybrid"]["skill_vs"]["fhs"]
    dots = [t for t in chief["data"] if t.get("mode") == "markers" and t["x"] == [given["log_loss_value"]]]
    assert len(dots) == 1
    bars = dots[0]["error_x"]
    assert dots[0]["x"][0] + bars["array"][0] == pytest.approx(given["log_loss_high"])
    assert dots[0]["x"][0] - bars["arrayminus"][0] == pytest.approx(given["log_loss_low"])


def test_a_skill_off_the_axis_is_an_arrow_at_its_edge(html):
    over_fhs = embedded_figures(html)["skill"][2]
    low, high = over_fhs["layout"]["xaxis"]["range"]
    arrows = [t for t in over_fhs["data"] if t.get("marker", {}).get("symbol") == "triangle-left" and t["xaxis"] == "x"]
    assert len(arrows) == 3 and all(low < t["x"][0] < low + 0.1 * (high - low) for t in arrows)
    assert "\N{MINUS SIGN}42.9%" in [note["text"] for note in over_fhs["layout"]["annotations"]]


def test_bins_without_an_event_are_open_triangles(html):
    traces = embedded_figures(html)["reliability"][0]["data"]
    empty = [t for t in traces if t.get("marker", {}).get("symbol") == "triangle-down-open" and t["x"]]
    assert {t["legendgroup"] for t in empty} == {"hybrid"} and len(empty) == 2 * len(HORIZONS)
    first = next(t for t in traces if t.get("legendgroup") == "lightgbm" and t["mode"] == "lines+markers")
    given = made_up_reliability()["1h"]["lightgbm"]
    assert first["x"] == given["predicted"] and first["y"] == given["observed"]


def test_a_model_keeps_its_colour_in_every_figure(html):
    figures = embedded_figures(html)
    for name in ("reliability", "alerts"):
        for trace in figures[name][0]["data"]:
            if "legendgroup" in trace:
                drawn = {trace[part]["color"] for part in ("line", "marker") if part in trace}
                assert drawn == {f"--model-{trace['legendgroup'].replace('_', '-')}"}


def test_what_is_missing_is_said_to_be_absent():
    bare = report_html(ReportContent("Bare", "Simulated"))
    assert bare.count("Absent:") == len(SECTIONS)
    assert "plotly.js v" not in bare
    for name in ("evaluation", "reliability", "alert_economics", "endangered", "proposal", "provenance"):
        assert report_html(made_up_content(**{name: None})).count("Absent:") == 1, name
    empty = {"evaluation": {"horizons": {}}, "reliability": {"1h": {}}, "alert_economics": {"1h": {"fhs": []}}}
    empty |= {"endangered": [], "proposal": [], "provenance": {}, "summary": ()}
    assert report_html(made_up_content(**empty)).count("Absent:") == len(SECTIONS)


def test_numbers_that_are_not_there_are_dashes():
    evaluation = made_up_evaluation()
    evaluation["horizons"]["1h"]["models"]["hybrid"]["log_loss"] = math.nan
    del evaluation["horizons"]["4h"]["models"]["lightgbm"]["skill_vs"]["fhs"]
    proposal = [{"symbol": "BTC", "side": "long", "current": None, "proposed": math.nan, "kupiec_p": math.nan}]
    accounts = [{"account": "a", "probabilities": {"1h": None}, "structural": {"1h": math.nan}, "equity": math.nan}]
    html = report_html(made_up_content(evaluation=evaluation, proposal=proposal, endangered=accounts))
    page = html[html.index("<main>") : html.index("</main>")]
    assert 'title="not available"' in page and "nan" not in re.sub(r"<[^>]*>", "", page).lower().split()
    assert "margin" not in embedded_figures(html)


def test_numpy_values_are_shown_like_plain_ones():
    plain = made_up_content(proposal=made_up_proposal()[:1])
    typed = [{name: np.float64(v) if isinstance(v, float) else v for name, v in made_up_proposal()[0].items()}]
    assert report_html(made_up_content(proposal=typed)) == report_html(plain)


def test_same_content_same_bytes_and_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "report.html"
    write_report(made_up_content(), target)
    first = target.read_bytes()
    write_report(made_up_content(), target)
    assert target.read_bytes() == first

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MargincastError, match=r"report\.html.*No space left on device"):
        write_report(made_up_content(title="other"), target)
    assert target.read_bytes() == first and [p.name for p in target.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(MargincastError, match="could not be written"):
        write_report(made_up_content(), tmp_path / "file" / "report.html")


def chromium():
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no Chromium on this machine: the page cannot be rendered")
    return found


def render(page: Path, *options: str) -> str:
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    command += [f"--user-data-dir={page.parent / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


def test_a_browser_draws_every_figure(tmp_path):
    target = tmp_path / "report.html"
    write_report(made_up_content(), target)
    drawn = render(target, "--dump-dom")
    for name in ("skill", "reliability", "alerts", "margin"):
        figure = re.search(rf'<figure data-figure="{name}">.*?</figure>', drawn, re.S)
        assert figure and 'class="main-svg"' in figure[0], name
        assert re.search(r'<path class="(point|js-line)|<g class="point', figure[0]), name


def test_a_browser_sorts_the_accounts(tmp_path):
    target = tmp_path / "report.html"
    html = report_html(made_up_content())
    click = "<script>document.querySelectorAll('.sortable button')[3].click()</script></body>"
    target.write_text(html.replace("</body>", click), encoding="utf-8")
    drawn = render(target, "--dump-dom")
    table = drawn[drawn.index('<table class="sortable">') :]
    equity = [float(v) for v in re.findall(r'<td class="num" data-sort="([\d.]+)">', table)][::3]
    assert equity == sorted(equity, reverse=True) and len(equity) == len(made_up_accounts())
