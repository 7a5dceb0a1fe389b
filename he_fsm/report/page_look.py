"""The page's look: colours that are legible on light and on dark, style sheet, script."""

from __future__ import annotations

import attrs

from he_fsm.states.names import State

TEXT_ON_BARS = "#1b2530"
# This colour has enough contrast on white and on the dark ground.
TEXT_ON_EITHER = "#7d8894"
GRID = "rgba(128,128,128,0.22)"
# Legends stand below the axis, whatever a figure's height is.
LEGEND = {
    "orientation": "h",
    "traceorder": "normal",
    "yref": "container",
    "yanchor": "bottom",
    "y": 0,
    "x": 0,
    "xanchor": "left",
    "font": {"size": 12},
}
SCORE_COLOUR = "#4f86c6"
LEASE_COLOUR = "#7c8ea3"

STATE_COLOURS = {
    State.ENGINE_UP.value: "#79c79a",
    State.ENGINE_STARTING.value: "#f2ca66",
    State.ENGINE_MIGRATING_AWAY.value: "#6cc0c4",
    State.ENGINE_STOPPING.value: "#dcae7c",
    State.ENGINE_DOWN.value: "#adc3dc",
    State.LOCAL_MAINTENANCE.value: "#bfaee0",
    State.GLOBAL_MAINTENANCE.value: "#9aa5e0",
    State.SCORE_BLOCKED.value: "#ef9f8b",
    State.UNKNOWN.value: "#c3c3bd",
    "no agent": "rgba(128,128,128,0.18)",
}
# Colours of the words for the engine, its VM and its health page.
WORD_COLOURS = {
    "good": "#4fa873",
    "starting": "#e8b23a",
    "migrating": "#3fa3a8",
    "stopping": "#c78e50",
    "paused": "#a387d6",
    "bad": "#dd6273",
    "down": "#e39aa4",
}


@attrs.frozen
class MarkLook:
    """A mark: plotly's symbol, the same as SVG in a square of 12, and its size in pixels."""

    symbol: str
    path: str
    colour: str
    meaning: str
    size: int = 10


# In drawing order: the last ones are on top.
MARKS = {
    "liveness": MarkLook(
        "circle-open",
        "M6 1.5a4.5 4.5 0 1 0 .01 0zM6 3.5a2.5 2.5 0 1 1-.01 0z",
        "#8a96a3",
        "takes a host for dead or alive",
        8,
    ),
    "notification": MarkLook("circle", "M6 1.5a4.5 4.5 0 1 0 .01 0z", "#5b9bd5", "notification", 8),
    "migration": MarkLook("triangle-right", "M2 1L11 6L2 11z", "#3fa3a8", "migration"),
    "agent": MarkLook("square", "M2 2H10V10H2z", "#8d7fc7", "agent or host starts, stops"),
    "problem": MarkLook("diamond", "M6 .5L11.5 6L6 11.5L.5 6z", "#e39a3b", "slot not believed"),
    "start": MarkLook("hexagon", "M3.5 1.5H8.5L11 6L8.5 10.5H3.5L1 6z", "#d9812f", "start refused"),
    "fault": MarkLook("triangle-down", "M.5 2H11.5L6 11z", "#dd6273", "fault"),
    "rule": MarkLook(
        "x",
        "M2 .5L6 4.5L10 .5L11.5 2L7.5 6L11.5 10L10 11.5L6 7.5L2 11.5L.5 10L4.5 6L.5 2z",
        "#d4364b",
        "rule broken",
    ),
    "failure": MarkLook(
        "cross",
        "M4.5 .5H7.5V4.5H11.5V7.5H7.5V11.5H4.5V7.5H.5V4.5H4.5z",
        "#d4364b",
        "expectation failed",
    ),
}

