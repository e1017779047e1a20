import { SERVICES, type ServiceName } from "../../cli/stack/stack";
import type { Answer } from "./call";
import { kindOf } from "./judge";
import { growthFault } from "./memory";
import type { Call } from "./plan";
import { p99 } from "./probe";

/** The call that showed a fault, and its request as sent. */
interface Shown {
  call: Call;
  request: Uint8Array;
  /** Whether the request has been made smaller. */
  isSmall?: boolean;
}

export interface Fault {
  what: string;
  /** How often it was seen. */
  count: number;
  /** The first call that showed it; none for faults beside the calls. */
  first: Shown | undefined;
}

/** The findings of a run so far. */
export class Findings {
  /** Answers by rpc and status code. */
  readonly codes = new Map<string, Map<Answer["code"], number>>();
  private readonly byKind = new Map<string, Fault>();
  /** Resident memory after each round in MiB, by process. */
  readonly memory = new Map<string, number[]>();
  readonly healthP99Ms = new Map<ServiceName, number>();

  constructor(private readonly say: (line: string) => void) {}

  get faults(): Fault[] {
    return [...this.byKind.values()];
  }

  count({ rpc }: Call, { code }: Answer): void {
    const codes = this.codes.get(rpc.name) ?? new Map<Answer["code"], number>();
    this.codes.set(rpc.name, codes.set(code, (codes.get(code) ?? 0) + 1));
  }

  /** Faults of one rpc that differ in numbers and ids only are one. */
  fault(what: string, first?: Shown): void {
    const key = `${first?.call.rpc.name ?? ""} ${kindOf(what)}`;
    const known = this.byKind.get(key);
    if (known) return void known.count++;
    this.byKind.set(key, { what, count: 1, first });
    this.say(`FAULT ${first ? `call ${first.call.number}, ${first.call.rpc.name} (${first.call.kind}): ` : ""}${what}`);
  }

  sample(process: string, mib: number): void {
    this.memory.set(process, [...(this.memory.get(process) ?? []), mib]);
  }

  /** Judges what only a whole run shows. */
  close(times: Readonly<Record<ServiceName, readonly number[]>>): void {
    for (const name of SERVICES) {
      const fault = growthFault(this.memory.get(name) ?? []);
      if (fault) this.fault(`${name} service: ${fault}`);
      this.healthP99Ms.set(name, p99(times[name]));
    }
  }
}
