/** `parse` of `@libs/xml`, as far as it is used here, for networks that reach npm but not JSR. */
import { SaxesParser } from "saxes";

interface Node {
  [key: string]: unknown;
}

/**
 * Elements as properties, in lists where there are several of one name, and attributes with an `@`. A text is `#text`, or alone
 * the element itself.
 *
 * @throws {Error} if the text is no well-formed XML
 */
export function parse(xml: string, _options: { revive: { trim: false; entities: false } }): Node {
  const root: Node = {};
  const open = [root];
  const parser = new SaxesParser({ xmlns: true, position: true });
  // Otherwise it goes on, and collects what is wrong.
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("opentag", ({ name, attributes }) => {
    const parent = open.at(-1)!;
    const node: Node = {};
    for (const { name, value } of Object.values(attributes)) node[`@${name}`] = value;
    const before = Object.hasOwn(parent, name) ? parent[name] : undefined;
    parent[name] = before === undefined ? node : [before, node].flat();
    open.push(node);
  });
  parser.on("text", (text) => {
    const node = open.at(-1)!;
    if (text.trim() !== "") node["#text"] = `${node["#text"] ?? ""}${text}`;
  });
  parser.on("closetag", ({ name }) => {
    const node = open.pop()!;
    const parent = open.at(-1)!;
    if (Object.keys(node).join() !== "#text") return;
    parent[name] = Array.isArray(parent[name])
      ? [...parent[name].slice(0, -1), node["#text"]]
      : node["#text"];
  });
  parser.write(xml.replace(/^\s+/, "")).close();
  return root;
}
