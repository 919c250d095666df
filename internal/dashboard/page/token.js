// The token that the page shows its server with each request. No cookie has it: browsers send
// those to all ports of a host.

const name = "agentsession-token";

// takeToken takes a token out of the address. All tabs of this origin get it.
export function takeToken() {
  const p = new URLSearchParams(location.hash.slice(1));
  const token = p.get("token");
  if (!token) return false;
  localStorage.setItem(name, token);
  p.delete("token");
  history.replaceState(null, "", `#${p}`);
  return true;
}

// signIn keeps a token that somebody has typed, for this tab and until it is closed.
export const signIn = (token) => sessionStorage.setItem(name, token);

export const signOut = () => sessionStorage.removeItem(name);

export const isSignedIn = () => !!sessionStorage.getItem(name);

// request is fetch with the token.
export function request(path, init) {
  const token = sessionStorage.getItem(name) || localStorage.getItem(name);
  return fetch(path, { cache: "no-store", ...init, headers: { ...(token && { Authorization: `Bearer ${token}` }), ...init?.headers } });
}
