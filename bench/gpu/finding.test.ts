import { briefSpec } from "../../shared/testing/training";
import { difference, finding } from "./finding";
import { operators } from "./operators";
import { markdown } from "./table";
import { trialOf } from "./trials";

it("a difference is the largest one as a share of the largest wanted element; NaN and other lengths count as no number", () => {
  expect(difference([1, 2, 4.5], [1, 2.5, 5])).toBeCloseTo(0.1, 12);
  expect(difference([0, 0], [0, 0])).toBe(0);
  expect(difference([1], [0])).toBe(Infinity);
  expect(difference([NaN, 1], [0, 1])).toBeNaN();
  expect(difference([1], [1, 2])).toBeNaN();
});

it("a figure above its bound, or without a number, fails its check by name", () => {
  const figure = { name: "loss", value: 2e-4, unit: "", bound: 1e-4 };
  expect(finding([{ ...figure, value: 1e-4 }], "fine").status).toBe("ok");
  expect(finding([figure], "fine")).toMatchObject({
    status: "failed",
    detail: expect.stringContaining("loss is 0.0002") as string,
  });
  expect(finding([{ ...figure, value: NaN }], "fine").status).toBe("failed");
  expect(finding([], "fine", ["Conv: 3 apart"])).toMatchObject({ status: "failed", detail: "\n  Conv: 3 apart" });
});

it("the table has every fact and figure, with three digits", () => {
  const text = markdown({ device: "H100" }, [{ name: "pair", value: 12.3456, unit: "ms" }]);
  expect(text).toBe(
    "- device: H100\n\n| figure | value | unit | bound |\n| --- | --- | --- | --- |\n| pair | 12.3 | ms |  |\n",
  );
});

it("each operator of the supernet's steps runs by itself with the inputs of a step; on the CPU it gives the same bits", async () => {
  const { status, figures } = await operators({ provider: "cpu", threads: 1 }, trialOf(briefSpec(), 1));
  expect(status).toBe("ok");
  const names = figures.map(({ name }) => name);
  for (const op of ["Conv", "MatMul", "BatchNormalization", "Resize", "Gather"])
    expect(names).toContain(`operator ${op}`);
  expect(figures.filter(({ value }) => value !== 0)).toEqual([]);
});
