// The list of sessions. Only the rows that are seen are in the document: 10,000 sessions are
// as many nodes as 40. The keyboard's focus stays on the list, which names the active row, so
// rows may come and go.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./htm-preact.js";
import { loading, now, needsLook, select, states, store, view, writeView } from "./store.js";
import { count, given, needWords, plural, span } from "./format.js";
import { Axis, Line } from "./line.js";

const spare = 6; // rows above and below those that are seen
const heights = { wide: 46, middle: 70, card: 106 };
const layoutOf = (width) => (width >= 1000 ? "wide" : width >= 640 ? "middle" : "card");

const id = (key) => `row:${key}`;
let list; // the body of the list, for what follows
let height = heights.wide;

// covered is how much of the window's top the sticky parts take.
const covered = () => {
  const tools = document.querySelector(".sticky");
  return (getComputedStyle(tools).position === "sticky" ? tools.offsetHeight : 0) + (document.querySelector(".row.head")?.offsetHeight || 0);
};

function range(items) {
  const top = list ? list.getBoundingClientRect().top : 0;
  const first = Math.max(0, Math.floor(-top / height) - spare);
  const last = Math.min(items.length, Math.ceil((innerHeight - top) / height) + spare);
  const seen = [];
  for (let i = first; i < last; i++) seen.push(i);
  const active = items.findIndex((item) => item.key === view.active);
  if (active >= 0 && (active < first || active >= last)) seen.push(active);
  return { seen, active };
}

function reveal(index) {
  const top = list.getBoundingClientRect().top + index * height;
  if (top < covered()) scrollBy(0, top - covered());
  else if (top + height > innerHeight - 8) scrollBy(0, top + height - innerHeight + 8);
}

const page = () => Math.max(1, Math.floor((innerHeight - covered()) / height) - 1);

function press(e, open, update) {
  const { items } = select();
  if (e.ctrlKey || e.metaKey || e.altKey || !items.length) return;
  const at = items.findIndex((item) => item.key === view.active);
  const item = items[at];
  const to = {
    ArrowDown: at + 1, ArrowUp: Math.max(at, 0) - (at > 0), PageDown: at + page(), PageUp: at - page(), Home: 0, End: items.length - 1, j: at + 1, k: at - 1,
  }[e.key];
  if (to !== undefined) {
    const index = Math.min(items.length - 1, Math.max(0, to));
    view.active = items[index].key;
    reveal(index);
  } else if ((e.key === "Enter" || e.key === " ") && item) enter(item, open);
  else if (item?.group !== undefined && (e.key === "ArrowLeft" || e.key === "ArrowRight")) fold(item, e.key === "ArrowLeft");
  else return;
  e.preventDefault();
  update();
}

// enter opens what an item is of. Sessions without a runtime have a heading, and no more.
function enter(item, open) {
  if (item.group?.endsWith("/")) fold(item, !item.closed);
  else open(item.key);
}

function fold(item, closed) {
  if (closed) view.closed.add(item.group);
  else view.closed.delete(item.group);
}

// Next is what comes next, and in how long.
export function Next({ row, at }) {
  if (!given(row.nextReason)) return html`<span class="quiet">–</span>`;
  const left = row.nextAt - at;
  const when = !row.nextAt ? "" : left > 0 ? span(left) : "due";
  return html`<b class=${row.nextAt && left < 60e3 ? "soon" : ""}>${when ? `${left > 0 ? "in " : ""}${when}` : row.nextReason}</b> ${when && html`<small>${row.nextReason}</small>`}`;
}

export const State = ({ state }) => html`<span class="state"><i class=${`dot ${state}`}></i>${given(state) || "Not seen"}</span>`;

export const Ping = ({ ping }) => (given(ping) ? html`<span class=${`ping ${ping}`}>${ping}</span>` : html`<span class="quiet">–</span>`);

function Row({ item, index, active, open, style }) {
  const { row } = item;
  const at = now();
  const classes = ["row", active && "active", view.open === row.key && "chosen", needsLook(row) && "alarm"].filter(Boolean).join(" ");
  const where = [row.ns, given(row.runtime) && `${row.runtime}${given(row.version) ? ` v${row.version}` : ""}`].filter(Boolean).join(" · ");
  return html`<div role="row" id=${id(row.key)} class=${classes} aria-rowindex=${index + 2} aria-selected=${view.open === row.key} aria-level=${view.group ? 2 : undefined}
      data-key=${row.key} data-state=${row.state} style=${style} onClick=${() => open(row.key)}>
    <div role="gridcell" class="c-state"><${State} state=${row.state} /><small>${row.since ? span(at - row.since) : ""}</small></div>
    <div role="gridcell" class="c-name"><b title=${row.name}>${row.name}</b><small>${where}</small></div>
    <div role="gridcell" class="c-line"><${Line} line=${row.line} /></div>
    <div role="gridcell" class="c-ping"><${Ping} ping=${row.ping} /></div>
    <div role="gridcell" class="c-next"><${Next} row=${row} at=${at} /></div>
    <div role="gridcell" class="c-why"><span title=${given(row.why)}>${row.needs?.length ? html`<em class="need">${needWords[row.needs[0].kind] || row.needs[0].kind}</em> ` : ""}${given(row.why)}</span></div>
  </div>`;
}

