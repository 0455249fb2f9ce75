/**
 * Short texts by which the ranks of several hosts agree before their first step: those of a host's ranks are on its board,
 * and the link carries them to the other hosts.
 *
 * @module
 */
import type { HostLink } from "./host_link.ts";
import type { NoticeBoard, Notices, RoundLimits } from "./notice_board.ts";

/** The boards of all hosts as one rank sees them. */
export class HostsBoard implements Notices {
  readonly #board: NoticeBoard;
  readonly #hosts: Pick<HostLink, "firstRank" | "texts">;

  /** @param board That of this host */
  constructor(board: NoticeBoard, hosts: Pick<HostLink, "firstRank" | "texts">) {
    this.#board = board;
    this.#hosts = hosts;
  }

  post(text: string): void {
    this.#board.post(text);
  }

  async read({ signal, timeoutMs, silence }: RoundLimits): Promise<string[]> {
    const { firstRank } = this.#hosts;
    const own = await this.#board.read({
      signal,
      timeoutMs,
      silence: (missing) => silence(missing.map((rank) => firstRank + rank)),
    });
    return [...await this.#hosts.texts(own, { signal, timeoutMs })];
  }

  /** Those of this host's ranks: the others' come with their round. */
  early(): string[] {
    return this.#board.early();
  }
}
