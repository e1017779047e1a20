import { board, curves, stats } from "./board";

/** Calls of our own services; health checks and reflection would drown them. */
const own = 'grpc_service=~"lathe.+"';
const perMinute = (metric: string) => `60 * sum by (service, instance) (rate(${metric}[$__rate_interval]))`;
const process = "{{service}} {{instance}}";

export const platform = board({
  uid: "lathe-platform",
  title: "Platform",
  description: "gRPC calls, queues, NATS, processes, checkpoints and devices of all services.",
  rows: {
    "gRPC: rate, errors, duration": [
      curves("reqps")("Calls", "Started calls per second, by service and method.", {
        "{{grpc_service}} {{grpc_method}}": `sum by (grpc_service, grpc_method) (rate(grpc_server_started_total{${own}}[$__rate_interval]))`,
      }),
      curves("reqps")("Answers", "Answered calls per second, by status code.", {
        "{{grpc_code}}": `sum by (grpc_code) (rate(grpc_server_handled_total{${own}}[$__rate_interval])) > 0`,
      }),
      curves("reqps")(
        "Errors",
        "Calls per second with a status other than OK, by method and status code. No data without errors.",
        {
          "{{grpc_service}} {{grpc_method}} {{grpc_code}}": `sum by (grpc_service, grpc_method, grpc_code) (rate(grpc_server_handled_total{${own},grpc_code!="OK"}[$__rate_interval])) > 0`,
        },
      ),
      curves("s")("Time of unary calls, p95", "Time from the start of a unary call to its status, by method.", {
        "{{grpc_service}} {{grpc_method}}": `histogram_quantile(0.95, sum by (le, grpc_service, grpc_method) (rate(grpc_server_handling_seconds_bucket{grpc_type="unary",${own}}[$__rate_interval])))`,
      }),
      curves("none")(
        "Messages",
        "gRPC messages received and sent per second. A watcher of a search gets one per event and per progress message.",
        {
          "{{service}} received": `sum by (service) (rate(grpc_server_msg_received_total{${own}}[$__rate_interval]))`,
          "{{service}} sent": `sum by (service) (rate(grpc_server_msg_sent_total{${own}}[$__rate_interval]))`,
        },
      ),
      stats("percentunit", { w: 8, h: 8, decimals: 2 })(
        "Error budget",
        "Share of the calls of the last hour that failed with a server error. The objective is below 1 %.",
        { "{{grpc_service}}": "max by (grpc_service) (lathe:grpc_server_errors:ratio_rate1h)" },
      ),
    ],
    Queues: [
      curves("short", { w: 12 })(
        "Waiting and in progress",
        "Messages per durable consumer that are not delivered yet, and that are delivered but not acknowledged.",
        {
          "{{consumer}} waiting": "max by (consumer) (nas_jetstream_consumer_pending)",
          "{{consumer}} in hand": "max by (consumer) (nas_jetstream_consumer_ack_pending)",
        },
      ),
      curves("short", { w: 6 })(
        "Idle workers",
        "Open pull requests per durable consumer, summed over all processes. Each is a worker without work.",
        { "{{consumer}}": "sum by (consumer) (nas_jetstream_consumer_idle)" },
      ),
      curves("short", { w: 6 })(
        "Stuck messages and dead letters",
        "Work items in the stream that no consumer has pending or in progress, and messages that no service can handle.",
        {
          "{{stream}}": "max by (stream) (nas_jetstream_stuck_messages)",
          "dead letters": "max(nas_dead_letters)",
          "dead letters per minute": "60 * sum(rate(nas_dead_letters_total[$__rate_interval]))",
        },
      ),
      curves("none", { w: 12 })(
        "Redeliveries",
        "Messages in progress that were delivered before, redeliveries per minute, and events dropped after their last attempt.",
        {
          "{{consumer}}": "max by (consumer) (nas_jetstream_consumer_redelivered)",
          [`${process} per minute`]: perMinute("nas_jetstream_redelivered_total"),
          [`${process} given up per minute`]: perMinute("nas_events_dropped_total"),
        },
      ),
      curves("cpm", { w: 12 })(
        "Lost leases",
        "Leases lost per minute. A lost lease means that another worker has taken the item.",
        { [process]: perMinute("nas_job_lease_lost_total") },
      ),
    ],
    NATS: [
      stats("short", { w: 8, h: 8 })("NATS connections", "Service processes with and without a connection to NATS.", {
        connected: "sum(nas_nats_connected)",
        lost: "sum(1 - nas_nats_connected)",
      }),
      curves("cpm")("Reconnections", "Reconnections to NATS per minute.", {
        [process]: perMinute("nas_nats_reconnects_total"),
      }),
      curves("cpm")(
        "Retries and malformed messages",
        "Requests to NATS that were repeated because no answer came, and messages that could not be decoded, per minute.",
        {
          [`${process} sent again`]: perMinute("nas_nats_retries_total"),
          [`${process} malformed`]: perMinute("nas_nats_malformed_total"),
        },
      ),
    ],
    Processes: [
      curves("s")(
        "Event-loop lag, p99",
        "Event-loop delay of each service. Above 100 ms, calls and heartbeats are late too.",
        { [process]: "max by (service, instance) (nodejs_eventloop_lag_p99_seconds)" },
      ),
      curves("none")(
        "CPU",
        "CPU cores that each service process uses, without the child processes that train, derive or measure.",
        { [process]: "sum by (service, instance) (rate(process_cpu_seconds_total[$__rate_interval]))" },
      ),
      curves("bytes")("Memory of the services", "Resident memory per service process, without the training process.", {
        [process]: "max by (service, instance) (process_resident_memory_bytes)",
      }),
      curves("bytes")("Heap", "Used JavaScript heap per service process.", {
        [process]: "max by (service, instance) (nodejs_heap_size_used_bytes)",
      }),
      curves("percentunit")(
        "Garbage collection",
        "Share of time that each service process spends in garbage collection.",
        { [process]: "sum by (service, instance) (rate(nodejs_gc_duration_seconds_sum[$__rate_interval]))" },
      ),
      stats("s", { w: 8, h: 8 })(
        "Certificate expires in",
        "Time until the certificate of a gRPC server expires. No data without TLS.",
        { [process]: "min by (service, instance) (nas_tls_certificate_expiry_timestamp_seconds) - time()" },
      ),
    ],
    "Training and devices": [
      curves("s", { w: 12 })(
        "Step duration",
        "p50 and p95 of the time between two finished training steps. It falls as candidates are removed.",
        {
          "p50 {{phase}}":
            "histogram_quantile(0.5, sum by (le, phase) (rate(nas_step_duration_seconds_bucket[$__rate_interval])))",
          "p95 {{phase}}":
            "histogram_quantile(0.95, sum by (le, phase) (rate(nas_step_duration_seconds_bucket[$__rate_interval])))",
        },
      ),
      curves("bytes", { w: 12 })(
        "Memory of the training process",
        "Resident memory of the training process, a child of the service; 0 while none runs.",
        { "{{instance}}": "max by (instance) (nas_training_resident_bytes)" },
      ),
      curves("percent", { w: 12, max: 100 })(
        "GPU utilisation",
        "Share of time that the GPU computes, per device. Needs NVIDIA's dcgm-exporter; no data without it.",
        { "{{Hostname}} {{gpu}}": "max by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL)" },
      ),
      curves("decmbytes", { w: 12 })(
        "GPU memory",
        "Used and free GPU memory per device. Needs NVIDIA's dcgm-exporter; no data without it.",
        {
          "{{Hostname}} {{gpu}} used": "max by (Hostname, gpu) (DCGM_FI_DEV_FB_USED)",
          "{{Hostname}} {{gpu}} free": "max by (Hostname, gpu) (DCGM_FI_DEV_FB_FREE)",
        },
      ),
    ],
    "Checkpoints and artifacts": [
      curves("s", { w: 6 })(
        "Age of the checkpoint",
        "Time since the training process stored its newest checkpoint, and the longest interval between checkpoints of this training. A crash loses this much work. No data while nothing trains.",
        {
          "{{instance}} age":
            '(time() - max by (instance) (nas_checkpoint_last_success_timestamp_seconds{bucket="checkpoints"})) and on (instance) nas_training_started_timestamp_seconds',
          "{{instance}} longest": "max by (instance) (nas_training_checkpoint_interval_seconds)",
        },
      ),
      curves("s", { w: 6 })("Time to store", "p95 of the time to store a checkpoint or an artifact.", {
        "{{bucket}}":
          "histogram_quantile(0.95, sum by (le, bucket) (rate(nas_checkpoint_duration_seconds_bucket[$__rate_interval])))",
      }),
      curves("bytes", { w: 6, step: true })("Size", "Size of the newest checkpoint and of the newest artifact.", {
        "{{bucket}}": "max by (bucket) (nas_checkpoint_size_bytes)",
      }),
      curves("cpm", { w: 6 })("Failures", "Checkpoints and artifacts that could not be stored, per minute.", {
        "{{bucket}}": "60 * sum by (bucket) (rate(nas_checkpoint_failures_total[$__rate_interval]))",
      }),
    ],
  },
});