STYLE = """
:root {
  color-scheme: light;
  --ground: #f6f7f9; --card: #ffffff; --text: #26313d; --soft: #62707f; --line: #e1e5ea;
  --good: #1f7a4a; --good-ground: #e2f3e9; --bad: #b3263c; --bad-ground: #fbe6e9; --link: #2a66ad;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    color-scheme: dark;
    --ground: #14181d; --card: #1b2027; --text: #d9dfe6; --soft: #94a1af; --line: #2e3640;
    --good: #7fd6a3; --good-ground: #1b3528; --bad: #f2919e; --bad-ground: #40222a; --link: #85b6ec;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main, header { max-width: 1240px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 0.95rem; margin: 0 0 6px; }
p { margin: 6px 0; max-width: 75ch; overflow-wrap: anywhere; }
a { color: var(--link); }
.soft { color: var(--soft); }
section, .index {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 18px 0; scroll-margin-top: 8px;
}
.title { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: center; }
.verdict {
  font-size: 0.8rem; font-weight: 600; padding: 2px 10px; border-radius: 99px; white-space: nowrap;
}
.passed { color: var(--good); background: var(--good-ground); }
.failed { color: var(--bad); background: var(--bad-ground); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 0; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; color: var(--soft); font-size: 0.85rem; }
tbody tr { border-top: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
.wide { overflow-x: auto; }
.failures { list-style: none; margin: 14px 0 0; padding: 0; }
.failures li {
  border-left: 3px solid var(--bad); background: var(--bad-ground); border-radius: 0 6px 6px 0;
  padding: 8px 12px; margin: 6px 0; overflow-wrap: anywhere;
}
.failures dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 12px; margin: 0; }
.failures dt { color: var(--soft); }
.failures dd { margin: 0; min-width: 0; }
.totals {
  display: flex; flex-wrap: wrap; gap: 8px 21px; margin: 14px 0; padding: 10px 0;
  border: solid var(--line); border-width: 1px 0; font-variant-numeric: tabular-nums;
}
.totals div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.totals dt { color: var(--soft); font-size: 0.8rem; }
.totals dd { margin: 0; font-size: 1.05rem; font-weight: 600; }
.totals .zero dd { color: var(--soft); font-weight: 400; }
.legend {
  display: flex; flex-wrap: wrap; gap: 2px 16px; list-style: none; margin: 8px 0; padding: 0;
  font-size: 0.82rem;
}
.legend li { display: flex; align-items: center; gap: 6px; white-space: nowrap; }
.legend .group { color: var(--soft); min-width: 4.5em; }
.legend svg { flex: none; }
.swatch { width: 18px; border-radius: 2px; flex: none; print-color-adjust: exact; }
.story { font-size: 0.85rem; line-height: 1.5; margin: 6px 0; white-space: pre-wrap; }
.hint { color: var(--soft); font-size: 0.8rem; text-align: right; max-width: none; margin: 0; }
@media print, (pointer: coarse) { .hint { display: none; } }
.figure { width: 100%; margin: 6px 0; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--link); }
details table { font-size: 0.85rem; margin-top: 8px; }
.none { color: var(--bad); }
.figures { font-size: 0.85rem; }
.figures .text { min-width: 9em; overflow-wrap: break-word; }
.figures th.number { white-space: normal; }
@media (max-width: 620px) {
  main, header { padding-left: 10px; padding-right: 10px; }
  section, .index { padding: 14px 12px; border-radius: 8px; }
  .totals { gap: 6px 20px; }
  th, td { padding-right: 9px; }
}
@page { size: A4; margin: 12mm; }
@media print {
  body { background: none; font-size: 10.5pt; }
  main, header { max-width: none; padding: 0; }
  section, .index { border: none; padding: 0; margin: 14px 0; }
  section + section { break-before: page; }
  section.part + section.part { break-before: auto; break-inside: avoid; }
  section.long { break-inside: auto !important; }
  .wide { overflow: visible; }
  .figures { font-size: 6.5pt; }
  .figures th, .figures td { font-size: inherit; padding-right: 5px; }
  .figures .text { min-width: 8em; }
  .figures .verdict { font-size: inherit; padding: 0 5px; }
  details:not([open]) { display: none; }
  .title, .failures li, .totals, .legend, .figure { break-inside: avoid; }
  .verdict, .failures li, .totals, .figure svg { print-color-adjust: exact; }
}
"""

SCRIPT = """
(function () {
  "use strict";
  var dark = window.matchMedia("screen and (prefers-color-scheme: dark)");
  // A finger that moves over a figure scrolls the page.
  var finger = window.matchMedia("(pointer: coarse)").matches;
  // What fits between the margins of a sheet, in pixels.
  var sheet = 700;
  var nodes = Array.prototype.slice.call(document.querySelectorAll(".figure"));
  var drawn = [];

  function colours(isDark) {
    return {
      "font.color": isDark ? "#d9dfe6" : "#26313d",
      "hoverlabel.bgcolor": isDark ? "#2b333d" : "#ffffff",
      "hoverlabel.bordercolor": isDark ? "#55616f" : "#b8c2cd",
      "hoverlabel.font.color": isDark ? "#e6ebf0" : "#26313d"
    };
  }

  function draw(node) {
    if (drawn.indexOf(node) >= 0) { return; }
    drawn.push(node);
    var given = JSON.parse(document.getElementById(node.id + "-data").textContent);
    var look = colours(dark.matches);
    given.layout.font.color = look["font.color"];
    given.layout.hoverlabel.bgcolor = look["hoverlabel.bgcolor"];
    given.layout.hoverlabel.bordercolor = look["hoverlabel.bordercolor"];
    given.layout.hoverlabel.font.color = look["hoverlabel.font.color"];
    if (finger) { given.layout.dragmode = false; }
    // Times on an axis need room.
    ["xaxis", "xaxis2"].forEach(function (name) {
      var axis = given.layout[name];
      if (axis && axis.type === "date") {
        axis.nticks = Math.max(2, Math.min(axis.nticks, Math.floor(node.clientWidth / 85)));
      }
    });
    Plotly.newPlot(node, given.data, given.layout, {
      responsive: true, displayModeBar: false
    });
  }

  function all(change) {
    drawn.forEach(function (node) { Plotly.relayout(node, change); });
  }

  if ("IntersectionObserver" in window) {
    var observer = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (entry.isIntersecting) {
          observer.unobserve(entry.target);
          draw(entry.target);
        }
      });
    }, { rootMargin: "800px 0px" });
    nodes.forEach(function (node) { observer.observe(node); });
  } else {
    nodes.forEach(draw);
  }
  dark.addEventListener("change", function () { all(colours(dark.matches)); });
  window.addEventListener("beforeprint", function () {
    nodes.forEach(draw);
    all(Object.assign({ width: sheet }, colours(false)));
  });
  window.addEventListener("afterprint", function () {
    all(Object.assign({ width: null, autosize: true }, colours(dark.matches)));
  });
}());
"""
