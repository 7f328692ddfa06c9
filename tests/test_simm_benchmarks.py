"""Margins of SIMM version 2.3 published with AcadiaSoft/simm-lib, all risk classes: delta, vega, curvature, add-ons.

Sensitivities and expected margins (in whole dollars) are those of its tests SimmCrifMixin and SimmTenDayTest
(commit 23d5bed, MIT licence), which are the industry's unit tests of version 2.3. Facts only: no code.
"""

import datetime as dt

import pytest

from margincast.riskcore.portfolio.simm import SimmAddOns, simm_margin
from margincast.riskcore.portfolio.simm_rules_file import load_simm_rules
from margincast.riskcore.portfolio.simm_sensitivities import Sensitivities

RATES = """
IRCurve USD 1 2w OIS 4 | IRCurve USD 1 3m Municipal -3 | IRCurve USD 1 1y Municipal 2 | IRCurve USD 1 1y Prime 3
IRCurve USD 1 1y Prime -1 | IRCurve EUR 1 3y Libor3m -2 | IRCurve EUR 1 3y Libor6m 5 | IRCurve EUR 1 5y Libor12m 10
IRCurve EUR 1 5y Libor12m 25 | IRCurve EUR 1 10y Libor12m 35 | IRCurve AUD 1 1m Libor3m 2 | IRCurve AUD 1 6m Libor3m 3
IRCurve AUD 1 2y Libor3m -2 | IRCurve CHF 1 15y Libor6m -4 | IRCurve CHF 1 20y Libor6m 10 | IRCurve CHF 1 30y Libor6m 12
Inflation CHF - - - -10 | XCcyBasis CHF - - - 30 | IRCurve JPY 2 2w Libor1m -1 | IRCurve JPY 2 1m Libor1m -1.5
IRCurve JPY 2 3m Libor3m 1.5 | IRCurve JPY 2 6m Libor3m 2 | IRCurve JPY 2 1y Libor6m 3 | IRCurve JPY 2 2y Libor6m 4
IRCurve JPY 2 3y Libor6m 5 | IRCurve JPY 2 5y Libor12m 20 | IRCurve JPY 2 10y Libor12m 50
IRCurve JPY 2 15y Libor12m -1 | IRCurve JPY 2 20y Libor12m -2 | IRCurve JPY 2 30y Libor12m 3 | Inflation JPY - - - 15
XCcyBasis JPY - - - 0.5 | IRCurve CNY 3 2w OIS 1 | IRCurve CNY 3 1m OIS 1.5 | IRCurve CNY 3 3m Libor1m -0.5
IRCurve CNY 3 6m Libor3m -1
IRCurve MXN 3 1y Libor6m 9 | IRCurve MXN 3 2y Libor12m 10 | IRCurve MXN 3 3y OIS -0.5 | IRCurve MXN 3 5y OIS -1
Credit/IRCurve BRL 3 10y Libor6m 14 | Credit/IRCurve BRL 3 15y Libor6m 20 | Credit/IRCurve BRL 3 20y Libor12m -0.8
Credit/IRCurve BRL 3 30y Libor12m -0.8 | Credit/Inflation BRL - - - 2 | Credit/XCcyBasis BRL - - - -1
"""
FX = """
FX EUR - - - 50 | FX EUR - - - -50 | FX EUR - - - -6000 | FX USD - - - 610 | FX GBP - - - 910 | FX EUR - - - -900
FX CNY - - - -200 | FX KRW - - - 210 | FX TRY - - - 80 | FX BRL - - - -300 | Credit/FX BRL - - - 41
Credit/FX QAR - - - -40
"""
CREDIT_Q = """
CreditQ BE0934259525 1 1y USD 0.8 | CreditQ BE0934259525 1 2y USD -0.3 | CreditQ CA112585AG91 2 2y USD 0.18
CreditQ CA112585AG91 2 2y EUR -0.18 | CreditQ CA82028KAP62 3 3y GBP 0.18 | CreditQ CA82028KAP62 3 5y JPY -0.1
CreditQ FR0000108359 4 5y USD 0.18 | CreditQ FR0000108359 4 5y USD -0.1 | CreditQ CH0010519475 5 10y USD 0.18
CreditQ CH9823105801 5 1y USD -0.1 | CreditQ DE4830528795 6 2y EUR 0.18 | CreditQ GB0862147969 7 3y GBP -0.6
CreditQ CA6515779866 8 5y USD -0.1 | CreditQ FR0003335977 9 10y USD 0.18 | CreditQ CA2201568701 10 1y USD -0.1
CreditQ CA6130123456 11 2y USD 0.18 | CreditQ FR0002226543 12 3y USD -0.1 | CreditQ UNKNOWN1 Residual 1y USD 0.18
CreditQ UNKNOWN1 Residual 3y USD -0.1 | CreditQ UNKNOWN2 Residual 3y EUR 0.18 | CreditQ UNKNOWN3 Residual 5y USD 0.18
CreditQ UNKNOWN3 Residual 10y GBP -0.1 | BaseCorr CDX_IG - - - 0.5 | BaseCorr CDX_IG - - - -0.2
BaseCorr iTraxx_Main - - - 0.4
"""
CREDIT_NQ = """
CreditNonQ AU3005621011 1 1y CMBX 6 | CreditNonQ AU3005621011 1 2y CMBX 3 | CreditNonQ AU3005621011 1 3y CMBX -3
CreditNonQ DE0314227036 1 2y ABX -2 | CreditNonQ DE0314227036 1 3y ABX 3 | CreditNonQ DE0314227036 1 5y ABX -4
CreditNonQ ES0338093059 2 3y CMBX -0.4 | CreditNonQ ES0338093059 2 5y CMBX -0.2 | CreditNonQ ES0338093059 2 10y CMBX 0.2
CreditNonQ CA0359093012 2 1y CMBX 0.2 | CreditNonQ CA0359093012 2 3y CMBX 0.2 | CreditNonQ CA0359093012 2 5y CMBX -0.3
CreditNonQ UNKNOWN1 Residual 1y ABX 0.4 | CreditNonQ UNKNOWN2 Residual 2y CMBX -0.2
CreditNonQ UNKNOWN1 Residual 5y ABX 0.3 | CreditNonQ UNKNOWN2 Residual 10y CMBX -0.1
"""
EQUITY = """
Equity INE044A01036 1 - - 6 | Equity INE406A01037 1 - - 1 | Equity CNE000000J28 2 - - -2 | Equity CNE000000L16 2 - - 1
Equity RU0009024277 3 - - 2 | Equity RU0009091573 3 - - -1 | Equity INE160A01022 4 - - -2 | Equity INE467B01029 4 - - -1
Equity US1266501006 5 - - 10 | Equity US28176E1082 5 - - 2 | Equity CA7751092007 6 - - -4 | Equity CA85472N1096 6 - - 2
Equity DE000BASF111 7 - - 4 | Equity DE000A1DAHH0 7 - - -2 | Equity US67066G1040 8 - - -4 | Equity US8574771031 8 - - -2
Equity BRCESPACNPB4 9 - - 0.4 | Equity BRENBRACNOR2 9 - - -2 | Equity AU000000API4 10 - - 2
Equity AU000000CTD3 10 - - -1 | Equity SPX 11 - - 1000 | Equity VPL 11 - - 2 | Equity EEM 11 - - -1
Equity VIX 12 - - 3 | Equity JINV 12 - - 2 | Equity VSTOXX 12 - - -1 | Equity UNKNOWN1 Residual - - 1.4
Credit/Equity UNKNOWN3 Residual - - -0.3
"""
COMMODITY = """
Commodity Coal_Americas 1 - - 150 | Commodity Coal_Europe 1 - - 1 | Commodity Crude_Americas 2 - - 1500
Commodity Crude_Asia 2 - - -1 | Commodity Light_Europe 3 - - -360 | Commodity Light_Asia 3 - - 1
Commodity Middle_Asia 4 - - -10 | Commodity Middle_Europe 4 - - -1 | Commodity Heavy_Americas 5 - - 10
Commodity Heavy_Europe 5 - - 1 | Commodity NA_Gas_Gulf 6 - - 650 | Commodity NA_Gas_West 6 - - -1
Commodity EU_Gas 7 - - -10 | Commodity NA_Power_East 8 - - -300 | Commodity NA_Power_ERCOT 8 - - -1
Commodity EU_Power_Germany 9 - - 10 | Commodity EU_Power_UK 9 - - 1 | Commodity Freight_Wet 10 - - 51
Commodity Freight_Dry 10 - - -1 | Commodity Copper 11 - - -300 | Commodity Lead 11 - - 1 | Commodity Gold 12 - - -800
Commodity Silver 12 - - -1 | Commodity Corn 13 - - 20 | Commodity Wheat 13 - - 1 | Commodity Cocoa 14 - - 10
Commodity Cotton 14 - - -1 | Commodity Live_Cattle 15 - - -10 | Commodity Lean_Hogs 15 - - 1
Commodity Ethanol 16 - - -25 | Commodity Lumber 16 - - -2 | Commodity Agriculture_Index 17 - - 1300
Credit/Commodity Gas_Index 17 - - 2
"""
RATES_VOL = """
IRVol USD - 30y - 600 | IRVol JPY - 20y - 200 | IRVol CAD - 15y - 140 | IRVol JPY - 10y - 200 | IRVol INR - 5y - 90
IRVol EUR - 3y - 50 | IRVol CNY - 2y - 50 | IRVol RUB - 1y - 20 | IRVol USD - 6m - 100 | IRVol JPY - 3m - 100
IRVol CAD - 1m - 100 | IRVol JPY - 2w - 100 | IRVol EUR - 30y - -100 | IRVol EUR - 20y - -100 | IRVol JPY - 15y - -100
InflationVol USD - 30y - 80 | InflationVol JPY - 20y - 40 | InflationVol CAD - 20y - 20 | InflationVol CAD - 10y - 10
InflationVol INR - 5y - 10
"""
CREDIT_VOL = """
CreditVol US1850531850 1 1y USD 120 | CreditVol US1850531850 1 1y GBP 60 | CreditVol US9800555990 1 3y USD 30
CreditVol CN0068511222 2 1y CNY 200 | CreditVol CN0068511222 2 2y CNY -40 | CreditVol CA2108230001 Residual 1y USD 10
CreditVol GB1086652888 Residual 5y EUR 30 | CreditVol CA2108230001 Residual 10y USD -150
"""
CREDIT_NQ_VOL = """
CreditVolNonQ EU.IG 1 1y CMBX 40 | CreditVolNonQ US.IG 1 1y CMBX 30 | CreditVolNonQ US.IG 1 2y CMBX -20
CreditVolNonQ CN.HY 2 3y CMBX -50 | CreditVolNonQ JP.HY 2 5y ABX 20 | CreditVolNonQ BR.HY Residual 1y CMBX 45
CreditVolNonQ RU.HY Residual 5y ABX 10 | CreditVolNonQ BR.HY Residual 10y CMBX 25
CreditVolNonQ RU.HY Residual 1y ABX 15
"""
EQUITY_VOL = """
EquityVol AT000089755122 1 1m - 1.2 | EquityVol AT016188495495 1 3m - 1 | EquityVol AT000089755122 1 6m - -3
EquityVol AU001159751155 2 1y - -2 | EquityVol AU003186678890 2 2y - -1 | EquityVol AU002189533177 5 3y - 15
EquityVol CA842256904411 9 5y - -0.4 | EquityVol BR484898123123 10 10y - 2 | EquityVol SPX 11 15y - 400
EquityVol SPX 11 20y - -10 | EquityVol VIX 12 30y - 50 | EquityVol GB770459100599 Residual 10y - 0.4
EquityVol CY180666897555 Residual 30y - -0.5
"""
FX_VOL = """
FXVol USDGBP - 3m - 24 | FXVol GBPUSD - 1y - 100 | FXVol BRLUSD - 2y - 100 | FXVol EURQAR - 1m - -40
FXVol HKDKRW - 6m - -15 | FXVol CNYSGD - 3y - 12 | FXVol RUBTRY - 5y - -12 | FXVol KRWBRL - 10y - 30
"""
COMMODITY_VOL = """
CommodityVol Coal_Europe 1 2w - 4 | CommodityVol Coal_Americas 1 1m - 3 | CommodityVol Coal_Australia 1 3m - -3
CommodityVol Crude_Americas 2 6m - -32 | CommodityVol Crude_Asia 2 1y - -10 | CommodityVol Light_Americas 3 2y - 6.5
CommodityVol NA_Gas_Gulf 6 3y - 30 | CommodityVol NA_Power_ERCOT 8 5y - 7 | CommodityVol Freight_Dry 10 10y - 1
CommodityVol Copper 11 6m - -7 | CommodityVol Gold 12 1y - 12 | CommodityVol Wheat 13 2y - 8
CommodityVol Agriculture_Index 17 15y - 9 | CommodityVol Gas_Index 17 20y - -2 | CommodityVol Ethanol 16 5y - 0.6
CommodityVol Lumber 16 30y - -0.7
"""
PRODUCTS = {"I": "RatesFX", "X": "RatesFX", "F": "RatesFX", "B": "Credit", "E": "Equity"}


