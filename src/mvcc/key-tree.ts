/**
 * A B+tree of key entries in key order that also counts the live keys (those with a value now) of every subtree: a list
 * with a limit must still tell how many keys the whole range has, and this makes that O(log n) instead of a walk.
 *
 * Nodes are split when full and removed when empty; they are not rebalanced, since keys go only by compaction and a node
 * that lost some fills up again.
 */
import type { Key } from './requests.ts';

/** What the tree needs to know of an entry. */
export interface TreeEntry {
  readonly key: Key;
}

const fanout = 64;

class Leaf<E extends TreeEntry> {
  live = 0;
  entries: E[];
  constructor(entries: E[]) {
    this.entries = entries;
  }
}

class Branch<E extends TreeEntry> {
  live = 0;
  /** keys[i] is not above any key of children[i + 1], and above every key of children[i]. */
  keys: Key[];
  children: Node<E>[];
  constructor(keys: Key[], children: Node<E>[]) {
    this.keys = keys;
    this.children = children;
    for (const child of children) this.live += child.live;
  }
}

type Node<E extends TreeEntry> = Leaf<E> | Branch<E>;

/** The position of the first entry with a key not below `key`. */
function lowerBound<E extends TreeEntry>(entries: readonly E[], key: Key): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as E).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child that holds `key`. */
function childOf<E extends TreeEntry>(branch: Branch<E>, key: Key): number {
  const { keys } = branch;
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as Key) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class KeyTree<E extends TreeEntry> {
  #root: Node<E> = new Leaf<E>([]);
  readonly #isLive: (entry: E) => boolean;

  constructor(isLive: (entry: E) => boolean) {
    this.#isLive = isLive;
  }

  /** Live keys of the whole tree. */
  get live(): number {
    return this.#root.live;
  }

  /** Adds an entry whose key is not in the tree. */
  insert(entry: E): void {
    const sibling = this.#insert(this.#root, entry, this.#isLive(entry) ? 1 : 0);
    if (sibling !== undefined) this.#root = new Branch([sibling.key], [this.#root, sibling.node]);
  }

  #insert(node: Node<E>, entry: E, live: number): { key: Key; node: Node<E> } | undefined {
    node.live += live;
    if (node instanceof Leaf) {
      const { entries } = node;
      entries.splice(lowerBound(entries, entry.key), 0, entry);
      if (entries.length <= fanout) return undefined;
      // Keys often arrive in rising order: then a split at the end leaves full leaves behind.
      const at = entries[entries.length - 1] === entry ? entries.length - 1 : entries.length >>> 1;
      const right = new Leaf(entries.splice(at));
      for (const moved of right.entries) if (this.#isLive(moved)) right.live++;
      node.live -= right.live;
      return { key: (right.entries[0] as E).key, node: right };
    }
    const index = childOf(node, entry.key);
    const sibling = this.#insert(node.children[index] as Node<E>, entry, live);
    if (sibling === undefined) return undefined;
    node.keys.splice(index, 0, sibling.key);
    node.children.splice(index + 1, 0, sibling.node);
    if (node.children.length <= fanout) return undefined;
    const at = index + 1 === node.children.length - 1 ? node.children.length - 1 : node.children.length >>> 1;
    const children = node.children.splice(at);
    const keys = node.keys.splice(at);
    const key = node.keys.pop() as Key;
    const right = new Branch(keys, children);
    node.live -= right.live;
    return { key, node: right };
  }

  /** Corrects the counts after the entry of `key` became live (+1) or stopped being so (-1). */
  adjustLive(key: Key, delta: 1 | -1): void {
    let node = this.#root;
    node.live += delta;
    while (node instanceof Branch) {
      node = node.children[childOf(node, key)] as Node<E>;
      node.live += delta;
    }
  }

  /** Removes the entry of `key`, which must be there and must not be live. */
  remove(key: Key): void {
    this.#remove(this.#root, key);
    while (this.#root instanceof Branch && this.#root.children.length === 1) {
      this.#root = this.#root.children[0] as Node<E>;
    }
  }

  /** True if the node is empty now. */
  #remove(node: Node<E>, key: Key): boolean {
    if (node instanceof Leaf) {
      const index = lowerBound(node.entries, key);
      if (node.entries[index]?.key !== key) throw new Error('removing a key that is not in the tree');
      node.entries.splice(index, 1);
      return node.entries.length === 0;
    }
    const index = childOf(node, key);
    if (this.#remove(node.children[index] as Node<E>, key)) {
      node.children.splice(index, 1);
      node.keys.splice(Math.max(index - 1, 0), 1);
    }
    return node.children.length === 0;
  }

  /** Live keys below `key`. */
  #liveBelow(key: Key): number {
    let count = 0;
    let node = this.#root;
    while (node instanceof Branch) {
      const index = childOf(node, key);
      for (let i = 0; i < index; i++) count += (node.children[i] as Node<E>).live;
      node = node.children[index] as Node<E>;
    }
    const at = lowerBound(node.entries, key);
    for (let i = 0; i < at; i++) if (this.#isLive(node.entries[i] as E)) count++;
    return count;
  }

  /** Live keys in [from, to); `to` undefined: to the end. */
  countLive(from: Key, to: Key | undefined): number {
    if (to !== undefined && to <= from) return 0;
    const below = this.#liveBelow(from);
    return (to === undefined ? this.#root.live : this.#liveBelow(to)) - below;
  }

  /**
   * Calls `visit` for the entries in [from, to) in order until it returns false. The tree must not be changed meanwhile.
   * Returns true if all were visited.
   */
  forEach(from: Key, to: Key | undefined, visit: (entry: E) => boolean): boolean {
    return this.#forEach(this.#root, from, to, visit);
  }

  #forEach(node: Node<E>, from: Key, to: Key | undefined, visit: (entry: E) => boolean): boolean {
    if (node instanceof Leaf) {
      const { entries } = node;
      for (let i = lowerBound(entries, from); i < entries.length; i++) {
        const entry = entries[i] as E;
        if (to !== undefined && entry.key >= to) return true;
        if (!visit(entry)) return false;
      }
      return true;
    }
    for (let i = childOf(node, from); i < node.children.length; i++) {
      const lowest = i === 0 ? undefined : (node.keys[i - 1] as Key);
      if (to !== undefined && lowest !== undefined && lowest >= to) return true;
      if (!this.#forEach(node.children[i] as Node<E>, from, to, visit)) return false;
    }
    return true;
  }
}
