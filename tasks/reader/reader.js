// Keys of the reader, and the progress of its index. The page works without this file: everything is a link or a form.
"use strict";

const go = (selector) => document.querySelector(selector)?.click();

function nextBeside() {
  const links = [...document.querySelectorAll(".beside-link")];
  const shown = links.findIndex((link) => link.hasAttribute("aria-current"));
  const next = links[shown + 1];
  if (next) next.click();
  else go(".close-beside");
}

function toggleThoughts() {
  const folded = [...document.querySelectorAll("#text details")];
  const open = folded.some((one) => !one.open);
  for (const one of folded) one.open = open;
}

const KEYS = {
  j: () => go("a[rel=next]"),
  k: () => go("a[rel=prev]"),
  ArrowRight: () => go("a[rel=next]"),
  ArrowLeft: () => go("a[rel=prev]"),
  c: nextBeside,
  t: toggleThoughts,
  m: () => document.body.classList.toggle("unmarked"),
  Escape: () => go(".close-beside"),
  "/": () => document.getElementById("search").select(),
  "?": () => { const help = document.getElementById("keys"); help.open = !help.open; help.scrollIntoView(); },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (typing && event.key === "Escape") event.target.blur();
  const action = KEYS[event.key];
  if (!action || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});

const form = document.getElementById("filters");
form.addEventListener("change", (event) => {
  if (!event.target.matches("select")) return;
  if (event.target.name === "in") for (const field of form.querySelectorAll("select:not([name=in])")) field.disabled = true;
  form.requestSubmit();
});
// Empty fields stay out of the address.
form.addEventListener("submit", () => { for (const field of form.elements) if (field.name && !field.value) field.disabled = true; });
window.addEventListener("pageshow", () => { for (const field of form.elements) field.disabled = false; });

document.querySelector("#list a[aria-current]")?.scrollIntoView({ block: "nearest" });
if (document.body.classList.contains("reading")) document.getElementById("text").focus({ preventScroll: true });

async function followIndex() {
  const line = document.getElementById("progress");
  const state = await (await fetch("state")).json();
  const numbers = `${state.done.toLocaleString("en")} of ${state.total.toLocaleString("en")} rows`;
  if (state.problem) line.textContent = `The index stopped: ${state.problem}`;
  else if (state.complete) line.textContent = "The index is complete: search and filters cover all rows from the next click on.";
  else line.textContent = state.step === "words" ? `Search and counted lengths cover ${numbers} so far.` : `Reading: ${numbers} so far; filters and search follow.`;
  if (!state.complete && !state.problem) setTimeout(followIndex, 1000);
}
if (document.body.classList.contains("building")) setTimeout(followIndex, 500);
