import { board, curves, stats } from "./board";

const share = (quantile: number) =>
  `histogram_quantile(${quantile}, sum by (le, device, precision) (rate(nas_profiler_latency_seconds_bucket[$__rate_interval])))`;
const service = '{grpc_service="lathe.v1.LatencyService"}';

export const latency = board({
  uid: "lathe-latency",
  title: "Latency service",
  description:
    "Latency of the networks on the profiled devices, error of the latency model, and state of the measurement queue.",
  rows: {
    Now: [
      stats("short")("Measuring", "Measurements that are running or queued in the service.", {
        pending: "sum(nas_profiler_pending)",
      }),
      stats("short", { w: 10, decimals: 0 })(
        "Ended",
        "Measurements that ended in the time range, by outcome. Skipped: the search no longer needed the measurement.",
        { "{{outcome}}": "sum by (outcome) (increase(nas_profiler_runs_total[$__range]))" },
      ),
      stats("short", { w: 10, decimals: 0 })(
        "Searches without a worker",
        "Searches that wait for a latency worker of a device class that no live one serves, or will when their training is over.",
        { "{{device_class}}": "max by (device_class) (nas_search_waiting)" },
      ),
      stats("short", { w: 10 })("Waiting per device class", "Work items that no latency service has taken yet.", {
        "{{consumer}}": 'max by (consumer) (nas_jetstream_consumer_pending{consumer=~"work-profile-.+"})',
      }),
    ],
    Measurements: [
      curves("s", { w: 12 })(
        "Latency of profiled networks",
        "p50, p95 and p99 of the timed runs, per device and precision, over all networks profiled in the interval.",
        {
          "p50 {{device}} {{precision}}": share(0.5),
          "p95 {{device}} {{precision}}": share(0.95),
          "p99 {{device}} {{precision}}": share(0.99),
        },
      ),
      curves("none", { w: 12 })("Timed runs", "Timed network runs per second.", {
        "{{device}} {{precision}}":
          "sum by (device, precision) (rate(nas_profiler_latency_seconds_count[$__rate_interval]))",
      }),
      curves("percentunit", { decimals: 1, step: true, signed: true })(
        "Error of the latency model",
        "Mean relative error of the newest operator table on networks sampled from its space, and one less their rank correlation. No data until a search with a latency cost has measured a table.",
        {
          "mean error {{device}}": "max by (device) (nas_latency_model_error_ratio)",
          "1 - rank correlation {{device}}": "1 - min by (device) (nas_latency_rank_correlation)",
        },
      ),
      curves("cpm")("Measurements", "Measurements that ended per minute, by kind and outcome.", {
        "{{kind}} {{outcome}}": "60 * sum by (kind, outcome) (rate(nas_profiler_runs_total[$__rate_interval]))",
      }),
      curves("percentunit")(
        "Standstill",
        "Share of the time in which a service stood still because a latency worker measured on its machine.",
        { "{{instance}}": "rate(nas_standstill_seconds_total[$__rate_interval])" },
      ),
      curves("short")("Queue", "Measurements in the service, and work items that are waiting or in progress.", {
        "in the service": "sum(nas_profiler_pending)",
        "{{consumer}} waiting": 'max by (consumer) (nas_jetstream_consumer_pending{consumer=~"work-profile-.+"})',
        "{{consumer}} in hand": 'max by (consumer) (nas_jetstream_consumer_ack_pending{consumer=~"work-profile-.+"})',
      }),
    ],
    Calls: [
      curves("reqps", { w: 12 })("Calls", "Answered calls per second, by method and status code.", {
        "{{grpc_method}} {{grpc_code}}": `sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total${service}[$__rate_interval])) > 0`,
      }),
      curves("s", { w: 12 })(
        "Time of a call, p95",
        "Time from the start of a call to its status, including the measurement.",
        {
          "{{grpc_method}}": `histogram_quantile(0.95, sum by (le, grpc_method) (rate(grpc_server_handling_seconds_bucket${service}[$__rate_interval])))`,
        },
      ),
    ],
  },
});
