import { fromBinary, toJson } from "@bufbuild/protobuf";
import { StartSearchRequest } from "../../shared/proto/lathe/v1/search";
import { smallSpec } from "../specs";
import { rpcs } from "./rpcs";
import { shrink } from "./shrink";

const start = rpcs().find(({ name }) => name === "StartSearch")!;

it("a request keeps only the fields that its fault needs", async () => {
  const bytes = StartSearchRequest.encode({ spec: smallSpec({ seed: 99 }), requestId: "again" }).finish();
  const needsSeed = (candidate: Uint8Array) => Promise.resolve(StartSearchRequest.decode(candidate).spec?.seed === 99);
  const small = await shrink(start, bytes, needsSeed);
  expect(toJson(start.input, fromBinary(start.input, small))).toEqual({ spec: { seed: 99 } });
});

it("bytes that are no message lose both ends", async () => {
  const bytes = Buffer.from("0a01020304ff0506", "hex");
  const small = await shrink(start, bytes, (candidate) => Promise.resolve(Buffer.from(candidate).includes(0xff)));
  expect(Buffer.from(small).toString("hex")).toBe("ff");
});
