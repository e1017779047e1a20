import { HealthAlarmKind } from "../../../../../shared/proto/lathe/v1/result";
import { HealthPolicy } from "../../../../../shared/proto/lathe/v1/spec";
import { presetSpec } from "../../../../../shared/spec/presets";
import { guardEpoch } from "./guard";

const spec = presetSpec("tiny");
const alpha = (loss: number, norm: number) => ({ loss, norm, ssr: 0, cost: 0 });
const unit = { ssrFactor: 1, costWeight: 0 };

describe("the guard of an epoch", () => {
  it("keeps the largest norms, and for architecture parameters also the norm relative to the weights of their loss", () => {
    const guard = guardEpoch(spec, 1);
    expect(guard.norms()).toEqual({ weights: 0, alphas: 0, relativeAlphas: 0 });
    for (const norm of [2, 5, 3]) expect(guard.weights({ loss: 1, norm })).toBeUndefined();
    // 100 of cross entropy, 30 + 15 + 15 + 30 of SSR.
    expect(guard.alphas(alpha(1, 380), unit)).toBeUndefined();
    // 10 times the SSR and a cost weight of 3000: 4000.
    expect(guard.alphas(alpha(1, 4000), { ssrFactor: 10, costWeight: 3000 })).toBeUndefined();
    expect(guard.norms()).toEqual({ weights: 5, alphas: 4000, relativeAlphas: 2 });
  });

  it.each([
    [NaN, 1, "the loss of the weights is NaN at epoch 4, step 2: lower"],
    [Infinity, NaN, "the loss of the weights is Infinity at epoch 4, step 2: lower"],
    [1, NaN, "the gradient norm of the weights is NaN at epoch 4, step 2: lower"],
    [1, Infinity, "the gradient norm of the weights is Infinity at epoch 4, step 2: lower"],
  ])("raises an alarm on loss %d with norm %d", (loss, norm, message) => {
    const guard = guardEpoch(spec, 4);
    expect(guard.weights({ loss: 1, norm: 1 })).toBeUndefined();
    expect(guard.weights({ loss, norm })).toMatchObject({
      kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE,
      policy: HealthPolicy.HEALTH_POLICY_FAIL,
      epoch: 4,
      message: expect.stringContaining(message) as string,
    });
  });

  it("raises an alarm on the architecture parameters too, with the policy of the spec", () => {
    const health = { ...spec.health, onLossNotFinite: HealthPolicy.HEALTH_POLICY_PAUSE };
    expect(guardEpoch({ ...spec, health }, 1).alphas(alpha(NaN, 1), unit)).toMatchObject({
      policy: HealthPolicy.HEALTH_POLICY_PAUSE,
      message: expect.stringContaining("the loss of the architecture parameters is NaN") as string,
    });
  });
});
