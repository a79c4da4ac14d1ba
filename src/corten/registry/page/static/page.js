// The page works without this. With it, results come while you type, lists turn their pages in place, and
// commands can be copied. Only `main` and the way to it are replaced, by what the server has rendered.
"use strict";

const status = document.getElementById("status");
const search = document.getElementById("q");
let shown = location.pathname + location.search;
let latest = 0;
let typing;

async function swap(address, { push = true, focus = false } = {}) {
  const turn = ++latest;
  let page;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return location.assign(address);
  }
  const main = page.getElementById("content");
  if (turn !== latest) return; // something newer was asked for
  if (!main) return location.assign(address);
  document.getElementById("content").replaceWith(main);
  document.getElementById("crumbs").replaceWith(page.getElementById("crumbs"));
  document.title = page.title;
  if (push) history.pushState({}, "", address);
  else history.replaceState({}, "", address);
  shown = location.pathname + location.search;
  if (document.activeElement !== search) search.value = page.getElementById("q").value;
  prepare();
  const heading = main.querySelector("h1");
  status.textContent = `${heading.textContent}: ${main.querySelectorAll("table.list tbody tr").length} shown`;
  if (!focus) return;
  heading.focus();
  scrollTo(0, 0);
}

function prepare() {
  for (const button of document.querySelectorAll("button.copy")) button.hidden = false;
}

function addressOf(form) {
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(given).toString();
  return form.action.split("?")[0] + (query ? `?${query}` : "");
}

async function copy(button) {
  let done = true;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without TLS and beyond this machine, browsers have no clipboard: what is selected can be copied.
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    done = document.execCommand("copy");
  }
  button.textContent = done ? "Copied" : "Selected";
  status.textContent = done ? `Copied: ${button.dataset.copy}` : "Selected, to be copied with the keyboard";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) return copy(button);
  const link = event.target.closest("a[data-swap]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  swap(link.href, { focus: true });
});
addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-swap]")) return;
  event.preventDefault();
  swap(addressOf(event.target), { focus: true });
});
addEventListener("popstate", () => {
  if (location.pathname + location.search !== shown) swap(location.href, { push: false });
});
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => swap(addressOf(search.form), { push: location.pathname !== "/" }), 200);
});
prepare();
