// Says why the page stays empty where its modules are refused. A classic script: browsers ask for one without `Origin`, so
// that it comes through where a proxy hides the bridge's own name.

addEventListener("error", ({ target }) => target instanceof HTMLScriptElement && explain(target.src), true);

async function explain(file) {
  const detail = await reason().catch(() => "Curlew does not answer.");
  const banner = document.createElement("p");
  banner.className = "banner problem";
  banner.setAttribute("role", "alert");
  banner.textContent = detail ? `Curlew rejects the requests of this page: ${detail}` : `${file} did not load. Reload the page to try again.`;
  document.getElementById("main").replaceChildren(banner);
}

/** The bridge's answer to a request with the page's origin, as those for modules are; fetch adds it to all but GET and HEAD. */
async function reason() {
  const response = await fetch("topics", { method: "OPTIONS" });
  if (response.ok) return "";
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  return isProblem ? (await response.json()).detail : `the answer is ${response.status} ${response.statusText}, not by Curlew but by what is in front of it.`;
}
