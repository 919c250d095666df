// What the page knows (store), what of it is looked at (view), and the two together (select).

export const states = ["Starting", "Active", "Idle", "Stopping", "Stopped"];

export const store = {
  rows: new Map(),
  runtimes: new Map(),
  hello: null,
  skew: 0, // of the server's clock to ours
  version: 0, // raised by each change
  ready: false, // the first snapshot is complete
  link: { up: false, why: "", retryAt: 0 },
  trouble: "",
  refused: "", // why nobody is signed in
};

// forget forgets what the last who was signed in was shown.
export function forget() {
  Object.assign(store, { rows: new Map(), runtimes: new Map(), hello: null, ready: false, trouble: "", link: { up: false, why: "" } });
  store.version++;
}

export const now = () => Date.now() + store.skew;

let pending; // a snapshot that is not complete

export function receive(name, data) {
  if (data.now) store.skew = data.now - Date.now();
  if (name === "hello") {
    if (store.hello && store.hello.version !== data.version) location.reload(); // the page is of another version
    store.hello = data;
    store.trouble = "";
  } else if (name === "trouble") {
    store.trouble = data.text;
  } else if (name === "rows") {
    merge(data);
  }
  store.version++;
}

function merge(data) {
  if (data.reset) pending = { rows: new Map(), runtimes: new Map() };
  const into = pending || store;
  for (const row of data.rows || []) into.rows.set(row.key, prepared(row));
  for (const runtime of data.runtimes || []) into.runtimes.set(runtime.key, runtime);
  for (const key of data.gone || []) into.rows.delete(key);
  for (const key of data.runtimesGone || []) into.runtimes.delete(key);
  if (pending && !data.more) {
    Object.assign(store, pending, { ready: true });
    pending = undefined;
  }
}

export const loading = () => (pending ? pending.rows.size : 0);

function prepared(row) {
  row.text = [row.key, row.runtime, row.sessionId, row.pod, row.node, row.why].join("\n").toLowerCase();
  row.group = `${row.ns}/${row.runtime && row.runtime !== "-" ? row.runtime : ""}`;
  return row;
}

// The view is kept in the address: it may be reloaded, kept as a bookmark, and gone back from.
export const view = { q: "", state: "", group: false, sort: "name", span: 0, open: "", closed: new Set(), active: "" };

export const spans = [0, 60, 15, 3]; // minutes of a time line; 0: as many as the oldest session needs

const fitting = [5, 15, 60];
let oldest = { of: -1, at: 0 };

// minutes are how many a time line has.
export function minutes() {
  if (view.span) return view.span;
  if (oldest.of !== store.version) {
    oldest = { of: store.version, at: Infinity };
    for (const row of store.rows.values()) oldest.at = Math.min(oldest.at, row.line?.[0]?.[0] ?? Infinity);
  }
  return fitting.find((n) => now() - oldest.at <= n * 60e3) || 60;
}

export function readView() {
  const p = new URLSearchParams(location.hash.slice(1));
  view.q = p.get("q") || "";
  view.state = p.get("state") || "";
  view.group = p.get("group") === "runtime";
  view.sort = sorts[p.get("sort")] ? p.get("sort") : "name";
  view.span = spans.includes(+p.get("span")) ? +p.get("span") : spans[0];
  view.open = p.get("open") || "";
}

export function writeView(push) {
  const p = new URLSearchParams();
  if (view.q) p.set("q", view.q);
  if (view.state) p.set("state", view.state);
  if (view.group) p.set("group", "runtime");
  if (view.sort !== "name") p.set("sort", view.sort);
  if (view.span !== spans[0]) p.set("span", view.span);
  if (view.open) p.set("open", view.open);
  const address = `#${p.toString().replaceAll("%2F", "/").replaceAll("%3A", ":")}`;
  if (push) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

const byName = (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
export const sorts = {
  name: { word: "Name", order: byName },
  changed: { word: "Last change", order: (a, b) => b.since - a.since || byName(a, b) },
  next: { word: "What is due first", order: (a, b) => (a.nextAt || Infinity) - (b.nextAt || Infinity) || byName(a, b) },
  state: { word: "State", order: (a, b) => states.indexOf(a.state) - states.indexOf(b.state) || byName(a, b) },
};

export const needsLook = (row) => row.alarm || (row.needs && row.needs.length > 0);

let known = { of: "", items: [] };

// select is what the list shows, in its order: rows and, if they are grouped, headings.
export function select() {
  const of = [store.version, view.q, view.state, view.group, view.sort, [...view.closed].join(" ")].join("|");
  if (known.of !== of) known = { of, ...selected() };
  return known;
}

function selected() {
  const counts = { "": 0, needs: 0 };
  for (const s of states) counts[s] = 0;
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  let rows = [];
  for (const row of store.rows.values()) {
    if (!words.every((w) => row.text.includes(w))) continue;
    counts[""]++;
    if (row.state) counts[row.state]++; // nobody has seen it yet
    if (needsLook(row)) counts.needs++;
    if (!view.state || (view.state === "needs" ? needsLook(row) : row.state === view.state)) rows.push(row);
  }
  rows.sort(sorts[view.sort].order);
  return { counts, rows: rows.length, items: view.group ? grouped(rows, words) : rows.map((row) => ({ key: row.key, row })) };
}

function grouped(rows, words) {
  const groups = new Map();
  if (!words.length && !view.state) for (const key of store.runtimes.keys()) groups.set(key, []);
  for (const row of rows) {
    if (!groups.has(row.group)) groups.set(row.group, []);
    groups.get(row.group).push(row);
  }
  const items = [];
  for (const key of [...groups.keys()].sort()) {
    const closed = view.closed.has(key);
    items.push({ key: `runtime:${key}`, group: key, runtime: store.runtimes.get(key), size: groups.get(key).length, closed });
    if (!closed) for (const row of groups.get(key)) items.push({ key: row.key, row });
  }
  return items;
}
