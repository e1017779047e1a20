/** Ends a run with one plain line of counts, for scripts. */
module.exports = class {
  onRunComplete(_contexts, results) {
    const line = `${results.numPassedTests} passed, ${results.numFailedTests + results.numRuntimeErrorTestSuites} failed\n`;
    process.stderr.write("", () => process.stdout.write(line));
  }
};
