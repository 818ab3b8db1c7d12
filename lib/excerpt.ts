/**
 * A comment, a CDATA section, a processing instruction, or a tag: whether it closes, its name, whether it is empty. Or a
 * `<` that begins none of these.
 */
const markup =
  /<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>|<\?[^]*?\?>|<(\/?)([^\s<>/!?"'=]+)(?:[^<>"']|"[^"<]*"|'[^'<]*')*?(\/?)>|</g;

/**
 * A domain's XML without all that is not inside a `<disk>` of its `<devices>`: libvirt writes ten times as much about
 * the rest, and the parser takes its input byte by byte.
 *
 * In a well-formed document every `<` begins one of these, so every element begins and ends where it seems to.
 *
 * @returns the text as it is, for the parser to judge, where it is not well-formed or declares a document type
 */
export function excerptOfDisks(xml: string): string {
  const open: string[] = [];
  const disks: string[] = [];
  let begin = 0;
  for (const { 0: piece, 1: closes, 2: name, 3: empty, index } of xml.matchAll(markup)) {
    if (piece === "<") return xml;
    const end = index + piece.length;
    if (name === undefined) continue;
    if (!closes) {
      open.push(name);
      if (open.length === 3) begin = index;
    }
    if (!closes && !empty) continue;
    if (open.length === 3 && open.join("/") === "domain/devices/disk") disks.push(xml.slice(begin, end));
    if (open.pop() !== name) return xml;
  }
  return open.length > 0 || disks.length === 0
    ? xml
    : `<domain><devices>${disks.join("")}</devices></domain>`;
}
