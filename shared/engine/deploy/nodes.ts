import { elementTypes } from "../encode";
import type { Attribute, ElementType, Value } from "../graph";
import type { Recorder } from "../recorder";

/** Shape of a value whose extents are known only when the model runs. */
const FREE: readonly number[] = [];

export function node(
  r: Recorder,
  op: string,
  inputs: readonly Value[],
  dtype: ElementType,
  attributes: Record<string, Attribute> = {},
): Value {
  return r.node(op, inputs, FREE, dtype, attributes);
}

export const cast = (r: Recorder, x: Value, dtype: ElementType): Value =>
  node(r, "Cast", [x], dtype, { to: elementTypes[dtype] });

/** An int64 value: whole numbers are exact in every runtime. */
export class Whole {
  constructor(
    private readonly r: Recorder,
    readonly value: Value,
  ) {}

  static of(r: Recorder, x: number): Whole {
    return new Whole(r, r.scalar(x, "int64"));
  }

  /** 0, 1, ... up to this scalar, without it. */
  upTo(): Whole {
    return new Whole(this.r, node(this.r, "Range", [this.number(0), this.value, this.number(1)], "int64"));
  }
  plus(other: Whole | number): Whole {
    return this.with("Add", other);
  }
  minus(other: Whole | number): Whole {
    return this.with("Sub", other);
  }
  times(other: Whole | number): Whole {
    return this.with("Mul", other);
  }
  /** The quotient without its fraction. Both must be at least 0: runtimes differ in the rounding of negative ones. */
  over(other: Whole): Whole {
    return this.with("Div", other);
  }
  most(other: Whole | number): Whole {
    return this.with("Max", other);
  }
  least(other: Whole | number): Whole {
    return this.with("Min", other);
  }
  abs(): Whole {
    return new Whole(this.r, node(this.r, "Abs", [this.value], "int64"));
  }
  /** 1 where this is less than the other, else 0. */
  below(other: Whole): Whole {
    return new Whole(this.r, cast(this.r, node(this.r, "Less", [this.value, other.value], "bool"), "int64"));
  }
  /** [m] -> [m,1]. */
  column(): Whole {
    return new Whole(this.r, node(this.r, "Unsqueeze", [this.value, this.r.integers([1])], "int64"));
  }

  private with(op: string, other: Whole | number): Whole {
    const value = typeof other === "number" ? this.number(other) : other.value;
    return new Whole(this.r, node(this.r, op, [this.value, value], "int64"));
  }
  private number(x: number): Value {
    return this.r.scalar(x, "int64");
  }
}