def rows(text):
    found = []
    for entry in text.replace("\n", "|").split("|"):
        if entry.strip():
            kind, qualifier, bucket, label1, label2, amount = entry.split()
            product, _, kind = kind.rpartition("/")
            default = "Commodity" if kind.startswith("Com") else "Credit" if kind[0] == "C" else PRODUCTS[kind[0]]
            labels = ("" if part == "-" else part for part in (bucket, label1, label2))
            found.append((product or default, f"Risk_{kind}", qualifier, *labels, float(amount) * 1e6))
    return found


BOOKS = {
    "IR": rows(RATES),
    "FX": rows(FX),
    "CRQ": rows(CREDIT_Q),
    "CRNQ": rows(CREDIT_NQ),
    "EQ": rows(EQUITY),
    "CM": rows(COMMODITY),
    "IRV": rows(RATES_VOL),
    "CRV": rows(CREDIT_VOL),
    "CNV": rows(CREDIT_NQ_VOL),
    "EQV": rows(EQUITY_VOL),
    "FXV": rows(FX_VOL),
    "CMV": rows(COMMODITY_VOL),
}
VOLATILITIES = "IRV CRV CNV CMV FXV EQV"
ALL = "IR CRQ CRNQ CM FX EQ " + VOLATILITIES
MULTIPLIERS = {"RatesFX": 1.045, "Credit": 1.034, "Equity": 1.215, "Commodity": 1.054}
NOTIONALS = ((80e6, 12.5), (60e6, 25.0), (100e6, 25.0))

