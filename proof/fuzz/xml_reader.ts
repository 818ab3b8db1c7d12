import type { DomainDisk } from "../../lib/input/domain_xml.ts";
import type { Reading } from "./xml_worker.ts";

/** The parser leaks memory with each text that it refuses, and fails after two thousand: no process reads so many. */
const MOST_REFUSED = 1000;

/** What the program reads in domain XML, in a thread that is replaced before its parser fails. */
export class XmlReader implements Disposable {
  #worker: Worker | undefined;
  #refused = 0;

  /** @returns null if the text is refused */
  async disks(xml: string): Promise<readonly DomainDisk[] | null> {
    this.#worker ??= new Worker(new URL("xml_worker.ts", import.meta.url), { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<Reading>();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.onerror = ({ message }) => reject(new Error(message));
    this.#worker.postMessage(xml);
    const reading = await promise;
    if ("broken" in reading) throw new Error(reading.broken);
    if (reading.disks === null && ++this.#refused > MOST_REFUSED) this[Symbol.dispose]();
    return reading.disks;
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#refused = 0;
  }
}
