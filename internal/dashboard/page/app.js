// The page: what is above the list, and how everything is put together.
import { html, render } from "./htm-preact.js";
import { forget, minutes, needsLook, now, readView, receive, select, sorts, spans, states, store, view, writeView } from "./store.js";
import { count, given, needWords, span } from "./format.js";
import { follow } from "./stream.js";
import { isSignedIn, signOut, takeToken } from "./token.js";
import { SignIn } from "./signin.js";
import { List } from "./list.js";
import { Opened } from "./opened.js";

let planned = false;
function update() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    render(store.refused ? html`<${SignIn} why=${store.refused} done=${() => signedIn()} />` : html`<${App} />`, document.getElementById("app"));
    const n = store.ready ? needed().length : 0;
    document.title = n ? `(${n}) AgentSession` : "AgentSession";
  });
}

function change(fields) {
  Object.assign(view, fields);
  writeView();
  update();
}

function open(key) {
  if (view.open === key) return;
  const push = !view.open; // back closes it
  Object.assign(view, { open: key, active: key });
  writeView(push);
  update();
}

function close() {
  Object.assign(view, { open: "" });
  writeView();
  update();
  requestAnimationFrame(() => requestAnimationFrame(() => document.querySelector(".grid")?.focus({ preventScroll: true })));
}

// needed is what needs a look: runtimes first, since what ails them ails their sessions.
let kept = { version: -1 };
function needed() {
  if (kept.version === store.version) return kept.list;
  const list = [];
  for (const r of store.runtimes.values()) for (const n of r.needs || []) list.push({ key: `runtime:${r.key}`, name: r.name, ns: r.ns, kind: n.kind, text: n.text, since: Infinity });
  for (const row of store.rows.values()) {
    if (!needsLook(row)) continue;
    const n = row.needs?.[0] || { kind: row.state === "Stopped" ? "failed" : "look", text: row.why };
    list.push({ key: row.key, name: row.name, ns: row.ns, kind: n.kind, text: n.text, more: Math.max(0, (row.needs?.length || 0) - 1), since: row.since });
  }
  list.sort((a, b) => b.since - a.since || (a.key < b.key ? -1 : 1));
  kept = { version: store.version, list };
  return list;
}

function Link() {
  const { link } = store;
  const word = store.trouble && link.up ? "Cluster not reached" : link.up ? "Live" : !link.why ? "Connecting…" : "Reconnecting…";
  return html`<span role="status" class=${`link ${link.up && !store.trouble ? "up" : "down"}`}><i></i>${word}</span>`;
}

function Bar() {
  const h = store.hello;
  return html`<header class="bar">
    <h1><svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true"><rect width="16" height="16" rx="4" /><path d="M2.5 9h2.6l1.5-4 2.4 7 1.6-4h2.9" /></svg>AgentSession</h1>
    ${h && html`<span class="place">${h.where === "local" ? "this machine" : h.where}${h.namespaces && h.namespaces !== "all" ? html` <span class="quiet">/ ${h.namespaces}</span>` : ""}</span>`}
    <span class="grow"></span>
    ${h && !h.write && html`<span class="chip">Read-only</span>`}
    ${h?.caller && html`<span class="quiet caller">${h.caller}</span>`}
    ${h?.caller && isSignedIn() && html`<button type="button" class="link" onClick=${() => { signOut(); location.reload(); }}>Sign out</button>`}
    ${h && given(h.version) && !h.version.startsWith("(") && html`<span class="quiet version">${h.version}</span>`}
    <${Link} />
  </header>`;
}

