// What is opened beside the list: a session, or a runtime.
import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { now, states, store, view } from "./store.js";
import { clock, count, given, needWords, plural, span } from "./format.js";
import { Axis, Line, stateWords, totals } from "./line.js";
import { Next, Ping, State } from "./list.js";
import { Invoke } from "./invoke.js";
import { sentence } from "./stream.js";
import { request } from "./token.js";

const again = 10e3; // tasks and events have no stream: they are asked for again

// useDetail is what the server says of path, again when signal changes and every 10 s. A
// question that is on its way is not given up for the next: each may take seconds.
function useDetail(path, signal) {
  const [detail, set] = useState({});
  const asking = useRef();
  useEffect(() => {
    const abort = new AbortController();
    let running = false;
    let more = false;
    const ask = async () => {
      more = running;
      if (running) return;
      running = true;
      try {
        const response = await request(path, { signal: abort.signal });
        if (!response.ok) throw new Error(await sentence(response));
        const text = await response.text();
        set((was) => (was.path === path && was.text === text && !was.error ? was : { path, text, data: JSON.parse(text) }));
      } catch (e) {
        if (e.name !== "AbortError") set((was) => ({ ...(was.path === path ? was : { path }), error: e instanceof TypeError ? "The server is not reached." : e.message }));
      }
      running = false;
      if (more && !abort.signal.aborted) ask();
    };
    asking.current = ask;
    const timer = setInterval(() => !document.hidden && ask(), again);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [path]);
  useEffect(() => {
    const soon = setTimeout(() => asking.current(), 100); // changes come in groups
    return () => clearTimeout(soon);
  }, [path, signal]);
  return detail.path === path ? detail : {};
}

const apiPath = (kind, key, verb) => `./api/${kind}/${key.split("/").map(encodeURIComponent).join("/")}${verb ? `/${verb}` : ""}`;

export const post = (key, verb, init) => request(apiPath("sessions", key, verb), { method: "POST", ...init, headers: { "X-AgentSession": "1", ...init?.headers } });

function Copy({ text }) {
  const [done, setDone] = useState(false);
  if (!navigator.clipboard) return null; // HTTP that is not on loopback has none
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="copy" aria-label=${`Copy: ${text}`} onClick=${copy}>${done ? "Copied" : "Copy"}</button>`;
}

const moment = /^((?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d) {2}(.*)$/s;

function Chapter({ chapter }) {
  const lines = (chapter.lines || []).map((line) => {
    const at = moment.exec(line);
    if (at) return html`<li class="moment"><time>${at[1]}</time><span>${at[2]}</span></li>`;
    return line.startsWith("- ") ? html`<li class="point">${line.slice(2)}</li>` : html`<li>${line}</li>`;
  });
  const commands = (chapter.commands || []).map((c) => html`<li><span>${c.does[0]?.toUpperCase()}${c.does.slice(1)}</span><div class="command"><code>${c.line}</code><${Copy} text=${c.line} /></div></li>`);
  if (!lines.length && !commands.length) return null;
  return html`<section class="chapter"><h3>${chapter.heading}</h3><ul>${lines}${commands}</ul></section>`;
}

const Story = ({ story }) => html`${(story?.chapters || []).map((chapter) => html`<${Chapter} key=${chapter.heading} chapter=${chapter} />`)}`;

const Empty = ({ children }) => html`<p class="quiet pad">${children}</p>`;

function History({ history }) {
  if (!history?.length) return html`<${Empty}>No activation has ended yet.<//>`;
  return html`<ol class="entries">${history.map((h) => html`<li>
    <b>${h.reason}</b> <small>activation ${h.activation} · ${h.from ? html`${clock(h.from, now())} – ` : ""}${clock(h.at, now())}${h.from ? ` · lived ${span(h.at - h.from)}` : " · never had a compute"}${h.active || h.idle ? `, ${span(1000 * h.active)} of it active` : ""}</small>
    <p>${h.message}</p></li>`)}</ol>`;
}

function Events({ detail: { events, eventsError } }) {
  if (!events?.length) return html`<${Empty}>${eventsError || "No Events are kept of it."}<//>`;
  return html`${eventsError && html`<p class="banner">${eventsError}</p>`}<ol class="entries">${events.map((e) => html`<li class=${e.type === "Warning" ? "warning" : ""}>
    <b>${e.reason}</b> <small>${e.type === "Warning" ? "Warning · " : ""}${clock(e.at, now())}${e.count > 1 ? ` · ${count(e.count)} times` : ""}</small>
    <p>${e.message}</p></li>`)}</ol>`;
}

function Tasks({ detail }) {
  if (detail.tasksError) return html`<${Empty}>${detail.tasksError}<//>`;
  if (!detail.tasks) return html`<${Empty}>It has no agent that could be asked.<//>`;
  if (!detail.tasks.length) return html`<${Empty}>No tasks run.<//>`;
  return html`<ol class="entries">${detail.tasks.map((t) => html`<li class=${t.ended === null ? "" : "warning"}><b>${t.name}</b>
    <small>for ${span(1000 * t.seconds)}${t.ended === null ? "" : `; by the agent's journal it ended ${span(1000 * t.ended)} ago`}</small></li>`)}</ol>`;
}

// Tabs are one list of buttons, of which the arrow keys choose.
function Tabs({ tabs, chosen, choose, children }) {
  const press = (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    const next = tabs[(tabs.findIndex(([name]) => name === chosen) + step + tabs.length) % tabs.length][0];
    choose(next);
    document.getElementById(`tab-${next}`).focus();
    e.preventDefault();
  };
  return html`<div class="tabs" role="tablist" aria-label="About it" onKeyDown=${press}>
    ${tabs.map(([name, n]) => html`<button type="button" role="tab" id=${`tab-${name}`} aria-selected=${name === chosen} aria-controls="panel" tabindex=${name === chosen ? 0 : -1} onClick=${() => choose(name)}>${name}${n ? html` <span class="badge">${count(n)}</span>` : ""}</button>`)}
  </div>
  <div id="panel" class="panel" role="tabpanel" tabindex="0" aria-labelledby=${`tab-${chosen}`}>${children}</div>`;
}

function Actions({ row }) {
  const [said, say] = useState(null);
  const [asked, setAsked] = useState(false);
  const busy = useRef(false);
  useEffect(() => say(null), [row.key]);
  const write = store.hello?.write;
  const ended = row.state === "Stopped" || row.state === "Stopping";
  useEffect(() => setAsked(false), [row.key, ended]);
  const act = async (verb) => {
    if (busy.current) return;
    if (!write) return say({ bad: true, text: `This page is read-only. Start the dashboard with ${store.hello?.writeFlag}.` });
    busy.current = true;
    try {
      const response = await post(row.key, verb);
      say(response.ok ? { text: (await response.json()).said } : { bad: true, text: await sentence(response) });
    } catch (e) {
      say({ bad: true, text: e instanceof TypeError ? "The server is not reached." : e.message });
    }
    busy.current = false;
  };
  const stop = () => (write ? setAsked(true) : act("stop"));
  const answer = (yes) => {
    setAsked(false);
    if (yes) act("stop");
    focusSoon("stop");
  };
  if (asked && !ended) return html`<${Confirm} name=${row.name} answer=${answer} />`;
  const button = (verb, word, able, press) => html`<button type="button" id=${verb} class="action" aria-disabled=${!able || !write} onClick=${() => able && press()}>${word}</button>`;
  return html`<div class="actions">${button("stop", "Stop", !ended, stop)}${button("wake", "Wake", ended, () => act("wake"))}
    <span role="status" class=${said?.bad ? "said bad" : "said"}>${said ? said.text : write === false ? `Read-only: ${store.hello.writeFlag} would let you stop, wake and invoke.` : ""}</span></div>`;
}

const focusSoon = (id) => requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById(id)?.focus()));

