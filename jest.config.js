/** @type {import("jest").Config} */
module.exports = {
  reporters: ["default", "<rootDir>/tests/reporter.js"],
  testEnvironment: "<rootDir>/tests/environment.js",
  roots: [
    "<rootDir>/services",
    "<rootDir>/shared",
    "<rootDir>/cli",
    "<rootDir>/deploy",
    "<rootDir>/bench",
    "<rootDir>/tests",
  ],
  testMatch: ["**/*.test.ts"],
  // Ends a test that hangs, twice what tests wait for (shared/testing/until.ts); no test depends on speed.
  testTimeout: 600_000,
  maxWorkers: 2,
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { target: "es2023", parser: { syntax: "typescript" } }, module: { type: "commonjs" } },
    ],
  },
};
