import type { Chance } from "./clock.ts";
import type { SimNode } from "./node.ts";
import type { SimWorld } from "./world.ts";

/** Faults without malice: partitions, cut and clogged links, power failures; until all of it stops. */
export class Weather {
  readonly #world: SimWorld;
  readonly #chance: Chance;
  #over = false;

  constructor(world: SimWorld, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
  }

  begin(): void {
    const { partitionEveryMs, crashEveryMs } = this.#world.params;
    this.#every(partitionEveryMs, () => this.#partition());
    this.#every(crashEveryMs, () => this.#crash());
  }

  #every(mean: number, act: () => void): void {
    if (mean === 0) return;
    const again = () => {
      if (this.#over) return;
      act();
      this.#world.clock.at(this.#chance.exponential(mean), again);
    };
    this.#world.clock.at(this.#chance.exponential(mean), again);
  }

  /** Everything arrives from now on, and every machine comes back. */
  async heal(): Promise<void> {
    this.#over = true;
    const { wire, nodes } = this.#world;
    wire.heal();
    for (const node of nodes) {
      node.fuse = Number.POSITIVE_INFINITY;
      await node.start();
    }
  }

  #partition(): void {
    const { wire, nodes } = this.#world;
    const c = this.#chance;
    const names = nodes.map((n) => n.name);
    const ms = c.exponential(c.pick([100, 400, 1500]));
    const group = c.some(names);
    const rest = names.filter((n) => !group.includes(n));
    const both = (act: (a: string, b: string) => void) => {
      for (const a of group) for (const b of rest) act(a, b);
    };
    switch (c.whole(0, 3)) {
      case 0:
        both((a, b) => {
          wire.cut(a, b, ms);
          wire.cut(b, a, ms);
        });
        break;
      case 1:
        both((a, b) => wire.cut(a, b, ms));
        break;
      case 2:
        // Swizzle-clogging: one machine after the other goes slow, and they come back in another order.
        for (const a of c.shuffled(group)) {
          const until = c.between(0, ms);
          for (const b of names) {
            wire.clog(a, b, until);
            wire.clog(b, a, until);
          }
        }
        break;
      default:
        wire.isolate(c.pick(names), ms);
    }
    this.#world.note("weather", `partition ${group.join()} for ${ms.toFixed(0)} ms`);
  }

  #crash(): void {
    const node = this.#chance.pick(this.#world.nodes);
    if (node.up) this.strike(node);
  }

  /** Now, or before one of the next writes, flushes or frames. */
  strike(node: SimNode): void {
    if (this.#over || !node.up) return;
    if (this.#chance.happens(0.4)) node.crash();
    else node.fuse = node.effects + this.#chance.whole(1, 12);
  }

  crashed(node: SimNode): void {
    if (this.#over) return;
    const ms = this.#chance.exponential(this.#chance.pick([10, 150, 800]));
    this.#world.clock.at(ms, () => void node.start());
  }
}
