import { bitColor, listedClasses, type ClassList } from "./classes";

/** The classes of PASCAL VOC 2012, in the order of their values. */
const NAMES =
  "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor";

/** The classes that a folder in the form of PASCAL VOC has unless it names others, with the colours of its palette. */
export function vocClasses(): ClassList {
  const lines = NAMES.split(" ").map((name, index) => ({
    text: `${name} ${bitColor(index).join(" ")}`,
    number: index + 1,
  }));
  return listedClasses(lines, "PASCAL VOC");
}
