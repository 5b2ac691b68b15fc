"""Style and script of a page: light and dark, narrow and wide, on screen and paper."""

STYLE = """
:root{--ink:#1c2228;--soft:#5b6670;--line:#d9dee3;--paper:#fff;--tint:#f4f6f8;
--link:#0b5a9c;--warn:#8a4b00;--warn-tint:#fdf3e3}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#9aa5af;--line:#333b43;
--paper:#14181c;--tint:#1d2329;--link:#7cbcf0;--warn:#f0c07c;--warn-tint:#2b2318}
figure svg:not(.cell){filter:invert(1) hue-rotate(180deg)}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1.25rem 4rem;max-width:68rem;color:var(--ink);
background:var(--paper);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .5rem}
h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-top:.9rem;
border-top:2px solid var(--line)}
h3{font-size:1.02rem;margin:1.6rem 0 .4rem}
p{margin:.5rem 0;max-width:50rem}
a{color:var(--link)}
nav{color:var(--soft)}
.soft,figcaption{color:var(--soft);font-size:.87rem}
.warning{color:var(--warn);background:var(--warn-tint);padding:.4rem .7rem;
border-radius:5px}
code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,
"DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}
pre{background:var(--tint);padding:.6rem .8rem;border-radius:5px;overflow:auto;
max-height:26rem;margin:.5rem 0}
pre code{overflow-wrap:normal}
.wide{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.26rem .8rem .26rem 0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top}
th{border-bottom:2px solid var(--line);vertical-align:bottom;line-height:1.25}
.number{text-align:right}
td.number{white-space:nowrap}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:2px solid var(--link)}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
figure{margin:1.1rem 0}
figure svg{display:block;width:100%;height:auto}
figure svg *{stroke-linejoin:round}
figcaption{max-width:50rem;margin-top:.3rem}
.cells{display:flex;flex-wrap:wrap;gap:1rem 2rem}
.cells figure{margin:.3rem 0;max-width:100%;flex:0 1 auto;min-width:20rem}
.cells figcaption{contain:inline-size;max-width:40rem}
svg.cell .edge{fill:none;stroke:var(--soft);stroke-width:1.3}
svg.cell .tip{fill:var(--soft)}
svg.cell .dead{opacity:.35}
svg.cell text{fill:#fff;font:600 9.5px system-ui,"DejaVu Sans",sans-serif;
text-anchor:middle}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.85rem;
color:var(--soft)}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;
margin-right:.35rem;vertical-align:-1px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;margin:.6rem 0;
font-size:.92rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--link)}
@media (max-width:40rem){figure{overflow-x:auto}
figure svg:not(.cell){width:44rem;max-width:none!important}}
@media print{body{max-width:none;font-size:11px}pre{max-height:none}
section{break-inside:auto}figure{break-inside:avoid}}
"""
"""Figures of matplotlib are inverted in the dark, their hues kept."""

SCRIPT = """
document.querySelectorAll("th button").forEach(button => {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table");
    const place = head.cellIndex, body = table.tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    const key = row => {
      const cell = row.cells[place], value = cell.dataset.value;
      if (value === undefined) return cell.textContent;
      return value === "" ? NaN : Number(value);
    };
    const order = (a, b) => {
      const first = key(a), second = key(b);
      const noFirst = Number.isNaN(first), noSecond = Number.isNaN(second);
      if (noFirst || noSecond) return noFirst - noSecond;
      const sign = typeof first === "string" || typeof second === "string"
        ? String(first).localeCompare(String(second)) : first - second;
      return up ? sign : -sign;
    };
    const rows = [...body.rows].sort(order);
    table.querySelectorAll("th").forEach(th => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  });
});
"""
"""Sorts a table by a column; cells without a number stay last."""
