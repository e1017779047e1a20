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

  it("takes the mean over the classes of the labels, whatever the predictions are, so that two networks share the set of classes", () => {
    const [right, wrong] = [createConfusion(4), createConfusion(4)];
    count(right, [0, 0, 1, 255], [0, 0, 1, 3]);
    count(wrong, [0, 0, 1, 255], [0, 2, 1, 3]);
    expect(scores(right)).toMatchObject({ miou: 1, miouClasses: 2 });
    // Class 2 is predicted in place of class 0, whose union has both pixels: (1/2 + 1) / 2.
    expect(scores(wrong)).toMatchObject({ miou: 0.75, miouClasses: 2 });
    expect(scores(wrong).classes.map(({ occurs }) => occurs)).toEqual([true, true, false, false]);
  });

  it("is 0, not NaN, if no pixel is labelled", () => {
    const confusion = createConfusion(2);
    count(confusion, [255, 255], [0, 1]);
    expect(scores(confusion)).toMatchObject({ miou: 0, miouClasses: 0, accuracy: 0 });
  });

  it("refuses labels and predictions of different length", () => {
    expect(() => count(createConfusion(2), [0], [0, 1])).toThrow("1 labels against 2 predictions");
  });
});