// Confirm asks before a session's memory is lost. The focus is on the answer that changes nothing,
// so that neither a second press of a key nor one that repeats stops anything.
function Confirm({ name, answer }) {
  const no = useRef(null);
  useEffect(() => no.current.focus(), []);
  const press = (e) => {
    if (e.key !== "Escape") return;
    e.stopPropagation(); // which would close the session
    answer(false);
  };
  return html`<div class="actions confirm" role="alertdialog" aria-labelledby="stop-question" aria-describedby="stop-costs" onKeyDown=${press}>
    <p><b id="stop-question">Stop ${name}?</b> <span id="stop-costs">What its agent has in memory is lost, and calls in flight end.</span></p>
    <button type="button" ref=${no} class="action" onClick=${() => answer(false)}>Keep it</button>
    <button type="button" class="action danger" onClick=${() => answer(true)}>Stop it</button></div>`;
}

const Fact = ({ name, children, copy, long }) => given(children) !== "" && html`<div class=${long ? "long" : ""}><dt>${name}</dt><dd title=${copy}>${children}</dd></div>`;

function Facts({ row }) {
  const used = row.active || row.idle ? `${span(1000 * row.active)} active, ${span(1000 * row.idle)} idle` : "";
  return html`<dl class="facts">
    <${Fact} name="Runtime">${given(row.runtime) && `${row.runtime}${given(row.version) ? `, version ${row.version}` : ""}`}<//>
    <${Fact} name="Activation">${row.activation ? String(row.activation) : ""}<//>
    <${Fact} name="Pod" copy=${row.pod}>${given(row.pod) && `${row.pod}${given(row.node) ? ` on ${row.node}` : ""}`}<//>
    <${Fact} name="Used">${used}<//>
    <${Fact} name="Session ID" long=${true} copy=${row.sessionId}>${given(row.sessionId)}<//>
  </dl>`;
}

