import type { Bus } from "../../shared/events/bus";
import type { JsonCodec } from "../../shared/events/catalog";
import { Records } from "../../shared/events/records";
import { MEASUREMENTS_BUCKET } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import type { CostUnit } from "../../shared/proto/lathe/v1/space";
import { summarise } from "./figures";
import type { Measured } from "./network";
import { medianOf } from "./statistics";

/** The time of a unit of the calibration network on a quiet device. */
interface Reference {
  seconds: number;
}

const codec: JsonCodec<Reference> = {
  toJSON: (reference) => reference,
  fromJSON: (json) => {
    const { seconds } = json as Partial<Reference>;
    if (typeof seconds !== "number" || !(seconds > 0)) throw new Error("seconds must be a number above 0");
    return { seconds };
  },
};

function deviceKeyOf({ conditions: { measuredOn } }: Measured): string {
  if (!measuredOn) throw new LatheError("INTERNAL", "a measurement does not say on which device it ran");
  return measuredOn.key;
}

const keyOf = (measured: Measured): string => `calibration/${deviceKeyOf(measured)}`;

/** The calibration network's times on quiet devices, which all latency workers share and every restart keeps. */
export class References {
  private readonly records: Records<Reference>;

  constructor(bus: Bus) {
    this.records = new Records(bus, MEASUREMENTS_BUCKET, codec);
  }

  /**
   * The figures of a measurement, in the unit of a table where that is of the same device. A stable one lowers the reference of its device where
   * its calibration network was faster.
   */
  async figures(measured: Measured, unit?: CostUnit): Promise<LatencyFigures> {
    const key = keyOf(measured);
    const isOfTable = unit !== undefined && unit.seconds > 0 && unit.deviceKey === deviceKeyOf(measured);
    const { samples, conditions } = measured;
    const figures = isOfTable
      ? summarise(samples, conditions, unit.seconds, true)
      : await this.summarised(key, measured);
    const { stable, calibrationSeconds: seconds } = figures;
    if (stable && seconds > 0) await this.lower(key, seconds);
    return figures;
  }

  /**
   * The figures of the measurements that belong to a table, and the unit in which all of them and the table count: the reference after them. `quietUnit`, the seconds of a unit in the quiet moments of a table, lowers it too. Without one,
   * an unstable measurement gives the device its first reference where it has none.
   */
  async unit(
    measured: readonly Measured[],
    quietUnit?: number,
  ): Promise<{ unit: CostUnit; figures: LatencyFigures[] }> {
    const [first] = measured;
    if (!first) throw new LatheError("INTERNAL", "a table has no measured network");
    const key = keyOf(first);
    for (const one of measured) await this.figures(one);
    if (quietUnit !== undefined) await this.lower(key, quietUnit);
    const calibrations = measured.map(({ samples }) => medianOf(samples.calibration));
    const { seconds } = (await this.records.get(key))?.value ?? (await this.lower(key, Math.min(...calibrations)));
    const figures = measured.map(({ samples, conditions }) => summarise(samples, conditions, seconds, true));
    return { unit: { deviceKey: deviceKeyOf(first), seconds }, figures };
  }

  private async summarised(key: string, { samples, conditions }: Measured): Promise<LatencyFigures> {
    return summarise(samples, conditions, (await this.records.get(key))?.value.seconds);
  }

  private async lower(key: string, seconds: number): Promise<Reference> {
    const entry = await this.records.mutate(key, (known) =>
      known && known.seconds <= seconds ? undefined : { seconds },
    );
    return entry?.value ?? { seconds };
  }
}
