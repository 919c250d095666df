// The stream of changes. It connects again by itself.
import { request } from "./token.js";

const silence = 45e3; // the server says something every 15 s
const longest = 15e3; // between two tries
const unseen = 10e3; // a browser has six connections to a server for all its tabs: one that nobody looks at gives its own back

// sentence is what an answer that is no success says.
export async function sentence(response) {
  const text = (await response.text()).slice(0, 2000);
  try {
    return JSON.parse(text).error || text;
  } catch {
    return text.trim() || `The server answered ${response.status}.`;
  }
}

// follow calls on.event(name, data) for each event, on.open() when a stream begins,
// on.lost(sentence, ms) when it has ended and is tried again in that time, and
// on.refused(sentence) when the server knows no token: it goes on when that is settled.
export async function follow(on) {
  for (let wait = 500; ; wait = Math.min(wait * 2, longest)) {
    await seen();
    const abort = new AbortController();
    let timer, hidden;
    const hide = () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => abort.abort(), unseen);
    };
    document.addEventListener("visibilitychange", hide);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), silence);
    };
    let why = "The server closed the stream.";
    let refused = "";
    try {
      alive();
      const response = await request("./api/stream", { signal: abort.signal, headers: { Accept: "text/event-stream" } });
      if (response.status === 401) refused = await sentence(response);
      else if (!response.ok) throw new Error(await sentence(response));
      else {
        on.open();
        wait = 500;
        await read(response.body, alive, on.event);
      }
    } catch (e) {
      why = e.name === "AbortError" ? "The server has said nothing for 45 s." : e instanceof TypeError ? "The server is not reached." : e.message;
    }
    clearTimeout(timer);
    clearTimeout(hidden);
    document.removeEventListener("visibilitychange", hide);
    if (refused) {
      await on.refused(refused);
      wait = 250;
      continue;
    }
    on.lost(why, wait);
    await pause(wait);
  }
}

// seen waits until somebody looks at the page.
async function seen() {
  while (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

// pause ends early when the network or the page is back.
const pause = (ms) =>
  new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      document.removeEventListener("visibilitychange", end);
      done();
    };
    const timer = setTimeout(end, ms);
    window.addEventListener("online", end);
    document.addEventListener("visibilitychange", end);
  });

async function read(body, alive, event) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    rest += decoder.decode(value, { stream: true });
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) dispatch(part, event);
  }
}

function dispatch(part, event) {
  let name = "";
  let data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5);
  }
  if (name && data) event(name, JSON.parse(data));
}
