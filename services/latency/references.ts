import type { Bus } from "../../shared/events/bus";
import type { JsonCodec } from "../../shared/events/catalog";
import { Records } from "../../shared/events/records";
import { MEASUREMENTS_BUCKET } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { summarise } from "./figures";
import type { Measured } from "./network";

/** The calibration network's time on a quiet device. */
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

/** The calibration network's times on quiet devices, which all latency workers share and every restart keeps. */
export class References {
  private readonly records: Records<Reference>;

  constructor(bus: Bus) {
    this.records = new Records(bus, MEASUREMENTS_BUCKET, codec);
  }

  /** The figures of a measurement. A stable one lowers the reference of its device where its calibration network was faster. */
  async figures({ samples, conditions }: Measured): Promise<LatencyFigures> {
    const { measuredOn } = conditions;
    if (!measuredOn) throw new LatheError("INTERNAL", "a measurement does not say on which device it ran");
    const key = `calibration/${measuredOn.key}`;
    const figures = summarise(samples, conditions, (await this.records.get(key))?.value.seconds);
    const { stable, calibrationSeconds: seconds } = figures;
    if (stable && seconds > 0)
      await this.records.mutate(key, (known) => (known && known.seconds <= seconds ? undefined : { seconds }));
    return figures;
  }
}
