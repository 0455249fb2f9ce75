import assert from "node:assert/strict";
import { LazyList, type List } from "../../src/base/lazy_list.ts";

Deno.test("LazyList has an array's answers, and makes only the items that are asked for", () => {
  const array = Array.from({ length: 9 }, (_, index) => index * index);
  let made = 0;
  const lazy = new LazyList(9, (index) => (made++, index * index));
  const even = (item: number) => item % 2 === 0;
  const asks: ((list: List<number>) => unknown)[] = [
    (list) => list.length,
    (list) => [...list],
    (list) => [list.at(0), list.at(8), list.at(9)],
    (list) => [list.slice(0, 3), list.slice(7, 20), list.slice(9, 12), list.slice(12, 14)],
    (list) => list.map((item, index) => item - index),
    (list) => list.flatMap((item, index) => even(item) ? [item, index] : []),
    (list) => list.filter((item, index) => even(item) && index > 2),
    (list) => [list.find((item) => item > 10), list.find((item) => item > 100)],
    (list) => [list.some(even), list.some((item) => item > 100)],
    (list) => [list.every(even), list.every((item) => item < 100)],
  ];
  for (const ask of asks) assert.deepEqual(ask(lazy), ask(array), String(ask));
  made = 0;
  lazy.at(5);
  lazy.find((item) => item === 1);
  assert.equal(made, 3);
});
