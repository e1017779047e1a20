/** Text that is HTML. Every other text is escaped where it becomes part of a page. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = Html | string | number | false | undefined | readonly Part[];

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character] ?? "");

function textOf(part: Part): string {
  if (part === undefined || part === false) return "";
  if (part instanceof Html) return part.text;
  return typeof part === "object" ? part.map(textOf).join("") : escaped(String(part));
}

/** HTML from a template. Values are escaped unless they are HTML; undefined and false are left out, lists are joined. */
export const html = (fixed: TemplateStringsArray, ...parts: Part[]): Html =>
  new Html(fixed.map((text, index) => text + textOf(parts[index])).join(""));

/** A table; the first cell of each row is the head of the row. Without heads it has none. */
export const table = (caption: string, heads: readonly string[], rows: readonly (readonly Part[])[]): Html =>
  html`<div class="wide" role="region" aria-label="${caption}" tabindex="0">
    <table>
      ${
        heads.length > 0 &&
        html`<thead>
          <tr>
            ${heads.map((head) => html`<th scope="col">${head}</th>`)}
          </tr>
        </thead>`
      }
      <tbody>
        ${rows.map(row)}
      </tbody>
    </table>
  </div>`;

const row = ([first, ...cells]: readonly Part[]) =>
  html`<tr>
    <th scope="row">${first}</th>
    ${cells.map((cell) => html`<td>${cell}</td>`)}
  </tr>`;

/** A section with its heading; nothing where it has no content. */
export const section = (id: string, heading: string, ...content: (Html | undefined)[]): Html | undefined =>
  content.every((part) => part === undefined)
    ? undefined
    : html`<section id="${id}">
        <h2>${heading}</h2>
        ${content}
      </section>`;

/** Content that a reader opens. */
export const folded = (summary: string, content: Html): Html =>
  html`<details>
    <summary>${summary}</summary>
    ${content}
  </details>`;
