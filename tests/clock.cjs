// Loaded into each process by NODE_OPTIONS: the clock of a service and of its workers is off by the hours that CLOCKS gives it, as
// "search=1,shrinking=-1". SIGUSR2 moves it to the other side.
const hours = new Map((process.env.CLOCKS ?? "").split(",").map((entry) => entry.split("=")));
const service = /services[/\\](\w+)[/\\]/.exec(process.argv[1] ?? "")?.[1];
let offset = Number(hours.get(service) ?? 0) * 3_600_000;
const Right = Date;
globalThis.Date = class extends Right {
  constructor(...given) {
    super(...(given.length === 0 ? [Right.now() + offset] : given));
  }
  static now() {
    return Right.now() + offset;
  }
};
process.on("SIGUSR2", () => (offset = -offset));
