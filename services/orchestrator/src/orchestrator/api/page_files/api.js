// Calls of the HTTP API. A refusal becomes an ApiError that holds its problem details (RFC 9457).

const JOBS_A_PAGE = 20;

export class ApiError extends Error {
  constructor(status, details) {
    super(details.detail || details.title || "");
    this.status = status;
    this.kind = (details.type || "").replace("/problems/", "");
    this.coded = details.detail_message;
    this.faults = details.errors || [];
    this.faultCount = details.error_count || this.faults.length;
    this.stopped = details.stopped || false; // after so many faults; there may be more
  }
}

export class OfflineError extends Error {}

async function call(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new OfflineError(path);
  }
  if (reply.status === 204) return null;
  const body = (reply.headers.get("content-type") || "").includes("json") ? await reply.json() : {};
  if (!reply.ok) throw new ApiError(reply.status, body);
  return body;
}

function listed(filters, after) {
  const words = new URLSearchParams(filters);
  words.set("limit", JOBS_A_PAGE);
  if (after) words.set("after", after);
  return words;
}

const job = (id) => `/jobs/${encodeURIComponent(id)}`;

export const api = {
  jobs: (filters, after, signal) => call(`/jobs?${listed(filters, after)}`, { signal }),
  job: (id, signal) => call(job(id), { signal }),
  report: (id, signal) => call(`${job(id)}/report`, { signal }),
  figures: (id, signal) => call(`${job(id)}/figures`, { signal }),
  questions: (id, query, signal) => call(`${job(id)}/questions?${query}`, { signal }),
  question: (id, position, signal) => call(`${job(id)}/questions/${position}`, { signal }),
  comparison: (id, to, signal) => call(`${job(id)}/comparison?to=${encodeURIComponent(to)}`, { signal }),
  cancel: (id) => call(`${job(id)}/cancel`, { method: "POST" }),
  resume: (id) => call(`${job(id)}/resume`, { method: "POST" }),
  remove: (id) => call(job(id), { method: "DELETE" }),
  jobForm: (signal) => call("/page/job-form.json", { signal }),
  health: () => call("/healthz"),
  model: (signal) => call("/model", { signal }),
  panels: (signal) => call("/panels", { signal }),
  models: (signal) => call("/models", { signal }),
  published: (digest, signal) => call(`/models/${digest}`, { signal }),
  makeCurrent: (digest) => call(`/models/${digest}/current`, { method: "POST" }),
  signIn: (key) => call("/session", { method: "POST", body: new URLSearchParams({ key }) }),
  signOut: () => call("/session", { method: "DELETE" }),
  events: (id) => new EventSource(`${job(id)}/events`),
  download: (id, what) => `${job(id)}/${what}`,
};

// crypto.randomUUID is there on secure origins alone, and many a GPU box is reached by plain HTTP.
const randomKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");

// Post a problem file; `onProgress` gets the share that was sent. fetch cannot tell that.
export function submit(form, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/jobs");
    request.responseType = "json";
    request.setRequestHeader("Idempotency-Key", randomKey());
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new OfflineError("/jobs"));
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new ApiError(request.status, request.response || {}));
    };
    request.send(form);
  });
}
