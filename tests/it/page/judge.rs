//! What must hold of the page, whatever it shows.

use serde_json::Value;

use super::browser::Browser;

/// Texts whose contrast with what is behind them is below 4.5 to 1 (3 for large ones): WCAG's level AA.
const CONTRAST: &str = r#"
const rgb = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { c: n.slice(0, 3), a: n[3] ?? 1 }; };
const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
const behind = (it) => { for (; it; it = it.parentElement) { const { c, a } = rgb(getComputedStyle(it).backgroundColor); if (a === 1) return c; } return [255, 255, 255]; };
const found = [];
for (const it of document.querySelectorAll("body *")) {
  const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !it.checkVisibility() || it.closest(".unseen, noscript, .skip")) continue;
  const style = getComputedStyle(it);
  const [a, b] = [light(rgb(style.color).c), light(behind(it))].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) found.push(`${it.tagName} ${it.id} ${it.className}: ${ratio.toFixed(2)} ${it.innerText.slice(0, 40)}`);
}
return found;
"#;

/// What a screen reader or a keyboard would stumble over.
const ACCESS: &str = r#"
const found = [];
for (const tag of ["header", "main", "footer"]) if (document.querySelectorAll(tag).length !== 1) found.push(`not one ${tag}`);
if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
for (const it of document.querySelectorAll("section, dialog")) if (!document.getElementById(it.getAttribute("aria-labelledby"))) found.push(`${it.id} has no name`);
for (const it of document.querySelectorAll("button, a")) if (!it.innerText.trim() && !it.ariaLabel && it.checkVisibility()) found.push(`${it.outerHTML} has no name`);
for (const it of document.querySelectorAll("input")) if (!it.labels.length) found.push(`${it.outerHTML} has no label`);
for (const it of document.querySelectorAll("[aria-describedby], label[for]")) {
  const id = it.getAttribute("aria-describedby") ?? it.getAttribute("for");
  if (!document.getElementById(id)) found.push(`${it.outerHTML} names ${id}, which is not there`);
}
for (const it of document.querySelectorAll("progress")) if (!it.ariaLabel) found.push("a bar without a name");
const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
if (new Set(ids).size !== ids.length) found.push("an id twice");
if (!document.querySelector("[aria-live]")) found.push("nothing is told to a screen reader");
return found;
"#;

const TOO_WIDE: &str = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";

fn none(found: &Value, what: &str) {
    assert_eq!(found.as_array().map(Vec::len), Some(0), "{what}: {found:#}");
}

/// Light and dark, wide and on a telephone.
#[track_caller]
pub fn judge(browser: &Browser, name: &str) {
    none(&browser.js(ACCESS), name);
    for (width, height, kind) in [(1280, 1000, "wide"), (360, 740, "phone")] {
        browser.size(width, height);
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            none(&browser.js(CONTRAST), &format!("{name}, {kind}, {scheme}"));
            assert_eq!(browser.js(TOO_WIDE), false, "{name} is too wide, {kind}");
            browser.picture(&format!("{name}-{kind}-{scheme}"));
        }
    }
    browser.size(1280, 1000);
    browser.prefer("light");
}