function Tools() {
  const { counts } = select();
  const choice = (state, word, n) => html`<label class=${view.state === state ? "on" : ""}><input type="radio" name="state" checked=${view.state === state} onChange=${() => change({ state })} />
    ${states.includes(state) && html`<i class=${`dot ${state}`}></i>`}${word} <b>${count(n || 0)}</b></label>`;
  return html`<div class="tools">
    <label class="search"><span class="sr">Search sessions</span>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="4.5" /><path d="M10.5 10.5 14 14" /></svg>
      <input id="search" type="search" placeholder="Search name, runtime, ID, node…" value=${view.q} onInput=${(e) => change({ q: e.target.value })} /><kbd aria-hidden="true">/</kbd></label>
    <fieldset class="states"><legend class="sr">Show</legend>
      ${choice("", "All", counts[""])}${states.map((s) => choice(s, s, counts[s]))}${choice("needs", "Needs a look", counts.needs)}</fieldset>
    <label class="check"><input type="checkbox" checked=${view.group} onChange=${(e) => change({ group: e.target.checked })} /><span><span class="word">Group by</span> runtime</span></label>
    <label class="sort"><span class="word">Sort</span> <select value=${view.sort} onChange=${(e) => change({ sort: e.target.value })}>${Object.entries(sorts).map(([name, s]) => html`<option value=${name}>${s.word}</option>`)}</select></label>
    <label class="sort"><span class="word">Last</span> <select value=${view.span} onChange=${(e) => change({ span: +e.target.value })}>${spans.map((n) => html`<option value=${n}>${n ? `${n} min` : `${minutes()} min (fits)`}</option>`)}</select></label>
  </div>`;
}

const few = 4;

function Needs() {
  if (!store.ready || !store.rows.size) return null;
  const list = needed();
  if (!list.length) return html`<section class="look fine" aria-labelledby="look"><h2 id="look">Nothing needs a look</h2></section>`;
  return html`<section class="look" aria-labelledby="look">
    <h2 id="look">Needs a look <span class="badge">${count(list.length)}</span></h2>
    <ul class="needs">${list.slice(0, few).map((n) => html`<li key=${n.key + n.kind}><button type="button" onClick=${() => open(n.key)}>
      <em class="need">${needWords[n.kind] || n.kind}</em><b>${n.name}</b><small>${n.ns}${n.key.startsWith("runtime:") ? " · runtime" : ""}</small><span>${given(n.text)}${n.more ? ` (and ${n.more} more)` : ""}</span>
      ${Number.isFinite(n.since) && n.since ? html`<small class="ago">${span(now() - n.since)}</small>` : ""}</button></li>`)}</ul>
    ${list.length > few && html`<button type="button" class="link" onClick=${() => change({ state: "needs" })}>Show all ${count(list.length)}</button>`}
  </section>`;
}

const narrow = matchMedia("(max-width: 1099px)");

function App() {
  const { link, trouble } = store;
  const word = !link.up && link.why ? `${link.why} What you see is what was last known.` : trouble;
  return html`<div class=${view.open ? "page with" : "page"}>
    <div class="main" inert=${!!view.open && narrow.matches}>
      <${Bar} />
      ${word && html`<p class="banner wide" role="alert">${word}</p>`}
      <main>
        <${Needs} />
        <div class="sticky"><${Tools} /></div>
        <${List} open=${open} update=${update} />
      </main>
      <footer class="keys" aria-hidden="true"><kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> move <kbd>Enter</kbd> open <kbd>Esc</kbd> close</footer>
    </div>
    ${view.open && html`<${Opened} close=${close} update=${() => { writeView(); update(); }} />`}
  </div>`;
}

addEventListener("keydown", (e) => {
  const typing = e.target.matches("input[type=search], input[type=password], textarea, select");
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
    e.preventDefault();
    document.getElementById("search")?.focus();
  } else if (e.key === "Escape") {
    if (e.target.id === "search") {
      change({ q: "" });
      document.querySelector(".grid")?.focus({ preventScroll: true });
    } else if (view.open) close();
  } else if (e.key === "ArrowDown" && e.target.id === "search") {
    e.preventDefault();
    document.querySelector(".grid")?.focus({ preventScroll: true });
  }
});
addEventListener("scroll", update, { passive: true });
addEventListener("resize", update);
narrow.addEventListener("change", update);
addEventListener("popstate", () => {
  readView();
  update();
});
setInterval(update, 1000); // countdowns, and the hour that goes by

addEventListener("hashchange", () => takeToken() && location.reload());

let signedIn;

takeToken();
readView();
update();
follow({
  event(name, data) {
    receive(name, data);
    update();
  },
  open() {
    store.link = { up: true, why: "" };
    update();
  },
  refused(why) {
    forget();
    store.refused = why;
    update();
    return new Promise((done) => {
      signedIn = () => {
        store.refused = "";
        update();
        done();
      };
    });
  },
  lost(why) {
    store.link = { up: false, why };
    store.version++;
    update();
  },
});
