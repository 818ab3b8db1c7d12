/** `parse` of `@libs/xml`, as far as it is used here, for networks that reach npm but not JSR. */
import { SaxesParser } from "saxes";

interface Node {
  [key: string]: unknown;
}

/**
 * Elements as properties, in lists where there are several of one name, and attributes with an `@`. Texts are left out.
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
  parser.on("closetag", () => void open.pop());
  parser.write(xml.replace(/^\s+/, "")).close();
  return root;
}