BENCHMARKS = """
1 IR_1 456000000
2 IR_2 285000000
17 IR_17 500000000
18 IR_18 660000000
19 IR_19 15000000
66 IR_3 IR_21 IR_37 IR_38 IR_37 IR_38 3656653063
67 IR 9145687831
109 CRQ_12*2 211743320
110 CRQ_14*2 72294597
111 CRQ_1 CRQ_2 39601136
112 CRQ_3 CRQ_4 5549491
113 CRQ_5 CRQ_6 6291378
114 CRQ_7 CRQ_8 4080000
115 CRQ_9 CRQ_10 8258329
116 CRQ_18 CRQ_19 52016263
117 CRQ_19 CRQ_20 52016263
118 CRQ_3 CRQ_3 CRQ_5 51767816
119 CRQ_1 CRQ_3 67870291
120 CRQ_2 CRQ_4 32311629
121 CRQ_1 CRQ_4 55739612
122 CRQ_1 CRQ_4 CRQ_18 115679612
123 CRQ_1 CRQ_3 CRQ_5 CRQ_7 CRQ_9 CRQ_11 88842989
124 CRQ_1 CRQ_3 CRQ_5 CRQ_12 CRQ_13 CRQ_14 96683780
125 CRQ_1 CRQ_3 CRQ_5 CRQ_15 CRQ_16 CRQ_17 76470102
126 CRQ_7 CRQ_9 CRQ_11 CRQ_12 CRQ_13 CRQ_14 95075909
127 CRQ_7 CRQ_9 CRQ_11 CRQ_15 CRQ_16 CRQ_17 35013504
128 CRQ_12 CRQ_13 CRQ_14 CRQ_15 CRQ_16 CRQ_17 108449512
129 CRQ_1 CRQ_3 CRQ_5 CRQ_7 CRQ_9 CRQ_11 CRQ_12 CRQ_13 CRQ_14 CRQ_15 CRQ_16 CRQ_17 103885520
311 IRV_13 16000000
314 IRV_16 14213240
316 IRV_18 3729965
317 IRV_19 2129965
318 IRV_1*5 589652813
319 IRV_3*2 58282210
320 IRV_3*2 IRV_18 61756145
321 IRV_2*5 212494471
322 IRV_2*5 IRV_17 219823270
323 IRV_5*2 59145780
324 IRV_5*2 IRV_20 61597839
325 IRV_1 IRV_9 210995756
326 IRV_13 IRV_14 31919900
327 IRV_2 IRV_15 18716169
328 IRV_2 IRV_15 IRV_17 22658682
329 IRV_1 IRV_2 119712815
330 IRV_1 IRV_5*2 132533100
331 IRV_1 IRV_2 IRV_3 128929998
332 IRV 1913696816
409 EQV_8*5 126654673
410 EQV_9*20 167229241444
411 EQV_12*5 29775274
412 EQV_1 EQV_2 112878285
413 EQV_4 EQV_5 20615143
414 EQV_1 EQV_3 68133112
415 EQV_1 EQV_7*5 120320419
416 EQV_3 EQV_4 31444823
417 EQV_2 EQV_6 144387008
418 EQV_2 EQV_6 EQV_12 148682805
419 EQV 2529223776
420 CMV_1 509201351
421 CMV_2 193264171
422 CMV_3 32396203
423 CMV_4 431949375
424 CMV_5 134984180
425 CMV_6 121777203
426 CMV_7 414728525
427 CMV_8 291580355
428 CMV_9 27411125
429 CMV_10 94488926
447 CMV_1 CMV_2 574455428
448 CMV_4 CMV_5 564872908
449 CMV_2 CMV_3 201056282
450 CMV_1*10 CMV_3 5879345222
451 CMV_1 CMV_6 585508826
452 CMV_2 CMV_9 205757039
453 CMV_2 CMV_9 CMV_15 211662356
454 CMV 1207197831
455 IRV CRV CNV CMV FXV EQV 6360144346
461 IR_41 FX_11 CRQ_1 CRNQ_1 EQ_25 CM_33 2329464209
462 IR CRQ CRNQ CM FX EQ IRV CRV CNV CMV FXV EQV 117216490788
"""


