import { board, curves, stats } from "./board";

const share = (quantile: number) =>
  `histogram_quantile(${quantile}, sum by (le, device, precision) (rate(nas_profiler_latency_seconds_bucket[$__rate_interval])))`;
const service = '{grpc_service="lathe.v1.LatencyService"}';

export const latency = board({
  uid: "lathe-latency",
  title: "Latency service",
  description:
    "Latency of the networks on the profiled devices, error of the latency model, and state of the measurement queue.",
  rows: [
    {
      title: "Now",
      panels: [
        stats("Measuring", "Measurements that are running or queued in the service.", "short", [
          ["sum(nas_profiler_pending)", "pending"],
        ]),
        stats(
          "Ended",
          "Measurements that ended in the time range, by outcome. Skipped: the search no longer needed the measurement.",
          "short",
          [["sum by (outcome) (increase(nas_profiler_runs_total[$__range]))", "{{outcome}}"]],
          { w: 10, decimals: 0 },
        ),
        stats(
          "Waiting per device class",
          "Work items that no latency service has taken yet.",
          "short",
          [['max by (consumer) (nas_jetstream_consumer_pending{consumer=~"work-profile-.+"})', "{{consumer}}"]],
          { w: 10 },
        ),
      ],
    },
    {
      title: "Measurements",
      panels: [
        curves(
          "Latency of profiled networks",
          "p50, p95 and p99 of the timed runs, per device and precision, over all networks profiled in the interval.",
          "s",
          [
            [share(0.5), "p50 {{device}} {{precision}}"],
            [share(0.95), "p95 {{device}} {{precision}}"],
            [share(0.99), "p99 {{device}} {{precision}}"],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Timed runs",
          "Timed network runs per second.",
          "none",
          [
            [
              "sum by (device, precision) (rate(nas_profiler_latency_seconds_count[$__rate_interval]))",
              "{{device}} {{precision}}",
            ],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Error of the latency model",
          "Relative error of the newest operator table: for the largest network of its space, and over its own measurements. No data until a search with a latency cost has measured a table.",
          "percentunit",
          [
            ["max by (device) (nas_latency_model_error_ratio)", "largest network {{device}}"],
            ["max by (device) (nas_latency_fit_error_ratio)", "fit {{device}}"],
          ],
          { decimals: 1, step: true },
        ),
        curves(
          "Measurements",
          "Measurements that ended per minute, by kind and outcome.",
          "cpm",
          [["60 * sum by (kind, outcome) (rate(nas_profiler_runs_total[$__rate_interval]))", "{{kind}} {{outcome}}"]],
          { min: 0 },
        ),
        curves(
          "Queue",
          "Measurements in the service, and work items that are waiting or in progress.",
          "short",
          [
            ["sum(nas_profiler_pending)", "in the service"],
            ['max by (consumer) (nas_jetstream_consumer_pending{consumer=~"work-profile-.+"})', "{{consumer}} waiting"],
            [
              'max by (consumer) (nas_jetstream_consumer_ack_pending{consumer=~"work-profile-.+"})',
              "{{consumer}} in hand",
            ],
          ],
          { min: 0 },
        ),
      ],
    },
    {
      title: "Calls",
      panels: [
        curves(
          "Calls",
          "Answered calls per second, by method and status code.",
          "reqps",
          [
            [
              `sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total${service}[$__rate_interval])) > 0`,
              "{{grpc_method}} {{grpc_code}}",
            ],
          ],
          { w: 12, min: 0 },
        ),
        curves(
          "Time of a call, p95",
          "Time from the start of a call to its status, including the measurement.",
          "s",
          [
            [
              `histogram_quantile(0.95, sum by (le, grpc_method) (rate(grpc_server_handling_seconds_bucket${service}[$__rate_interval])))`,
              "{{grpc_method}}",
            ],
          ],
          { w: 12, min: 0 },
        ),
      ],
    },
  ],
});
