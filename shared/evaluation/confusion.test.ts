import { count, createConfusion, scores } from "./confusion";

describe("confusion", () => {
  it("computes the intersection over union of a case counted by hand", () => {
    const confusion = createConfusion(4);
    count(confusion, [0, 0, 0, 1, 1, 255], [0, 0, 1, 1, 0, 0]);
    count(confusion, [1, -1], [1, 2]);
    const { miou, accuracy, classes } = scores(confusion);
    // class 0: 2 right, 3 labelled, 3 predicted: 2/4. class 1: 2 right, 3 labelled, 3 predicted: 2/4. 2 and 3 do not occur.
    expect(classes.map((row) => row.occurs)).toEqual([true, true, false, false]);
    expect(classes[0]?.iou).toBeCloseTo(0.5, 12);
    expect(classes[1]?.iou).toBeCloseTo(0.5, 12);
    expect(miou).toBeCloseTo(0.5, 12);
    expect(accuracy).toBeCloseTo(4 / 6, 12);
  });

  it("finds the most frequently predicted class, with its share of predictions and of labels", () => {
    const confusion = createConfusion(3);
    count(confusion, [0, 0, 1, 2, 255, 1, 0, 0], [1, 1, 1, 1, 0, 1, 0, 1]);
    // 7 pixels count: 6 predicted as 1, of which 2 are labelled so.
    expect(scores(confusion).commonest).toEqual({ class: 1, predicted: 6 / 7, labelled: 2 / 7 });
    expect(scores(createConfusion(2)).commonest).toMatchObject({ predicted: 0, labelled: 0 });
  });

  it("counts a class that occurs only in predictions, with IoU 0", () => {
    const confusion = createConfusion(3);
    count(confusion, [0, 0], [0, 2]);
    expect(scores(confusion).miou).toBeCloseTo((0.5 + 0) / 2, 12);
  });

  it("is 0, not NaN, if no pixel is labelled", () => {
    const confusion = createConfusion(2);
    count(confusion, [255, 255], [0, 1]);
    expect(scores(confusion)).toMatchObject({ miou: 0, accuracy: 0 });
  });

  it("refuses labels and predictions of different length", () => {
    expect(() => count(createConfusion(2), [0], [0, 1])).toThrow("1 labels against 2 predictions");
  });
});
