// The server's HTTP interface as this page uses it. All paths and shapes are here.

/** What the server refused or failed to do: what, why, and how to mend it. */
export class ApiError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.mend = problem.mend ?? "";
    this.correlationId = problem.correlation_id ?? "";
    this.retryAfter = problem.retry_after ?? null;
  }

  /** Whether the same request may succeed later; status 0 stands for a server that cannot be reached. */
  get isTemporary() {
    return this.status === 0 || this.status === 503 || this.status === 429;
  }
}

const TIMEOUT = 20_000; // milliseconds for a request that is no stream

/** An address of this server, also where a proxy serves it below a path. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

async function request(method, path, { body, headers = {}, accept = [] } = {}) {
  let response;
  try {
    response = await fetch(address(path), {
      method,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch {
    throw new ApiError(0);
  }
  if (!response.ok && !accept.includes(response.status)) throw await problemOf(response);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw new ApiError(0);
  }
}

export async function problemOf(response) {
  let problem = {};
  try {
    const body = await response.json();
    // Under /v1 errors have OpenAI's shape.
    problem = body.error && typeof body.error === "object" ? { detail: body.error.message, ...body.error } : body;
  } catch {
    // No JSON: a proxy answered. The status has to do.
  }
  return new ApiError(response.status, problem);
}

const get = (path, options) => request("GET", path, options);
const post = (path, body = {}, headers = {}) => request("POST", path, { body, headers });
const part = encodeURIComponent;

export const readiness = () => get("ready", { accept: [503] });
export const status = () => get("api/v1/status");
export const models = async () => (await get("v1/models")).data;
export const plugins = async () => (await get("api/v1/admin/plugins")).data;

export const sessions = async (limit = 30) => (await get(`api/v1/sessions?limit=${limit}`)).data;
export const createSession = (fields) => post("api/v1/sessions", fields);
export const session = (id) => get(`api/v1/sessions/${part(id)}`);

/** Sends a message. The key makes a repetition harmless, so a lost answer may be followed by a second try. */
export const startTurn = (sessionId, text, model, key) =>
  post(`api/v1/sessions/${part(sessionId)}/turns`, { text, model }, { "Idempotency-Key": key });
export const cancelTurn = (id) => post(`api/v1/turns/${part(id)}/cancel`);
export const answerQuestion = (sessionId, text) => post(`api/v1/sessions/${part(sessionId)}/answer`, { text });
export const eventsPath = (sessionId, after) => `api/v1/sessions/${part(sessionId)}/events?after=${after}`;

export const approvals = async () => (await get("api/v1/approvals?state=open&limit=50")).data;
export const decide = (id, isApproved, remark, remember = false) =>
  post(`api/v1/approvals/${part(id)}/decision`, {
    decision: isApproved ? "approve" : "deny", remark, ...(remember && { remember }),
  });

export const signIn = (token) => post("login", { token });
export const signOut = () => post("logout");