def book_of(*parts):
    chosen = []
    for part in parts:
        name, _, times = part.partition("*")
        book, _, place = name.partition("_")
        chosen += (BOOKS[book] if not place else [BOOKS[book][int(place) - 1]]) * int(times or 1)
    return Sensitivities.of(chosen)


@pytest.fixture(scope="module")
def rules():
    return load_simm_rules(dt.date(2021, 6, 1))


@pytest.mark.parametrize("line", BENCHMARKS.split("\n")[1:-1])
def test_benchmarks_of_version_2_3(rules, line):
    _, *parts, expected = line.split()
    found = simm_margin(book_of(*parts), rules)
    assert rules.version == "2.3"
    assert found.total == pytest.approx(int(expected), abs=0.51)


@pytest.mark.parametrize(
    ("parts", "add_ons", "expected"),
    [
        (VOLATILITIES, SimmAddOns(MULTIPLIERS), 7084088122),
        ("", SimmAddOns(notionals=NOTIONALS[:1]), 10_000_000),
        ("", SimmAddOns(notionals=NOTIONALS[1:]), 40_000_000),
        ("", SimmAddOns(fixed=30e6), 30_000_000),
        ("", SimmAddOns(notionals=NOTIONALS, fixed=30e6), 80_000_000),
        (ALL, SimmAddOns(MULTIPLIERS), 125817937496),
        (ALL, SimmAddOns(notionals=NOTIONALS, fixed=30e6), 117296490788),
        (ALL, SimmAddOns(MULTIPLIERS, NOTIONALS, 30e6), 125897937496),
    ],
)
def test_benchmarks_of_add_ons(rules, parts, add_ons, expected):
    assert simm_margin(book_of(*parts.split()), rules, add_ons=add_ons).total == pytest.approx(expected, abs=0.51)
