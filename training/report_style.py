"""The style sheet of the report: light and dark, for a laptop's width and for paper."""

from __future__ import annotations

from .report_models import colour_rules

LIGHT = """
--page:#f5f6f8; --card:#ffffff; --text:#171b21; --muted:#535d69; --faint:#6b7580; --rule:#d5dae0; --grid:#e3e7ec;
--axis:#7d8792; --accent:#3f4fa8; --now:#9aa4af; --alarm:#b01c3c; --good:#0a7659; --warn-back:#fff4dd;
--warn-edge:#c98a12; --code:#eef1f4; color-scheme:light;
"""

DARK = """
--page:#101317; --card:#181c22; --text:#e9ecf0; --muted:#aab3be; --faint:#929ca8; --rule:#333b45; --grid:#2a3139;
--axis:#77828e; --accent:#a5b3ff; --now:#66717d; --alarm:#ff7d93; --good:#34c79b; --warn-back:#2e2612;
--warn-edge:#d9a441; --code:#232932; color-scheme:dark;
"""

RULES = """
*{box-sizing:border-box}
html{scroll-behavior:smooth; scroll-padding-top:3.6rem; -webkit-text-size-adjust:100%}
body{margin:0; background:var(--page); color:var(--text); font:15px/1.55 system-ui,
  -apple-system,"Segoe UI",Roboto, "Helvetica Neue",Arial, sans-serif; font-variant-numeric:tabular-nums}
main,header.top,footer,nav>div{max-width:1180px; margin:0 auto; padding:0 28px}
header.top{padding-top:36px; padding-bottom:6px}
.brand{font-size:12.5px; letter-spacing:.09em; text-transform:uppercase; color:var(--accent); font-weight:650}
h1{font-size:30px; line-height:1.2; letter-spacing:-.015em; margin:.25rem 0 .3rem; font-weight:680}
.subtitle{font-size:16.5px; color:var(--muted); margin:0 0 18px}
h2{font-size:20px; letter-spacing:-.01em; margin:0 0 .15rem; font-weight:660}
h3{font-size:14.5px; margin:22px 0 6px; font-weight:640}
p{margin:.2rem 0 .8rem; max-width:78ch}
small{color:var(--muted); font-size:12px; font-weight:400}
a{color:inherit; text-underline-offset:3px}
nav{position:sticky; top:0; z-index:5; background:color-mix(in srgb,var(--page) 92%,transparent);
  backdrop-filter:blur(8px); border-bottom:1px solid var(--rule)}
nav>div{display:flex; gap:4px 22px; flex-wrap:wrap; padding-top:9px; padding-bottom:9px; font-size:13.5px}
nav a{text-decoration:none; color:var(--muted)}
nav a:hover,nav a:focus-visible{color:var(--text); text-decoration:underline}
section{background:var(--card); border:1px solid var(--rule); border-radius:12px; padding:24px 26px 20px;
  margin:20px 0}
.lead{color:var(--muted); margin-bottom:14px}
.source{color:var(--faint); font-size:12px; margin:10px 0 0; border-top:1px solid var(--rule); padding-top:8px;
  max-width:none}
.warnings{background:var(--warn-back); border:1px solid var(--warn-edge); border-left-width:5px;
  border-radius:8px; padding:11px 18px; margin:0 0 18px}
.warnings b{font-weight:650}
.warnings ul{margin:.15rem 0 0; padding-left:1.15rem}
.tiles{display:grid; grid-template-columns:repeat(var(--columns),1fr); gap:0 28px; margin:6px 0 2px}
.tiles small{display:block; font-size:13px; letter-spacing:0; margin-top:2px}
.tiles div{border-top:2px solid var(--text); padding:9px 0 14px}
.tiles dt{font-size:12.5px; color:var(--muted)}
.tiles dd{margin:1px 0 0; font-size:19px; line-height:1.3; font-weight:620; letter-spacing:-.01em;
  overflow-wrap:anywhere}
figure{margin:6px 0 0}
.plot{width:100%; min-height:120px}
.choose{display:flex; align-items:center; gap:9px; font-size:13.5px; color:var(--muted); margin:4px 0 2px}
select{font:inherit; color:var(--text); background:var(--card); border:1px solid var(--axis);
  border-radius:7px; padding:5px 9px}
select:focus-visible, button:focus-visible, summary:focus-visible,
  a:focus-visible{outline:2px solid var(--accent); outline-offset:2px}
.scroll{overflow-x:auto}
table{border-collapse:collapse; width:100%; font-size:13.5px; line-height:1.4}
th{font-weight:600; text-align:left; color:var(--muted); font-size:12.5px; vertical-align:bottom}
th,td{padding:6px 12px 6px 0; border-bottom:1px solid var(--rule)}
th:last-child,td:last-child{padding-right:4px}
thead th{border-bottom:1.5px solid var(--axis); white-space:nowrap}
td{vertical-align:top}
.num{text-align:right; white-space:nowrap}
table>tbody:last-child>tr:last-child>td{border-bottom:0}
tbody.group th{color:var(--text); padding-top:16px; font-size:13.5px}
tbody.group th small{margin-left:8px}
.even{table-layout:fixed; min-width:680px}
.even th:first-child{width:27%}
dd details{margin:0}
table.plain{width:auto; font-size:12.5px}
.key{display:inline-block; width:10px; height:10px; border-radius:3px; margin-right:8px}
details{margin:12px 0 2px}
summary{cursor:pointer; font-size:13.5px; color:var(--muted); padding:3px 0}
summary:hover{color:var(--text)}
details[open]>summary{margin-bottom:6px}
.none{color:var(--faint)}
.absent{color:var(--muted); border-left:3px solid var(--axis); padding:3px 0 3px 12px; margin:10px 0}
.sortable th{padding:0 12px 0 0}
.sortable th:last-child{padding-right:4px}
.sortable button{all:unset; cursor:pointer; padding:6px 0; font:inherit; color:inherit; white-space:nowrap}
.sortable button::after{content:"\\2195"; margin-left:5px; color:var(--faint); font-size:11px}
.sortable th[aria-sort=ascending] button::after{content:"\\2191"; color:var(--text)}
.sortable th[aria-sort=descending] button::after{content:"\\2193"; color:var(--text)}
.sortable th[aria-sort=ascending],.sortable th[aria-sort=descending]{color:var(--text)}
.sortable tbody tr:first-child td{padding-top:11px; border-bottom:0}
.sortable tbody:not(:last-child) tr:only-child td{border-bottom:1px solid var(--rule); padding-bottom:11px}
.why td{padding-bottom:13px}
.name{overflow-wrap:anywhere; min-width:5.5rem}
.stage{border:1px solid var(--axis); border-radius:99px; padding:1px 9px; font-size:12px; white-space:nowrap}
.stage[data-stage=liquidation],.stage[data-stage=bankrupt]{border-color:var(--alarm); color:var(--alarm);
  font-weight:620}
.stage[data-stage=warned],.stage[data-stage^=reduce]{border-color:var(--warn-edge); background:var(--warn-back)}
.chance small{display:block; margin-top:1px; font-size:11.5px}
.heat{display:inline-block; min-width:4.2em; padding:1px 7px; border-radius:5px; font-weight:620;
  background:color-mix(in srgb,var(--alarm) calc(6% + var(--heat)*34%),transparent)}
.explained{display:flex; gap:4px 40px; flex-wrap:wrap}
.reasons,.advice{margin:0; padding:0; list-style:none; font-size:13px}
.reasons{flex:3 1 460px} .advice{flex:2 1 300px}
.reasons li{display:flex; align-items:baseline}
.bar{flex:none; width:56px} .by{flex:none; width:3.4em; text-align:right}
.effect{display:inline-block; height:9px; width:calc(4px + var(--share)*44px); border-radius:2px; margin-right:7px}
.effect.raises{background:var(--alarm)}
.effect.lowers{background:var(--good)}
.by{color:var(--muted); margin-right:8px}
.advice li::before{content:"\\2192"; margin-right:7px; color:var(--good); font-weight:700}
.legend{font-size:12.5px; color:var(--muted); margin:0 0 8px}
.legend .effect{width:22px; margin:0 5px 0 0; vertical-align:baseline}
.legend .effect+.effect{margin-left:12px}
.flag{color:var(--alarm); font-weight:620; font-size:12px; margin-left:5px}
.up{color:var(--alarm)}
.down{color:var(--good)}
dl{display:grid; grid-template-columns:minmax(120px,max-content) 1fr; gap:3px 18px; margin:0; font-size:13.5px}
dl dl{border-left:2px solid var(--rule); padding-left:14px; margin:1px 0 4px}
dt{color:var(--muted)}
dd{margin:0; min-width:0; overflow-wrap:anywhere}
dd ul{margin:0; padding-left:1.1rem}
.tiles{font-size:inherit}
code{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; background:var(--code);
  padding:1px 5px; border-radius:4px}
footer{color:var(--faint); font-size:12.5px; padding-top:4px; padding-bottom:40px}
noscript p{background:var(--warn-back); padding:8px 12px; border-radius:6px}
@media (max-width:760px){main,header.top,footer,nav>div{padding-left:14px; padding-right:14px}
  section{padding:18px 14px} }
@media (max-width:900px){.tiles{grid-template-columns:repeat(auto-fit,minmax(170px,1fr))}}
@media print{nav,.choose{display:none} body{background:#fff} section{break-inside:avoid; border:0; padding:8px 0}}
"""


def style_sheet() -> str:
    """The whole style sheet.

    Examples
    --------
    >>> "prefers-color-scheme:dark" in style_sheet()
    True
    """
    light, dark = LIGHT + colour_rules(dark=False), DARK + colour_rules(dark=True)
    return (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}@media print{{:root{{{light}}}}}{RULES}"
    )
