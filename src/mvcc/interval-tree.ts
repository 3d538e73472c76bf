/**
 * Intervals [from, to) of keys, searched by one key: a treap ordered by `from`, where every node knows the highest `to` below
 * it. An event finds its watchers in O(log n + found) instead of asking each of them.
 */
import type { Key } from './requests.ts';

/** Above every key: keys are strings of chars 0 to 255. */
export const endOfKeys: Key = '\u{ffff}';

class Node<T> {
  readonly from: Key;
  readonly to: Key;
  readonly item: T;
  readonly priority = Math.random();
  highest: Key;
  left: Node<T> | undefined;
  right: Node<T> | undefined;

  constructor(from: Key, to: Key, item: T) {
    this.from = from;
    this.to = to;
    this.item = item;
    this.highest = to;
  }

  update(): this {
    this.highest = this.to;
    if (this.left !== undefined && this.left.highest > this.highest) this.highest = this.left.highest;
    if (this.right !== undefined && this.right.highest > this.highest) this.highest = this.right.highest;
    return this;
  }
}

export class IntervalTree<T> {
  #root: Node<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  insert(from: Key, to: Key, item: T): void {
    this.#root = insert(this.#root, new Node(from, to, item));
    this.#size++;
  }

  /** Removes an item that was inserted with just this interval. */
  remove(from: Key, to: Key, item: T): void {
    const before = this.#size;
    this.#root = this.#remove(this.#root, from, to, item);
    if (this.#size === before) throw new Error('removing an interval that is not in the tree');
  }

  #remove(node: Node<T> | undefined, from: Key, to: Key, item: T): Node<T> | undefined {
    if (node === undefined) return undefined;
    if (node.item === item && node.from === from && node.to === to) {
      this.#size--;
      return merge(node.left, node.right);
    }
    const before = this.#size;
    // Equal keys may stand on either side, since merging keeps the order but not the side.
    if (from <= node.from) node.left = this.#remove(node.left, from, to, item);
    if (this.#size === before && from >= node.from) node.right = this.#remove(node.right, from, to, item);
    return node.update();
  }

  /** Calls `visit` for every interval that contains `key`. */
  stab(key: Key, visit: (item: T) => void): void {
    stab(this.#root, key, visit);
  }
}

function stab<T>(node: Node<T> | undefined, key: Key, visit: (item: T) => void): void {
  if (node === undefined || node.highest <= key) return;
  stab(node.left, key, visit);
  if (node.from > key) return;
  if (node.to > key) visit(node.item);
  stab(node.right, key, visit);
}

function insert<T>(node: Node<T> | undefined, added: Node<T>): Node<T> {
  if (node === undefined) return added;
  if (added.priority > node.priority) {
    const [left, right] = split(node, added.from);
    added.left = left;
    added.right = right;
    return added.update();
  }
  if (added.from < node.from) node.left = insert(node.left, added);
  else node.right = insert(node.right, added);
  return node.update();
}

/** Nodes with `from` below `key`, and the others. */
function split<T>(node: Node<T> | undefined, key: Key): [Node<T> | undefined, Node<T> | undefined] {
  if (node === undefined) return [undefined, undefined];
  if (node.from < key) {
    const [left, right] = split(node.right, key);
    node.right = left;
    return [node.update(), right];
  }
  const [left, right] = split(node.left, key);
  node.left = right;
  return [left, node.update()];
}

function merge<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merge(left.right, right);
    return left.update();
  }
  right.left = merge(left, right.left);
  return right.update();
}
