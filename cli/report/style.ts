/** The style of a report: light and dark, from 400 pixels on. Tables that are wider than the page scroll by themselves. */
export const STYLE = `
:root { color-scheme: light dark; --page: #fff; --panel: #f5f6f8; --ink: #222; --soft: #555; --line: #888; --rule: #dcdfe4; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --panel: #1f242a; --ink: #e8eaed; --soft: #b0b6be; --line: #7d858f; --rule: #343b43; --accent: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
main { max-width: 1320px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; border-bottom: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 0.4rem; }
p { margin: 0.4rem 0; max-width: 75ch; }
.soft, figcaption { color: var(--soft); font-size: 0.9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border-radius: 8px; padding: 10px 12px; }
.tiles b { display: block; font-size: 1.35rem; line-height: 1.3; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 16px; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; }
.charts figure { max-width: 640px; }
.network { max-width: 560px; }
.sheets img { display: block; width: 100%; max-width: 960px; height: auto; margin: 4px 0 12px; image-rendering: pixelated; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; list-style: none; }
.swatch { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; border: 1px solid var(--line); vertical-align: -0.1em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 3px 12px 3px 0; border-bottom: 1px solid var(--rule); font-weight: normal; }
tbody th { min-width: 8.5em; }
thead th { color: var(--soft); }
.share { display: block; padding: 0 4px; text-align: right; min-width: 3em; }
.bar { display: block; width: 140px; height: 0.8em; margin-top: 0.35em; background: var(--rule); }
.bar span { display: block; height: 100%; background: var(--accent); }
pre { background: var(--panel); padding: 12px; overflow-x: auto; font-size: 0.85rem; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; }
`;
