// The time line of a session: a canvas, since each state has its height as well as its
// colour, and since what lasts for a second must still be seen in an hour.
import { html, useLayoutEffect, useRef, useState } from "./htm-preact.js";
import { minutes, now, states, store } from "./store.js";
import { clock, span } from "./format.js";

let colours;
const scheme = matchMedia("(prefers-color-scheme: dark)");
scheme.addEventListener("change", () => (colours = undefined));

function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = { of: scheme.matches, grid: style.getPropertyValue("--grid").trim() };
    for (const s of drawn) colours[s] = style.getPropertyValue(`--${s.toLowerCase()}`).trim();
  }
  return colours;
}

// windowMs is how much of the past is shown: what the server knows, or less.
export const windowMs = () => Math.min(store.hello?.windowMs || 3600e3, minutes() * 60e3);

// segments are the spans of a line within the window: [from, until, state].
export function segments(line, at) {
  const begin = at - windowMs();
  const list = [];
  (line || []).forEach(([from, state], i) => {
    const until = i + 1 < line.length ? line[i + 1][0] : Math.max(at, from);
    if (until > begin && from <= at) list.push([Math.max(from, begin), Math.min(until, at), state]);
  });
  return list;
}

// totals are how long each state took within the window.
export function totals(line, at) {
  const sums = {};
  for (const [from, until, state] of segments(line, at)) sums[state] = (sums[state] || 0) + until - from;
  return sums;
}

const share = { Starting: 1, Active: 1, Lived: 0.75, Idle: 0.5, Stopping: 1, Stopped: 0 }; // of the height

// drawn are the states that a line may have. Of a time that lies before the server's own it
// knows no more than that the session lived.
const drawn = [...states, "Lived"];
export const stateWords = (state) => (state === "Lived" ? "Active or Idle" : state);

function draw(canvas, line, at) {
  const ratio = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  const perPixel = windowMs() / width;
  const tick = Math.floor(at / perPixel);
  const is = [width, height, tick, perPixel, scheme.matches, line && line.length, line && line.length && line[line.length - 1].join()].join();
  if (canvas.drawn === is) return;
  canvas.drawn = is;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const c = canvas.getContext("2d");
  const colour = palette();
  c.clearRect(0, 0, width, height);
  c.fillStyle = colour.grid;
  for (let third = 0; third <= 3; third++) c.fillRect(Math.min(width - Math.round(ratio), Math.round((width * third) / 3)), 0, Math.round(ratio), height);
  const end = tick * perPixel;
  for (const [left, right, state] of placed(segments(line, at), (ms) => Math.round((ms - end) / perPixel) + width, width, Math.round(ratio))) {
    const tall = Math.max(Math.round(2 * ratio), Math.round(height * (share[state] ?? 0.5)));
    c.fillStyle = colour[state] || colour.Stopped;
    c.beginPath();
    c.roundRect(left, Math.round((height - tall) / 2), right - left, tall, tall > 4 * ratio ? 1.5 * ratio : 0);
    c.fill();
  }
}

// placed are segments in pixels, with a gap between them. What lasted for less than two pixels
// takes some of what follows, and at the end of what was before.
function placed(list, x, width, gap) {
  const all = [];
  let free = 0;
  for (const [from, until, state] of list) {
    const left = Math.max(x(from), free);
    const right = Math.max(left + 2 * gap, x(until) - gap);
    all.push([left, right, state]);
    free = right + gap;
  }
  let limit = width;
  for (const one of all.reverse()) {
    if (limit === width || one[1] > limit) one[1] = limit;
    one[0] = Math.min(one[0], one[1] - 2 * gap);
    limit = one[0] - gap;
  }
  return all.reverse();
}

// said is a line in words, for those who do not see it.
function said(line, at) {
  const sums = totals(line, at);
  const parts = drawn.filter((s) => sums[s]).map((s) => `${stateWords(s)} ${span(sums[s])}`);
  const last = `the last ${span(windowMs()).replace(/ 0m$/, "")}`;
  return parts.length ? `In ${last}: ${parts.join(", ")}` : `Nothing is known of ${last}`;
}

export function Line({ line, tall }) {
  const canvas = useRef(null);
  const [tip, setTip] = useState(null);
  const at = now();
  useLayoutEffect(() => draw(canvas.current, line, at));
  const point = (e) => {
    const box = canvas.current.getBoundingClientRect();
    const ms = at - windowMs() * (1 - (e.clientX - box.left) / box.width);
    const hit = segments(line, at).find(([from, until]) => ms >= from && ms <= until);
    setTip(hit && { left: e.clientX - box.left, right: e.clientX > innerWidth / 2, hit });
  };
  return html`<div class=${tall ? "line tall" : "line"} onPointerMove=${point} onPointerLeave=${() => setTip(null)}>
    <canvas ref=${canvas} role="img" aria-label=${said(line, at)}></canvas>
    ${tip &&
    html`<span class=${tip.right ? "tip right" : "tip"} aria-hidden="true" style=${{ left: `${tip.left}px` }}>
      <i class=${`dot ${tip.hit[2]}`}></i> ${stateWords(tip.hit[2])} ${span(tip.hit[1] - tip.hit[0])} <em>${clock(tip.hit[0], at)} – ${tip.hit[1] >= at ? "now" : clock(tip.hit[1], at)}</em>
    </span>`}
  </div>`;
}

// Axis has the words of a time line.
export const Axis = () => {
  const all = Math.round(windowMs() / 60e3);
  return html`<span class="axis" aria-hidden="true">${[3, 2, 1].map((third) => html`<span>−${Math.round((all * third) / 3)}m</span>`)}<span>now</span></span>`;
};
