// What is wrong with the page that is shown, in sentences. (Web Content Accessibility Guidelines 2.2: the
// numbers are its success criteria.)
const problems = [];
const name = (element) => element.outerHTML.slice(0, 120);
const isHidden = (element) => element.closest("[hidden]") || !element.getClientRects().length;
const labelOf = (element) =>
  element.getAttribute("aria-label") ||
  (element.labels && [...element.labels].map((label) => label.textContent).join(" ")) ||
  element.textContent ||
  "";

// 3.1.1, 2.4.2
if (!document.documentElement.lang) problems.push("the document has no language");
if (!document.title.trim()) problems.push("the document has no title");
// 1.3.1: landmarks, headings, lists, tables
for (const landmark of ["header", "main", "footer", "nav[aria-label]", "form[role=search]"])
  if (document.querySelectorAll(landmark).length < 1) problems.push(`there is no ${landmark}`);
for (const landmark of ["main", "h1", "body > header", "body > footer"])
  if (document.querySelectorAll(landmark).length !== 1) problems.push(`there is not one ${landmark}`);
const navs = [...document.querySelectorAll("nav")].map((nav) => nav.getAttribute("aria-label"));
if (new Set(navs).size !== navs.length) problems.push("two navigations have the same name");
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) problems.push(`the heading ${name(heading)} leaves a level out`);
  if (!heading.textContent.trim()) problems.push(`the heading ${name(heading)} is empty`);
  level = next;
}
for (const list of document.querySelectorAll("ul, ol"))
  for (const child of list.children) if (child.tagName !== "LI") problems.push(`${name(child)} is no item`);
for (const table of document.querySelectorAll("table")) {
  const head = table.querySelectorAll("thead th[scope=col]");
  if (!head.length) problems.push(`the table ${name(table)} has no columns' names`);
  for (const cell of head) if (!cell.textContent.trim()) problems.push(`a column of ${name(table)} has no name`);
  for (const row of table.querySelectorAll("tbody tr")) {
    if (!row.querySelector("th[scope=row]")) problems.push(`the row ${name(row)} has no header`);
    if (row.children.length !== head.length) problems.push(`the row ${name(row)} has not as many cells as columns`);
  }
}
// 4.1.2, 1.1.1, 2.4.4, 2.5.3
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids.filter((id, index) => ids.indexOf(id) !== index)) problems.push(`the id ${id} is there twice`);
for (const element of document.querySelectorAll("[aria-labelledby], [for]")) {
  const target = element.getAttribute("aria-labelledby") || element.getAttribute("for");
  if (!document.getElementById(target)) problems.push(`${name(element)} points to nothing`);
}
for (const element of document.querySelectorAll("a, button, input:not([type=hidden]), select, summary"))
  if (!labelOf(element).trim()) problems.push(`${name(element)} has no name`);
for (const element of document.querySelectorAll("a[aria-label], button[aria-label]")) {
  const words = element.innerText.trim().replace(/….*/, "");
  if (words && !element.getAttribute("aria-label").replaceAll(" ", "").includes(words.replaceAll(/\s/g, "")) &&
      !element.getAttribute("aria-label").startsWith(words.split(/\s/)[0]))
    problems.push(`${name(element)} is called otherwise than it looks`);
}
for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) problems.push(`${name(image)} has no text`);
for (const image of document.querySelectorAll("svg"))
  if (!image.closest("[aria-hidden=true]") && !(image.getAttribute("role") === "img" && image.getAttribute("aria-label")))
    problems.push(`${name(image)} has no text`);
for (const element of document.querySelectorAll("[tabindex]"))
  if (element.tabIndex > 0) problems.push(`${name(element)} is out of order`);

// 1.4.3: contrast
function colour(text) {
  const numbers = text.match(/[\d.]+(?:e-?\d+)?/g).map(Number);
  const scale = text.startsWith("color(") ? 255 : 1;
  const [red, green, blue] = numbers.map((value) => value * scale);
  return [red, green, blue, numbers.length > 3 ? numbers[3] : 1];
}
const over = (top, ground) => [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3])).concat(1);
function groundOf(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor);
    if (found[3] > 0) layers.push(found);
    if (found[3] === 1) break;
  }
  const page = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
  return layers.reverse().reduce((ground, layer) => over(layer, ground), page);
}
function luminance(rgb) {
  const [red, green, blue] = rgb.slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
function contrast(one, two) {
  const [light, dark] = [luminance(one), luminance(two)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let looked = 0;
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || isHidden(element) || element.closest(".hidden, .skip, svg, option")) continue;
  const ground = groundOf(element);
  const found = contrast(over(colour(getComputedStyle(element).color), ground), ground);
  looked += 1;
  if (found < 4.5) problems.push(`${name(element)} has a contrast of ${found.toFixed(2)}`);
}
if (looked < 10) problems.push(`only ${looked} texts were looked at`);
const placeholder = document.querySelector("input[placeholder]");
const written = colour(getComputedStyle(placeholder, "::placeholder").color);
if (contrast(written, groundOf(placeholder)) < 4.5) problems.push("the placeholder can hardly be read");
// 1.4.11: what is drawn, and the edges of what can be typed into
for (const rect of document.querySelectorAll("svg rect")) {
  const found = contrast(colour(getComputedStyle(rect).fill), groundOf(rect.closest("svg").parentElement));
  if (found < 3) problems.push(`${name(rect)} has a contrast of ${found.toFixed(2)}`);
}
for (const input of document.querySelectorAll("input:not([type=hidden]), select, button:not([hidden])")) {
  const found = contrast(colour(getComputedStyle(input).borderTopColor), groundOf(input.parentElement));
  if (found < 3) problems.push(`the edge of ${name(input)} has a contrast of ${found.toFixed(2)}`);
}
// 2.5.8: what is touched, unless it stands in a line of text
for (const element of document.querySelectorAll("button:not([hidden]), input:not([type=hidden]), select, .button")) {
  const box = element.getBoundingClientRect();
  if (!isHidden(element) && (box.width < 24 || box.height < 24)) problems.push(`${name(element)} is too small to touch`);
}
// 1.4.10: nothing has to be scrolled sideways
if (document.documentElement.scrollWidth > innerWidth)
  problems.push(`the page is ${document.documentElement.scrollWidth} wide, and the window ${innerWidth}`);
return problems;