function Group({ item, index, active, open, update, style }) {
  const r = item.runtime || {};
  const name = item.group.split("/")[1] || "No runtime";
  const counts = states.filter((s) => r[s.toLowerCase()]).map((s) => html`<span class="tally"><i class=${`dot ${s}`}></i>${count(r[s.toLowerCase()])}<span class="word"> ${s.toLowerCase()}</span></span>`);
  const ends = (r.ends || []).slice(0, 3).map((e) => `${e.reason} ${count(e.count)}`).join(", ");
  const need = r.needs?.[0];
  return html`<div role="row" id=${id(item.key)} class=${`row group ${active ? "active" : ""}`} aria-rowindex=${index + 2} aria-level="1" aria-expanded=${!item.closed}
      data-key=${item.key} style=${style} onClick=${() => { enter(item, open); update(); }}>
    <div role="gridcell" aria-colspan="6">
      <span class=${item.closed ? "fold closed" : "fold"} aria-hidden="true" onClick=${(e) => { e.stopPropagation(); fold(item, !item.closed); update(); }}></span>
      <b>${name}</b>
      <small>${[item.group.split("/")[0], given(r.version) && `v${r.version}`, r.protocol, plural(item.size, "session")].filter(Boolean).join(" · ")}</small>
      <span class="tallies">${counts}</span>
      ${need ? html`<small class="end"><em class="need">${needWords[need.kind] || need.kind}</em> ${need.text}</small>` : ends && html`<small class="end">Ends: ${ends}</small>`}
    </div>
  </div>`;
}

const Head = ({ layout }) => html`<div role="rowgroup" class="heads"><div role="row" class="row head" aria-rowindex="1">
  <div role="columnheader" class="c-state">State</div><div role="columnheader" class="c-name">Session</div>
  <div role="columnheader" class="c-line"><span class="sr">Time line</span><${Axis} /></div>
  <div role="columnheader" class=${layout === "wide" ? "c-ping" : "sr"}>Ping</div><div role="columnheader" class="c-next">Next</div>
  <div role="columnheader" class=${layout === "wide" ? "c-why" : "sr"}>Why</div>
</div></div>`;

function Nothing({ update }) {
  if (!store.ready) return html`<p class="nothing">${loading() ? `Loading: ${plural(loading(), "session")}…` : store.link.why ? "No sessions are known yet." : "Loading…"}</p>`;
  if (!store.rows.size) return html`<p class="nothing"><b>No sessions yet.</b> The first call makes one. It will appear here by itself.</p>`;
  return html`<p class="nothing"><b>No session matches.</b> <button type="button" class="link" onClick=${() => { Object.assign(view, { q: "", state: "" }); writeView(); update(); }}>Show all ${count(store.rows.size)}</button></p>`;
}

export function List({ open, update }) {
  const body = useRef(null);
  const outer = useRef(null);
  const [layout, setLayout] = useState(layoutOf(innerWidth));
  useEffect(() => {
    const observer = new ResizeObserver(([e]) => setLayout(layoutOf(e.contentRect.width)));
    observer.observe(outer.current);
    return () => observer.disconnect();
  }, []);
  height = heights[layout];
  const { items } = select();
  // The first time, and when what is above has changed its height, the place is known only now.
  useLayoutEffect(() => {
    const first = !list && body.current;
    list = body.current;
    if (first) update();
  });
  useEffect(() => {
    const observer = new ResizeObserver(([e]) => outer.current?.style.setProperty("--covered", `${e.target.offsetHeight}px`));
    observer.observe(document.querySelector(".sticky"));
    return () => observer.disconnect();
  }, []);
  const { seen, active } = range(items);
  const style = (i) => ({ transform: `translateY(${i * height}px)`, height: `${height}px` });
  return html`<div ref=${outer} class=${`list ${layout}`}>
    ${!items.length ? html`<${Nothing} update=${update} />` : html`<div role=${view.group ? "treegrid" : "grid"} class="grid" tabindex="0" aria-label="Sessions" aria-rowcount=${items.length + 1} aria-readonly="true"
        aria-activedescendant=${active >= 0 ? id(view.active) : undefined} onKeyDown=${(e) => press(e, open, update)}
        onFocus=${() => { if (active < 0) { view.active = items[Math.max(0, Math.min(items.length - 1, seen[0] + spare * (seen[0] > 0)))].key; update(); } }}>
      <${Head} layout=${layout} />
      <div role="rowgroup" class="body" ref=${body} style=${{ height: `${items.length * height}px` }}>
        ${seen.map((i) => {
          const item = items[i];
          const Kind = item.row ? Row : Group;
          return html`<${Kind} key=${item.key} item=${item} index=${i} active=${i === active} open=${open} update=${update} style=${style(i)} />`;
        })}
      </div>
    </div>`}
  </div>`;
}
