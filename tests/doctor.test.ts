import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compiled } from "./compiled";
import { System } from "./system";

interface Report {
  well: boolean;
  findings: { level: string; about: string; found: string; mend: string }[];
}

function doctor(state: string): Promise<{ code: number | null; report: Report; stderr: string }> {
  const command = [join(compiled(), "cli/lathe.js"), "doctor", "--state", state, "--json"];
  const child = spawn(process.execPath, command, { cwd: state });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve) =>
    child.once("close", (code) => resolve({ code, report: JSON.parse(stdout) as Report, stderr })),
  );
}

it("lathe doctor finds a mount that is missing, a service that hangs, and nothing once both are mended", async () => {
  const data = mkdtempSync(join(tmpdir(), "lathe-data-"));
  rmSync(data, { recursive: true });
  const system = await System.start({ LATHE_DATA_FOLDER: data });
  const { folder } = system.stack;
  const { pid } = system.stack.addresses().shrinking;
  try {
    process.kill(pid, "SIGSTOP");
    const ill = await doctor(folder);
    expect(ill.code).toBe(5);
    expect(ill.stderr).toBe("lathe: the deployment has 4 faults; the advice is above\n");
    const faults = ill.report.findings.filter(({ level }) => level === "fault");
    expect(faults.map(({ about }) => about)).toEqual(["supernet", "shrinking", "shrinking", "discretization"]);
    expect(faults[0]).toMatchObject({
      found: `data sets: ${data} cannot be read (ENOENT)`,
      mend: expect.stringContaining("mount") as string,
    });
    for (const { mend } of faults) expect(mend).not.toBe("");

    process.kill(pid, "SIGCONT");
    mkdirSync(join(data, "camvid"), { recursive: true });
    const mended = await doctor(folder);
    // The nats-server on PATH may be one that is known to lose messages, and the machine lack an engine.
    const ofMachine = ["nats", "engine"];
    expect(mended.report.findings.filter(({ level, about }) => level !== "ok" && !ofMachine.includes(about))).toEqual(
      [],
    );
    expect(mended.report.findings).toContainEqual({
      level: "ok",
      about: "data sets",
      found: `camvid in ${data}`,
      mend: "",
    });
    expect(mended).toMatchObject({ code: 0, stderr: "", report: { well: true } });
  } finally {
    process.kill(pid, "SIGCONT");
    await system.stop();
    rmSync(data, { recursive: true, force: true });
  }
});