const Needs = ({ needs }) => needs?.length > 0 && html`<ul class="needs inset">${needs.map((n) => html`<li><em class="need">${needWords[n.kind] || n.kind}</em> <span>${n.text}</span></li>`)}</ul>`;

const Frame = ({ kind, name, below, close, children }) => {
  const heading = useRef(null);
  useEffect(() => heading.current.focus({ preventScroll: true }), [kind, name, below]);
  return html`<aside class="opened" aria-label=${`${kind} ${name}`}>
    <header><div><h2 ref=${heading} tabindex="-1">${name}</h2><small>${below}</small></div>
    <button type="button" class="close" aria-label="Close (Escape)" title="Close (Esc)" onClick=${close}>✕</button></header>
    ${children}</aside>`;
};

let lastTab = "Story";

function Session({ name: key, close }) {
  const [ns, name] = key.split("/");
  const live = store.rows.get(key);
  const last = useRef(null);
  if (live) last.current = live;
  const row = live || (last.current?.key === key ? last.current : undefined);
  const detail = useDetail(apiPath("sessions", key), live && [live.state, live.since, live.ping, live.why, live.activation, live.pod].join());
  const [tab, setTab] = useState(lastTab);
  const shown = row || detail.data?.row;
  if (!shown) return html`<${Frame} kind="Session" name=${name} below=${ns} close=${close}><${Empty}>${detail.error || (store.ready ? "There is no such session." : "Loading…")}<//><//>`;
  const at = now();
  const data = detail.data || {};
  const sums = totals(shown.line, at);
  const tabs = [["Story"], ["Invoke"], ["Tasks", data.tasks?.length], ["History", data.history?.length], ["Events", data.events?.length]];
  return html`<${Frame} kind="Session" name=${name} below=${ns} close=${close}>
    ${!live && store.ready && html`<p class="banner">This session has been deleted. This is the last that was seen of it.</p>`}
    <p class="sr" aria-live="polite">${name} is ${shown.state}${given(shown.ping) ? `, its agent says ${shown.ping}` : ""}</p>
    <div class="now"><${State} state=${shown.state} /><span class="quiet">${shown.since ? `for ${span(at - shown.since)}` : ""}</span>${given(shown.ping) && html`<${Ping} ping=${shown.ping} />`}<span class="next"><${Next} row=${shown} at=${at} /></span></div>
    <p class="why">${given(shown.why)}</p>
    <${Needs} needs=${shown.needs} />
    <${Actions} row=${shown} />
    <div class="hour"><${Line} line=${shown.line} tall=${true} /><${Axis} />
      <p class="legend">${Object.entries(sums).map(([state, ms]) => html`<span><i class=${`dot ${state}`}></i>${stateWords(state)} <b>${span(ms)}</b></span>`)}</p></div>
    <${Facts} row=${shown} />
    <${Tabs} tabs=${tabs} chosen=${tab} choose=${(t) => setTab((lastTab = t))}>
      ${detail.error && html`<p class="banner">${detail.error}</p>`}
      ${tab === "Invoke" ? html`<${Invoke} key=${key} row=${shown} />` : !detail.data ? html`<${Empty}>${detail.error ? "" : "Loading…"}<//>` : tab === "Story" ? html`<${Story} story=${data.story} />` : tab === "Tasks" ? html`<${Tasks} detail=${data} />` : tab === "History" ? html`<${History} history=${data.history} />` : html`<${Events} detail=${data} />`}
    <//>
  <//>`;
}

