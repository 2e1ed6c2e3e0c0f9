// Who is signed in: a bearer token for as long as the tab lives.

const KEY = "suture.console.token";
const READ = "experience.operations:read";
const TASKS = `${READ} process.tasks:read process.tasks:write`;
// The server refuses to narrow a scope silently, so a client that may do less is asked for less.
const APPROVE = `${TASKS} process.requisitions:approve`;
const SCOPES = [`${APPROVE} experience.operations:replay`, APPROVE, TASKS, READ];

export class Session {
  // Each page asks for the `scopes` it needs, the widest first, and keeps a token of its own.
  constructor({ key = KEY, scopes = SCOPES, task = "read operations" } = {}) {
    this.key = key;
    this.scopes = scopes;
    this.task = task;
    this.token = sessionStorage.getItem(key) ?? "";
  }

  // A link may bring a token after the #. It leaves the address bar at once, so that it is neither
  // in the history nor copied along with the address.
  takeFromAddress() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const token = parts.get("token");
    if (token === null) return false;
    parts.delete("token");
    const rest = parts.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
    this.begin(token);
    return true;
  }

  begin(token) {
    this.token = token;
    sessionStorage.setItem(this.key, token);
  }

  end() {
    this.token = "";
    sessionStorage.removeItem(this.key);
  }

  // Returns why not, or nothing when it went well.
  async signIn(client, secret) {
    let refused = {};
    for (const scope of this.scopes) {
      const { status, answer } = await askForToken(client, secret, scope);
      if (status === 200 && answer.access_token) {
        this.begin(answer.access_token);
        return "";
      }
      refused = { status, answer };
      if (answer.error !== "invalid_scope") break;
    }
    return refusal(refused, `${this.task}: it lacks the scope ${this.scopes.at(-1)}`);
  }
}

// OAuth 2 client credentials (RFC 6749 section 4.4), client_secret_basic (section 2.3.1).
async function askForToken(client, secret, scope) {
  const response = await fetch("/oauth/token", {
    method: "POST",
    credentials: "omit",
    headers: { Authorization: `Basic ${basic(client, secret)}`, Accept: "application/json" },
    body: new URLSearchParams({ grant_type: "client_credentials", scope }),
  });
  return { status: response.status, answer: await response.json().catch(() => ({})) };
}

function basic(client, secret) {
  const encoded = [client, secret].map((part) => new URLSearchParams({ v: part }).toString().slice(2));
  return btoa(encoded.join(":"));
}

function refusal({ status, answer }, lacks) {
  const code = answer.error ?? answer.type ?? "";
  if (code === "invalid_scope") return `This client may not ${lacks}.`;
  if (status === 401 || code === "invalid_client") return "The client id or the secret is not right.";
  if (status === 429) return "Too many tries. Wait a minute, then sign in again.";
  return answer.error_description ?? answer.detail ?? `The sign-in failed (HTTP ${status}). Try again.`;
}
