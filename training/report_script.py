"""The report's own script: draws the figures in the colours of the page and sorts the table of accounts."""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const options = {displayModeBar: false, responsive: true};

  function coloured(value, style) {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map(function (item) { return coloured(item, style); });
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(function (e) { return [e[0], coloured(e[1], style)]; }));
  }

  function draw(holder) {
    const variants = figures[holder.dataset.figure];
    const choice = holder.querySelector("select");
    const style = getComputedStyle(document.documentElement);
    const figure = coloured(variants[choice ? choice.value : 0], style);
    figure.layout.font.family = getComputedStyle(document.body).fontFamily;
    Plotly.react(holder.querySelector(".plot"), figure.data, figure.layout, options);
  }

  const holders = Array.from(document.querySelectorAll("[data-figure]"));
  function drawAll() { holders.forEach(draw); }
  holders.forEach(function (holder) {
    const choice = holder.querySelector("select");
    if (choice) choice.addEventListener("change", function () { draw(holder); });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  drawAll();

  function sortBy(table, button) {
    const head = button.parentElement;
    const place = Number(button.dataset.column);
    const falling = head.getAttribute("aria-sort") !== "descending";
    table.querySelectorAll("th").forEach(function (th) { th.setAttribute("aria-sort", "none"); });
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const numeric = head.classList.contains("num");
    const keyed = Array.from(table.tBodies).map(function (body) {
      const found = body.rows[0].cells[place].dataset.sort;
      return {body: body, key: found === undefined ? null : numeric ? Number(found) : found};
    });
    keyed.sort(function (a, b) {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      const order = numeric ? a.key - b.key : a.key.localeCompare(b.key);
      return falling ? -order : order;
    });
    keyed.forEach(function (entry) { table.append(entry.body); });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    table.querySelectorAll("button").forEach(function (button) {
      button.addEventListener("click", function () { sortBy(table, button); });
    });
  });
})();
"""
