/**
 * Lists whose items are made when they are asked for: a million of them take no memory.
 *
 * @module
 */

/** The methods of an array that a list without items has, too. */
export interface List<Item> extends Iterable<Item> {
  readonly length: number;
  /** The item at a position; nothing behind the end. */
  at(index: number): Item | undefined;
  slice(start: number, end: number): Item[];
  map<Made>(make: (item: Item, index: number) => Made): Made[];
  flatMap<Made>(make: (item: Item, index: number) => readonly Made[]): Made[];
  filter(test: (item: Item, index: number) => unknown): Item[];
  find(test: (item: Item, index: number) => unknown): Item | undefined;
  some(test: (item: Item, index: number) => unknown): boolean;
  every(test: (item: Item, index: number) => unknown): boolean;
}

/** A list without its items. */
export class LazyList<Item> implements List<Item> {
  readonly length: number;
  readonly #make: (index: number) => Item;

  /** @param make Makes the item at a position of the list */
  constructor(length: number, make: (index: number) => Item) {
    this.length = length;
    this.#make = make;
  }

  at(index: number): Item | undefined {
    return index >= 0 && index < this.length ? this.#make(index) : undefined;
  }

  *[Symbol.iterator](): Generator<Item> {
    for (let index = 0; index < this.length; index++) yield this.#make(index);
  }

  slice(start: number, end: number): Item[] {
    const length = Math.max(0, Math.min(end, this.length) - start);
    return Array.from({ length }, (_, index) => this.#make(start + index));
  }

  map<Made>(make: (item: Item, index: number) => Made): Made[] {
    return Array.from(this, make);
  }

  flatMap<Made>(make: (item: Item, index: number) => readonly Made[]): Made[] {
    const made: Made[] = [];
    let index = 0;
    for (const item of this) made.push(...make(item, index++));
    return made;
  }

  filter(test: (item: Item, index: number) => unknown): Item[] {
    return this.flatMap((item, index) => test(item, index) ? [item] : []);
  }

  find(test: (item: Item, index: number) => unknown): Item | undefined {
    let index = 0;
    for (const item of this) if (test(item, index++)) return item;
    return undefined;
  }

  some(test: (item: Item, index: number) => unknown): boolean {
    let index = 0;
    for (const item of this) if (test(item, index++)) return true;
    return false;
  }

  every(test: (item: Item, index: number) => unknown): boolean {
    return !this.some((item, index) => !test(item, index));
  }
}
