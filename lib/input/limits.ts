/** Most commits that are kept unmerged: a chain of layers costs QEMU speed; `release` merges what is deeper at once. */
export const MOST_KEPT = 12;
