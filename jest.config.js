/** @type {import("jest").Config} */
module.exports = {
  reporters: ["default", "<rootDir>/tests/reporter.js"],
  testEnvironment: "<rootDir>/tests/environment.js",
  roots: ["<rootDir>/services", "<rootDir>/shared", "<rootDir>/deploy", "<rootDir>/bench", "<rootDir>/tests"],
  testMatch: ["**/*.test.ts"],
  testTimeout: 20000,
  maxWorkers: 2,
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { target: "es2023", parser: { syntax: "typescript" } }, module: { type: "commonjs" } },
    ],
  },
};
