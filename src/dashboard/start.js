// Explains an empty page when the bridge rejects its modules. Browsers load modules with an `Origin` header, which the
// bridge rejects if a proxy replaces `Host`. This is a classic script, loaded without `Origin`, so it always arrives.

addEventListener("error", ({ target }) => target instanceof HTMLScriptElement && explain(target.src), true);

async function explain(file) {
  const detail = await reason().catch(() => "no response from Curlew.");
  const banner = document.createElement("p");
  banner.className = "banner problem";
  banner.setAttribute("role", "alert");
  banner.textContent = detail ? `The requests of this page fail: ${detail}` : `${file} did not load. Reload the page to try again.`;
  document.getElementById("main").replaceChildren(banner);
}

/** Repeats a request with an `Origin` header (fetch adds it to methods other than GET and HEAD) and returns the reason. */
async function reason() {
  const response = await fetch("topics", { method: "OPTIONS" });
  if (response.ok) return "";
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  return isProblem ? (await response.json()).detail : `status ${response.status} ${response.statusText}, sent by a proxy and not by Curlew.`;
}

// The modules of a topic's page import each other. Preloaded together, they take one round trip.
if (new URLSearchParams(location.search).get("topic")) document.head.append(document.getElementById("topic-modules").content);
