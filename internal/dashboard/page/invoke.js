// A call to the opened session's agent, whose answer is shown while it comes.
import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { store } from "./store.js";
import { count, given } from "./format.js";
import { post } from "./opened.js";
import { sentence } from "./stream.js";

const most = 200_000; // characters that are shown, the last ones
const payloads = new Map(); // by session, as they were left

export function Invoke({ row }) {
  const [payload, setPayload] = useState(payloads.get(row.key) ?? '{"prompt": "Hello"}');
  const [answer, setAnswer] = useState(null);
  const call = useRef(null);
  useEffect(() => () => call.current?.abort(), []);
  const write = store.hello?.write;

  const invoke = async () => {
    if (call.current || !write) return;
    const abort = (call.current = new AbortController());
    const began = performance.now();
    const a = { text: "", cut: false, size: 0, running: true, status: "", type: "", error: "" };
    const show = () => setAnswer({ ...a, ms: performance.now() - began });
    show();
    try {
      const response = await post(row.key, "invoke", { signal: abort.signal, body: payload, headers: { "Content-Type": "application/json" } });
      a.status = response.headers.get("X-Agent-Status") || "";
      a.type = response.headers.get("X-Agent-Content-Type") || "";
      if (!response.ok && !a.status) a.error = await sentence(response);
      else await receive(response.body, a, show);
    } catch (e) {
      a.error = e.name === "AbortError" ? "You cancelled it." : e instanceof TypeError ? "The connection broke." : e.message;
    }
    a.running = false;
    call.current = null;
    show();
  };
  const press = (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      invoke();
    }
  };
  const edit = (e) => {
    payloads.set(row.key, e.target.value);
    setPayload(e.target.value);
  };
  return html`<form class="invoke" onSubmit=${(e) => { e.preventDefault(); invoke(); }}>
    <label for="payload">Payload</label>
    <textarea id="payload" rows="4" spellcheck=${false} value=${payload} onInput=${edit} onKeyDown=${press} aria-describedby="invoke-note"></textarea>
    <div class="actions">
      <button type="submit" class="action primary" aria-disabled=${!write || !!answer?.running}>Invoke</button>
      ${answer?.running && html`<button type="button" class="action" onClick=${() => call.current?.abort()}>Cancel</button>`}
      <small id="invoke-note" class="quiet">${write ? "Ctrl+Enter. A stopped session is woken by it." : `Read-only: ${store.hello?.writeFlag} would let you invoke.`}</small>
    </div>
    ${answer && html`<${Answer} answer=${answer} />`}
  </form>`;
}

async function receive(body, a, show) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let frame;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    a.size += value.length;
    a.text += decoder.decode(value, { stream: true });
    if (a.text.length > most) [a.text, a.cut] = [a.text.slice(-most), true];
    frame ||= requestAnimationFrame(() => {
      frame = undefined;
      show();
    });
  }
  cancelAnimationFrame(frame);
}

function Answer({ answer: a }) {
  const end = useRef(null);
  useEffect(() => {
    end.current.scrollTop = end.current.scrollHeight;
  }, [a.text]);
  const word = a.running ? (a.size ? "Streaming" : "Waiting") : a.error ? "Failed" : "Done";
  const facts = [given(a.status), given(a.type), `${count(a.size)} bytes`, `${(a.ms / 1000).toFixed(1)} s`].filter(Boolean).join(" · ");
  const bad = a.error || (a.status && a.status >= "400");
  return html`<div class="answer" aria-busy=${a.running}>
    <p role="status" class=${bad ? "bad" : ""}><b>${word}</b> <small>${a.running ? "" : facts}</small></p>
    ${a.error && html`<p class="banner">${a.error}</p>`}
    ${a.cut && html`<p class="quiet">Its beginning is left out.</p>`}
    <pre ref=${end} tabindex="0" role="region" aria-label="The agent's answer">${a.text}</pre>
  </div>`;
}
