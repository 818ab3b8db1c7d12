/**
 * The rule that the locks follow, and the only place that takes them.
 *
 * | lock | only its holder may | held |
 * | --- | --- | --- |
 * | guest | change the guest's configuration, its notes, and names beside its seats | for a whole event, command, or choice of a merge |
 * | folder | change a name beside an image that lies there, whichever guest's it is | from the first look at the images to the last change of what a note says of them |
 * | merging | write into layers | from the choice of a merge to its end |
 *
 * They are taken in this order, folders in the order of their locks' names, so that no two holders wait for each other.
 * A merge lets the folders go while it copies, and takes one again for the names: it alone holds `merging` then and waits
 * for a folder, so it gives up as soon as somebody asks it to make way. Whoever holds a folder may ask that, and no
 * other merge of its images begins, since it takes the folder to be chosen; a merge that finds another one of its guest
 * under way lets everything go before it waits for that.
 *
 * A start that has seats locks the folders of their masters and their own only until it is noted what they stand on. From then on
 * what they stand on is not changed, and nobody else claims their images: the guest's lock is enough for the names beside those.
 *
 * {@link Locks.check} holds every step to this, wherever it is taken.
 */

import { lstat } from "./files.ts";
import type { Host } from "./host.ts";
import type { Wait } from "./lock.ts";
import { folderLock, folderOf, type GuestNames, imageOf } from "../state/paths.ts";
import type { Step } from "../state/step.ts";

/** The locks of one event, command, or merge of a guest. */
export class Locks {
  readonly #host: Pick<Host, "lock" | "settings" | "show">;
  readonly #paths: GuestNames;
  readonly #held = new Set<string>();
  readonly #seats = new Set<string>();

  constructor(host: Pick<Host, "lock" | "settings" | "show">, paths: GuestNames) {
    this.#host = host;
    this.#paths = paths;
  }

  /** Locks the guest against its other events and commands. */
  async guest(wait?: Wait): Promise<Disposable> {
    return await this.#take([this.#paths.lock], ["guest"], wait);
  }

  /**
   * Locks the folders of these images against the events of all guests: the guest's own lock isn't enough where two are
   * configured for one image. A folder that isn't there, or not mounted, has none.
   */
  async folders(images: readonly string[], wait?: Wait): Promise<Disposable> {
    const { configFolder } = this.#host.settings;
    const folders = [...new Set(images.map(folderOf))];
    const there = folders.flatMap((folder) => {
      const info = lstat(folder);
      return info === undefined ? [] : [{ folder, path: folderLock(configFolder, info) }];
    });
    const paths = [...new Set(there.map(({ path }) => path))].sort();
    return await this.#take(paths, there.map(({ folder }) => folder), wait);
  }

  /**
   * From here on the guest's lock is enough for the names around these images, which are its seats: its note says so, and no other
   * guest's does.
   */
  claim(seats: readonly string[]): void {
    for (const image of seats) this.#seats.add(image);
  }

  /** Locks the guest's layers against other merges. */
  async merging(wait?: Wait): Promise<Disposable> {
    return await this.#take([this.#paths.merging], ["merging"], wait);
  }

  /** @throws if a step is taken without the lock that it needs: a mistake in the program, and nothing is changed */
  check(step: Step): void {
    for (const needed of this.#needs(step)) {
      if (needed.some((name) => this.#held.has(name))) continue;
      throw new Error(`${step.kind} without the lock of ${needed.join(" or ")}`);
    }
  }

  /** For each thing that a step changes the locks of which one must be held. */
  #needs(step: Step): string[][] {
    const { configFolder } = this.#host.settings;
    const own = (path: string) =>
      folderOf(path) === configFolder || this.#seats.has(imageOf(path) ?? path) ? "guest" : folderOf(path);
    switch (step.kind) {
      case "link":
      case "rename":
        return [[own(step.from)], [own(step.to)]];
      case "copy":
        return [[own(step.to)]];
      case "remove":
      case "mark":
      case "touch":
        return [[own(step.path)]];
      case "create":
        return [[own(step.overlay)]];
      case "own":
      case "repair":
        return [[own(step.path), "merging"]];
      case "merge":
        return [["merging"]];
      case "clear":
      case "configure":
      case "note":
      case "seats":
        return [["guest"]];
      // A start that can't get the guest's lock says so there.
      case "starting":
      case "sync":
      case "background":
        return [];
      default:
        return step satisfies never;
    }
  }

  async #take(paths: readonly string[], names: readonly string[], wait?: Wait): Promise<Disposable> {
    const locks = new DisposableStack();
    // A dry run changes nothing, and keeps nobody waiting.
    if (this.#host.show !== undefined) return locks;
    const again = names.find((name) => this.#held.has(name));
    if (again !== undefined) throw new Error(`the lock of ${again} is held already`);
    try {
      for (const path of paths) locks.use(await this.#host.lock(path, wait));
    } catch (error) {
      locks.dispose();
      throw error;
    }
    for (const name of names) this.#held.add(name);
    locks.defer(() => names.forEach((name) => this.#held.delete(name)));
    return locks;
  }
}
