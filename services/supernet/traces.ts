import type { LatheEvent } from "../../shared/events/catalog";
import { inSearchSpan } from "../../shared/process/tracing/searchTrace";

/** Publishes an event. For the end of an epoch or a candidate it records a span that began `seconds` ago, when its training began. */
export function publishedAsSpan<T>(searchId: string, event: LatheEvent, publish: () => Promise<T>): Promise<T> {
  const span = spanOf(event);
  if (!span) return publish();
  const { name, seconds, attributes } = span;
  return inSearchSpan(searchId, { name, startTime: Date.now() - 1000 * seconds, attributes }, publish);
}

interface Span {
  name: string;
  seconds: number;
  attributes: Record<string, number>;
}

function spanOf({ type, data }: LatheEvent): Span | undefined {
  switch (type) {
    case "epoch.completed": {
      const { metrics } = data;
      if (!metrics) return undefined;
      const { epoch, seconds, weightLoss, validationMiou, log10Space } = metrics;
      return {
        name: `epoch ${epoch}`,
        seconds,
        attributes: {
          "lathe.epoch": epoch,
          "lathe.loss": weightLoss,
          "lathe.validation_miou": validationMiou,
          "lathe.space_log10_size": log10Space,
        },
      };
    }
    case "sampling.epoch.completed":
      return {
        name: `sampling epoch ${data.epoch}`,
        seconds: data.seconds,
        attributes: { "lathe.epoch": data.epoch, "lathe.loss": data.loss, "lathe.candidate": data.candidate },
      };
    case "candidate.evaluated":
      return {
        name: `candidate ${data.index}`,
        seconds: data.seconds,
        attributes: { "lathe.candidate": data.index, "lathe.validation_miou": data.validationMiou },
      };
    case "retraining.epoch.completed":
      return {
        name: `retraining epoch ${data.epoch}`,
        seconds: data.seconds,
        attributes: {
          "lathe.epoch": data.epoch,
          "lathe.loss": data.loss,
          ...(data.validationMiou !== undefined && { "lathe.validation_miou": data.validationMiou }),
        },
      };
    default:
      return undefined;
  }
}
