import { SearchState } from "../../shared/proto/lathe/v1/search";
import { page } from "./page";
import { dot, reported } from "./report.fixture";

describe("a report", () => {
  const text = page(reported());

  it("shows the network, how the space shrank, curves, cost, latency, classes, predictions and provenance", () => {
    for (const shown of [
      "stage 1: block 2",
      "dilation 1",
      "16 → 16 → 16",
      "depth: 1 of 4 candidates left the space, after epochs 2",
      "stage1/depth: 1 (below the threshold)",
      "<b>2, chosen</b>",
      "1, until 2",
      'aria-label="Losses in the search; weights: 1.5 to 1.5; alphas: 1 to 1; validation: 1.4 to 1.4, over epoch"',
      "The network costs 63.0 % of the largest network of its space; the target is 60.0 %.",
      "2.00 ms / 3.00 ms / 0.00 ms",
      "does not occur",
      "of the labelled pixels",
      `data:image/png;base64,${dot.toString("base64")}`,
      "background:rgb(0,100,200)",
      "MIOU_DROP",
      "480x360 (40)",
      'style="width:50.0%"',
      "no pixel",
      "below 0.1 %",
      "<li>training split: changed plain</li>",
      "ef".repeat(32),
      "ab".repeat(32),
      "preset: tiny",
    ])
      expect(text).toContain(shown);
    // 100 of 1000 pixels of the training split.
    expect(text).toMatch(/<td>1\.00 k<\/td>\s*<td>10\.0 %<\/td>/);
    // A class of 3 right pixels and 1 in each of the ten others.
    expect(text).toMatch(/23\.1\s*<\/span/);
    expect(text).toMatch(/7\.7\s*<\/span/);
  });

  it("has no script and names nothing outside of itself", () => {
    expect(text).not.toMatch(/<script|javascript:|@import|url\((?!#)/i);
    const links = [...text.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, target]) => target!.slice(0, 5));
    expect(new Set(links)).toEqual(new Set(["data:"]));
    expect(text).toContain("default-src 'none'");
  });

  it("names each picture, and no two elements by one id", () => {
    const pictures = text.match(/<svg\s[^>]*>/g)!;
    for (const picture of pictures) expect(picture).toMatch(/role="img"\s+aria-label="[^"]+"/);
    const ids = [...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("is the same text each time", () => expect(page(reported())).toBe(text));

  it("escapes every text of the user", () => {
    const hostile = `</pre><script>alert("1")</script>'&`;
    const escaped = "&lt;/pre&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;";
    const bad = page(reported(hostile));
    expect(bad).not.toContain("<script");
    // Title, heading, alarm, condition, device (three times), class (table, legend, row and column of the matrix, data).
    expect(bad.split(escaped).length - 1).toBeGreaterThanOrEqual(11);
    expect(bad.replaceAll(escaped, "")).not.toContain("alert(&quot;1");
  });

  it("of a search that runs has what there is so far", () => {
    const { search, events } = reported();
    const running = {
      ...search,
      state: SearchState.SEARCH_STATE_RUNNING,
      result: undefined,
      conditions: [],
      artifacts: [],
    };
    const early = page({ search: running, events: events.slice(0, 2), sheets: [] });
    expect(early).toContain("Search s-1: running. Preset tiny, 11 classes at 64x128.");
    expect(early).toContain("Losses in the search");
    for (const absent of ["Results", "The network<", "Latency", "Predictions", "Classes"])
      expect(early).not.toContain(absent);
  });
});