function Ends({ ends }) {
  if (!ends?.length) return null;
  const most = Math.max(...ends.map((e) => e.count));
  return html`<section class="chapter"><h3>What ended its sessions</h3><ul class="ends">${ends.map((e) => html`<li><span>${e.reason}</span><i class="bar" style=${{ width: `${(60 * e.count) / most}%` }}></i><b>${count(e.count)}</b></li>`)}</ul></section>`;
}

function Runtime({ name: key, close, update }) {
  const [ns, name] = key.split("/");
  const r = store.runtimes.get(key);
  const detail = useDetail(apiPath("runtimes", key), r && JSON.stringify(r));
  const shown = r || detail.data?.runtime;
  const only = () => {
    Object.assign(view, { q: name, group: true });
    update();
  };
  return html`<${Frame} kind="Runtime" name=${name || "No runtime"} below=${`${ns} · runtime`} close=${close}>
    ${shown && html`<div class="now tallies">${states.map((s) => html`<span class="tally"><i class=${`dot ${s}`}></i>${count(shown[s.toLowerCase()] || 0)} ${s.toLowerCase()}</span>`)}</div>
      <p class="why">${given(shown.why)}</p><${Needs} needs=${shown.needs} />
      <dl class="facts"><${Fact} name="Version">${given(shown.version) && String(shown.version)}<//><${Fact} name="Protocol">${given(shown.protocol)}<//><${Fact} name="Sessions">${count(shown.sessions || 0)}<//></dl>
      <div class="actions"><button type="button" class="action" onClick=${only}>Show its sessions</button></div>`}
    <div class="panel">
      ${detail.error && html`<p class="banner">${detail.error}</p>`}
      <${Ends} ends=${shown?.ends} />
      <${Versions} versions=${detail.data?.versions} />
      <${Story} story=${detail.data?.story} />
    </div>
  <//>`;
}

function Versions({ versions }) {
  if (!versions?.length) return null;
  return html`<section class="chapter"><h3>Versions</h3><ol class="entries">${versions.map((v) => html`<li><b>Version ${v.version}</b> <small>${[plural(v.sessions, "session"), ...v.endpoints].join(" · ")}</small></li>`)}</ol></section>`;
}

export function Opened({ close, update }) {
  const runtime = view.open.startsWith("runtime:");
  return runtime ? html`<${Runtime} key=${view.open} name=${view.open.slice(8)} close=${close} update=${update} />` : html`<${Session} key=${view.open} name=${view.open} close=${close} />`;
}
