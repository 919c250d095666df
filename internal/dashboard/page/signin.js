// What a page for many shows to who has not signed in.
import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { isSignedIn, signIn } from "./token.js";

export function SignIn({ why, done }) {
  const [token, setToken] = useState("");
  const field = useRef(null);
  const tried = isSignedIn();
  useEffect(() => field.current?.focus(), []);
  const submit = (e) => {
    e.preventDefault();
    if (!token.trim()) return;
    signIn(token.trim());
    setToken("");
    done();
  };
  return html`<main class="signin"><h1>AgentSession</h1>
    ${!isSecureContext
      ? html`<p role="alert" class="banner">This page was not loaded over HTTPS, so it takes no token: others could read it. Open it at its https address, or by kubectl port-forward.</p>`
      : html`<form onSubmit=${submit}>
        <label for="token">Token of the cluster</label>
        <input id="token" ref=${field} type="password" autocomplete="off" spellcheck=${false} value=${token} aria-describedby="token-note" onInput=${(e) => setToken(e.target.value)} />
        <p id="token-note" class="quiet">As from <code>kubectl create token NAME -n NAMESPACE</code>. You see what it may list. It is kept until this tab is closed.</p>
        ${tried && html`<p role="alert" class="said bad">${why}</p>`}
        <button type="submit" class="action primary" aria-disabled=${!token.trim()}>Sign in</button>
      </form>`}</main>`;
}
