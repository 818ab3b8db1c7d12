/** What the pages link to, and the files of the project that they name, are there. */

import { assert } from "@std/assert";

const ROOT = new URL("..", import.meta.url);
const pages = [
  "README.md",
  "README.zh-CN.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "docs/architecture.md",
  "docs/performance.md",
  "docs/reliability.md",
];

function read(path: string | URL): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

function exists(url: URL): boolean {
  try {
    return Deno.statSync(url) !== undefined;
  } catch {
    return false;
  }
}

/** The anchors that a page's headings have. */
function anchors(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!);
  return headings.map((heading) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-")
  );
}

Deno.test("the links of the pages lead to something", () => {
  for (const page of pages) {
    const at = new URL(page, ROOT);
    for (const [, target] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const { hash, href } = new URL(target!, at);
      const file = new URL(href.slice(0, href.length - hash.length));
      assert(exists(file), `${page}: ${target}`);
      if (hash !== "") {
        assert(anchors(read(file)).includes(decodeURIComponent(hash.slice(1))), `${page}: ${target}`);
      }
    }
  }
});

Deno.test("the files that the pages for developers name are there", () => {
  for (const page of ["CONTRIBUTING.md", "docs/architecture.md"]) {
    for (
      const [, path] of read(page).matchAll(
        /`((?:lib|tests|build|packaging|proof|bench|demo|man|docs)\/[\w./-]*)`/g,
      )
    ) {
      assert(exists(new URL(path!, ROOT)), `${page}: ${path}`);
    }
  }
});
